import { setTimeout as sleep } from 'node:timers/promises';
import { diag, DiagLogLevel } from '@opentelemetry/api';
import { setGlobalErrorHandler } from '@opentelemetry/core';
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtobufExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';
import type { RequestHandler } from 'express';
import type { Logger } from 'pino';
import type { PoolClient } from '../database/pool-client.js';
import { traceRequests } from './request-spans.js';
import { tracedPoolClient } from './traced-pool-client.js';

/*
 * Imported only if tracing is enabled. The SDK reads everything else from its standard variables
 * (`OTEL_*`): endpoint, headers, sampler, limits, resource.
 */

const SERVICE_NAME = 'users-api'; // unless OTEL_SERVICE_NAME is set

/** Time to export the last spans on shutdown (ms). */
const FLUSH_MS = 2_000;

/** Interval between two warnings about a collector that does not accept spans (ms). */
const COMPLAIN_EVERY_MS = 60_000;

const EXPORTERS: Readonly<Record<string, typeof ProtobufExporter | typeof JsonExporter>> = {
  'http/protobuf': ProtobufExporter,
  'http/json': JsonExporter,
};

export interface Tracing {
  readonly traceRequests: RequestHandler;
  /** The class of the pool's connections. */
  readonly PoolClient: typeof PoolClient;
  /** Exports the remaining spans, for at most 2 s. Never rejects. */
  readonly shutdown: () => Promise<void>;
}

/**
 * @returns undefined after a warning in the log for an unsupported protocol: the API then runs
 *   without traces
 */
export function startTracing(protocol: string, logger: Logger): Tracing | undefined {
  const Exporter = EXPORTERS[protocol];
  if (!Exporter) {
    logger.warn(
      `Traces are disabled: OTLP over ${protocol} is not supported, only ${Object.keys(EXPORTERS).join(', ')}`,
    );
    return undefined;
  }
  complainTo(logger);
  const provider = new BasicTracerProvider({
    resource: defaultResource()
      .merge(resourceFromAttributes({ 'service.name': SERVICE_NAME }))
      .merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [new BatchSpanProcessor(new Exporter())],
  });
  const tracer = provider.getTracer(SERVICE_NAME);
  return {
    traceRequests: traceRequests(tracer),
    PoolClient: tracedPoolClient(tracer),
    shutdown: () => Promise.race([provider.shutdown().catch(() => undefined), sleep(FLUSH_MS)]),
  };
}

/** Logs problems of the SDK, at most one line per interval while a collector is unavailable. */
function complainTo(logger: Logger): void {
  let silentUntil = 0;
  const complain = (fields: object, sentence: string): void => {
    if (performance.now() < silentUntil) return;
    silentUntil = performance.now() + COMPLAIN_EVERY_MS;
    logger.warn(fields, sentence);
  };
  const warn = (...said: unknown[]): void => {
    complain({}, `OpenTelemetry: ${said.filter((part) => typeof part === 'string').join(': ')}`);
  };
  const ignore = (): void => undefined;
  diag.setLogger({ error: warn, warn, info: ignore, debug: ignore, verbose: ignore }, DiagLogLevel.WARN);
  setGlobalErrorHandler((error) => {
    complain({ err: error }, 'Spans could not be sent; they are dropped');
  });
}

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
 * Imported only where traces are wanted. What is not said here, the SDK reads from its standard variables (`OTEL_*`): endpoint,
 * headers, sampler, limits, resource.
 */

const SERVICE_NAME = 'users-api'; // unless OTEL_SERVICE_NAME says otherwise

/** Milliseconds that the last spans may take to leave a process that is told to stop. */
const FLUSH_MS = 2_000;

/** Milliseconds between two lines about a collector that does not take our spans. */
const COMPLAIN_EVERY_MS = 60_000;

const EXPORTERS: Readonly<Record<string, typeof ProtobufExporter | typeof JsonExporter>> = {
  'http/protobuf': ProtobufExporter,
  'http/json': JsonExporter,
};

export interface Tracing {
  readonly traceRequests: RequestHandler;
  /** What the pool is to make its connections of. */
  readonly PoolClient: typeof PoolClient;
  /** Sends what is left, for 2 s at most. Never fails. */
  readonly shutdown: () => Promise<void>;
}

/** @returns undefined, and a warning in the log, for a protocol that we do not speak: an API without traces is better than none */
export function startTracing(protocol: string, logger: Logger): Tracing | undefined {
  const Exporter = EXPORTERS[protocol];
  if (!Exporter) {
    logger.warn(
      `There will be no traces: OTLP over ${protocol} is not known here, but ${Object.keys(EXPORTERS).join(', ')}`,
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

/** Lets the SDK say what goes wrong, which while a collector is away would be line after line. */
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

import { ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, trace, type Tracer } from '@opentelemetry/api';
import type { ClientConfig, QueryConfig } from 'pg';
import { activeSpans } from '../common/active-spans.js';
import { PoolClient } from '../database/pool-client.js';

/**
 * A connection that records each statement as a span in the trace of every request that it serves.
 * Statements outside requests, such as those of timers, have no span.
 *
 * A span contains the SQL text and, for an error, only its code: values, and messages that quote
 * them, are personal data.
 */
export const tracedPoolClient = (tracer: Tracer): typeof PoolClient =>
  class TracedPoolClient extends PoolClient {
    constructor(config?: ClientConfig) {
      super(config);
      const { query } = this as unknown as { readonly query: (...given: unknown[]) => unknown };
      const { database, host, port } = this;

      Object.assign(this, {
        query: (...given: unknown[]) => {
          const requests = activeSpans();
          if (requests.length === 0) return query.apply(this, given);
          const { name, text } = typeof given[0] === 'string' ? { text: given[0] } : (given[0] as QueryConfig);
          const attributes = {
            'db.system.name': 'postgresql',
            'db.query.text': text,
            'db.namespace': database,
            'server.address': host,
            'server.port': port,
            ...(requests.length > 1 && { 'db.operation.batch.size': requests.length }),
          };
          const spans = requests.map((request) =>
            tracer.startSpan(
              name ?? firstWord(text),
              { kind: SpanKind.CLIENT, attributes },
              trace.setSpan(ROOT_CONTEXT, request),
            ),
          );
          const answer = query.apply(this, given);
          if (answer instanceof Promise) void end(spans, answer); // as for every statement of the application
          return answer;
        },
      });
    }
  };

const firstWord = (text: string): string => /\w+/.exec(text)?.[0].toUpperCase() ?? 'SQL';

async function end(spans: readonly Span[], answer: Promise<unknown>): Promise<void> {
  try {
    await answer;
  } catch (error) {
    const { code, name } = error as { readonly code?: string; readonly name: string };
    for (const span of spans) {
      if (code !== undefined) span.setAttribute('db.response.status_code', code);
      span.setAttribute('error.type', code ?? name).setStatus({ code: SpanStatusCode.ERROR });
    }
  }
  for (const span of spans) span.end();
}

import { AsyncLocalStorage } from 'node:async_hooks';
import type { Span } from '@opentelemetry/api';

const NONE: readonly Span[] = [];
const storage = new AsyncLocalStorage<readonly Span[]>();

/**
 * The spans of the requests that the current work serves: several if requests share a statement,
 * none without tracing.
 */
export const activeSpans = (): readonly Span[] => storage.getStore() ?? NONE;

/**
 * Runs work, and everything that it starts, on behalf of these spans. Costs nothing without
 * tracing.
 */
export const inSpans = <T>(spans: readonly Span[], work: () => T): T =>
  spans.length === 0 && storage.getStore() === undefined ? work() : storage.run(spans, work);

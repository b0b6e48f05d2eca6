import { AsyncLocalStorage } from 'node:async_hooks';
import type { Span } from '@opentelemetry/api';

const NONE: readonly Span[] = [];
const storage = new AsyncLocalStorage<readonly Span[]>();

/** The spans of the requests that the work at hand is done for: several where they share a statement, none where traces are off. */
export const activeSpans = (): readonly Span[] => storage.getStore() ?? NONE;

/** Does some work, and whatever it begins, for these. Costs nothing where traces are off. */
export const inSpans = <T>(spans: readonly Span[], work: () => T): T =>
  spans.length === 0 && storage.getStore() === undefined ? work() : storage.run(spans, work);

import { constants } from 'node:os';
import { SHUTDOWN_GRACE_MS } from '../common/time-limits.js';

/**
 * Milliseconds in which two signals are one: a terminal sends Ctrl-C to npm and to us, and npm
 * passes its own on to us.
 */
const SAME_SIGNAL_MS = 100;

export interface StopSignal {
  /** True from the first signal that `with` or `interrupting` handles. */
  readonly isStopping: boolean;
  /**
   * Runs `close` at the first signal, no longer than the grace period, which begins after
   * `drainMs`; then the process ends.
   */
  with(close: () => Promise<void>, drainMs: number): void;
  /**
   * Runs work that ends itself in order: the first signal aborts `interrupted` instead of ending
   * the process. Its reason is the exit status that a shell expects of the signal.
   */
  interrupting<T>(work: (interrupted: AbortSignal) => Promise<T>): Promise<T>;
}

/**
 * Ends the process in order on SIGTERM, SIGINT and SIGHUP, as the methods of the returned object
 * say. Without any of them, and at a second signal, the process ends at once, with 128 and the
 * number of the signal; 'exit' handlers run either way.
 *
 * A program calls this before it loads anything else, so this file and those that it imports load
 * no package.
 */
export function onStopSignal(): StopSignal {
  let close: ((status: number) => Promise<void>) | undefined;
  let graceMs = SHUTDOWN_GRACE_MS;
  let stoppingSince = NaN;
  let end: NodeJS.Timeout | undefined;

  const stop = (signal: NodeJS.Signals): void => {
    const status = 128 + constants.signals[signal];
    if (performance.now() - stoppingSince < SAME_SIGNAL_MS) return;
    if (!close) process.exit(status);
    stoppingSince = performance.now();
    end = setTimeout(() => process.exit(1), graceMs).unref();
    const closing = close(status);
    close = undefined;
    closing.then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, stop);

  return {
    get isStopping() {
      return !Number.isNaN(stoppingSince);
    },
    with: (action, drainMs) => {
      close = action;
      graceMs = SHUTDOWN_GRACE_MS + drainMs;
    },
    interrupting: async (work) => {
      const interruption = new AbortController();
      close = (status) => {
        interruption.abort(status);
        return new Promise(() => undefined); // the work ends, and with it the process
      };
      try {
        return await work(interruption.signal);
      } finally {
        close = undefined;
        clearTimeout(end);
      }
    },
  };
}

import { constants } from 'node:os';
import { SHUTDOWN_GRACE_MS } from '../common/time-limits.js';

/**
 * Milliseconds within which two signals count as one: a terminal sends Ctrl-C to npm and to this
 * process, and npm forwards its signal.
 */
const SAME_SIGNAL_MS = 100;

export interface StopSignal {
  /** True from the first signal that `with` or `interrupting` handles. */
  readonly isStopping: boolean;
  /**
   * Runs `close` at the first signal, for at most `drainMs` plus the grace period; then the process
   * exits.
   */
  with(close: () => Promise<void>, drainMs: number): void;
  /**
   * Runs work that stops gracefully: the first signal aborts `interrupted` instead of ending the
   * process. The abort reason is the exit status that a shell expects for the signal.
   */
  interrupting<T>(work: (interrupted: AbortSignal) => Promise<T>): Promise<T>;
}

/**
 * Stops the process gracefully on SIGTERM, SIGINT and SIGHUP, as the methods of the returned object
 * define. If none was called, and at a second signal, the process exits at once with status 128
 * plus the signal number; 'exit' handlers run in either case.
 *
 * A program calls this before it loads anything else, so this file and the files that it imports
 * load no package.
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

/** Milliseconds. Enough for every request in flight: none takes longer than 3 s. What is left of 10 s is for the app's own database. */
const GRACE_MS = 6_000;

/** Milliseconds in which two signals are one: a terminal sends Ctrl-C to npm and to us, and npm passes its own on to us. */
const SAME_SIGNAL_MS = 100;

/**
 * Ends the process in order on SIGTERM, SIGINT and SIGHUP: what `with` was given runs first, but no longer than its
 * grace, which begins after `drainMs`. Before that, and at a second signal, the process ends at once; 'exit' handlers run either way.
 */
export function onStopSignal(): { with: (close: () => Promise<void>, drainMs: number) => void } {
  let close: (() => Promise<void>) | undefined;
  let graceMs = GRACE_MS;
  let stoppingSince = NaN;

  const stop = (signal: NodeJS.Signals): void => {
    if (performance.now() - stoppingSince < SAME_SIGNAL_MS) return;
    if (!close) process.exit(signal === 'SIGINT' ? 130 : 143);
    stoppingSince = performance.now();
    setTimeout(() => process.exit(1), graceMs).unref();
    const closing = close();
    close = undefined;
    closing.then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, stop);

  return {
    with: (action, drainMs) => {
      close = action;
      graceMs = GRACE_MS + drainMs;
    },
  };
}

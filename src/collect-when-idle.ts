import { performance } from 'node:perf_hooks';

/** Of the time of the event loop. */
const IDLE = 0.05;

type Collect = (how: { readonly type: 'major'; readonly flavor: 'last-resort' }) => void;

/**
 * With `node --expose-gc`: collects garbage once, after the first period in which there was next to nothing to do. What loading left
 * behind would otherwise stay resident, since an idle server makes too little garbage for V8 to collect any. Not before the app
 * listens, because it takes some 0.2 s. `--no-memory-reducer` goes with it: see docs/performance.md.
 */
export function collectWhenIdle(collect = (globalThis as { gc?: Collect }).gc, periodMs = 1_000): void {
  if (!collect) return;
  let before = performance.eventLoopUtilization();
  const timer = setInterval(() => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    if (utilization > IDLE) return;
    clearInterval(timer);
    collect({ type: 'major', flavor: 'last-resort' });
  }, periodMs).unref();
}

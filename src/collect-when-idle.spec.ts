import { setTimeout as passed } from 'node:timers/promises';
import { collectWhenIdle } from './collect-when-idle.js';

const PERIOD_MS = 100;

describe('collectWhenIdle', () => {
  it('collects after a period that was idle, not after one that was busy, and once', async () => {
    const busyUntil = performance.now() + 3.5 * PERIOD_MS;
    const collected: number[] = [];
    const first = new Promise<void>((resolve) => {
      collectWhenIdle(() => {
        collected.push(performance.now());
        resolve();
      }, PERIOD_MS);
    });
    const work = setInterval(() => {
      if (performance.now() > busyUntil) clearInterval(work);
      const end = performance.now() + 20;
      while (performance.now() < end);
    }, 40);

    await first;
    await passed(5 * PERIOD_MS); // in which it could do so again

    expect(collected).toHaveLength(1);
    expect(collected[0]).toBeGreaterThan(busyUntil);
  });
});

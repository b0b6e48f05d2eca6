import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import type { CreditsService } from '../credits.service.js';
import { ExpiredHolds } from './expired-holds.js';

const MINUTE = 60_000;

describe('ExpiredHolds', () => {
  const runs: { end: () => void; fail: () => void; stop: AbortSignal }[] = [];
  const credits = {
    releaseExpiredHolds: (stop: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        const fail = (): void => {
          reject(new Error('no database'));
        };
        runs.push({ end: resolve, fail, stop });
      }),
  } as Partial<CreditsService> as CreditsService;
  let holds: ExpiredHolds;

  beforeEach(() => {
    jest.useFakeTimers();
    runs.length = 0;
    holds = new ExpiredHolds(credits);
    holds.onModuleInit();
  });
  afterEach(() => {
    jest.useRealTimers();
    jest.restoreAllMocks();
  });

  it('runs a minute after the start, and a minute after the end of each run, however long that took', async () => {
    await jest.advanceTimersByTimeAsync(MINUTE - 1);
    expect(runs).toHaveLength(0);
    await jest.advanceTimersByTimeAsync(1);
    expect(runs).toHaveLength(1);

    await jest.advanceTimersByTimeAsync(3 * MINUTE);
    expect(runs).toHaveLength(1);
    runs[0]?.end();
    await jest.advanceTimersByTimeAsync(MINUTE);
    expect(runs).toHaveLength(2);
  });

  it('logs a run that fails, throws nothing, and starts the next one', async () => {
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    await jest.advanceTimersByTimeAsync(MINUTE);
    runs[0]?.fail();
    await jest.advanceTimersByTimeAsync(MINUTE);

    expect(warn).toHaveBeenCalledTimes(1);
    expect(runs).toHaveLength(2);
  });

  it('at shutdown stops the run in progress, waits for it, and starts no other', async () => {
    await jest.advanceTimersByTimeAsync(MINUTE);
    let isDown = false;
    const stopping = holds.onApplicationShutdown().then(() => (isDown = true));
    await jest.advanceTimersByTimeAsync(MINUTE);
    expect([isDown, runs.length, runs[0]?.stop.aborted]).toEqual([false, 1, true]);

    runs[0]?.end();
    await stopping;
    await jest.advanceTimersByTimeAsync(MINUTE);
    expect(runs).toHaveLength(1);
  });
});

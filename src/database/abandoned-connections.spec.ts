import { jest } from '@jest/globals';
import { AbandonedConnections } from './abandoned-connections.js';

describe('AbandonedConnections', () => {
  beforeEach(() => {
    jest.useFakeTimers();
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  it('checks repeatedly while the database is unavailable, and not after it is stopped, even during a check', async () => {
    const failures: (() => void)[] = [];
    const connections = new AbandonedConnections(
      2,
      () =>
        new Promise((_, reject) => {
          failures.push(() => {
            reject(new Error('refused'));
          });
        }),
    );
    const fail = async (): Promise<void> => {
      await jest.advanceTimersToNextTimerAsync();
      failures.at(-1)?.();
      await jest.advanceTimersByTimeAsync(0);
    };

    connections.add(1);
    await fail();
    await fail();
    await jest.advanceTimersToNextTimerAsync(); // a check is in flight
    connections.stop();
    failures.at(-1)?.();
    await jest.advanceTimersByTimeAsync(0);

    expect(failures).toHaveLength(3);
    expect(jest.getTimerCount()).toBe(0);
  });
});

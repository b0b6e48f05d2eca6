import { jest } from '@jest/globals';
import type { ClientBase } from 'pg';
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

  it('forgets none that is added while it looks', async () => {
    let answer: (result: { rows: { pid: number }[] }) => void = () => undefined;
    const client = { query: () => new Promise((resolve) => (answer = resolve)) } as unknown as ClientBase;
    const connections = new AbandonedConnections(2, (work) => work(client));

    connections.add(1);
    await jest.advanceTimersToNextTimerAsync();
    connections.add(2);
    answer({ rows: [] });
    await jest.advanceTimersByTimeAsync(0);

    expect(connections.size).toBe(1);
    connections.stop();
  });
});

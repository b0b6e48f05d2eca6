import { jest } from '@jest/globals';
import { pino } from 'pino';
import { DatabaseFailureLog } from './database-failure-log.js';

describe('DatabaseFailureLog', () => {
  const lines: Record<string, unknown>[] = [];
  const logger = pino(
    { base: null, timestamp: false },
    { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) },
  );
  let log: DatabaseFailureLog;

  beforeEach(() => {
    jest.useFakeTimers();
    lines.length = 0;
    log = new DatabaseFailureLog(logger);
  });
  afterEach(() => jest.useRealTimers());

  it('writes one line for a reason, however many requests fail, and one once none has failed for half a minute', () => {
    for (let request = 1; request <= 1_000; request += 1) {
      log.record('full', `request-${String(request)}`);
      jest.advanceTimersByTime(100);
    }
    const during = [...lines];
    jest.advanceTimersByTime(60_000);

    expect(during).toEqual([
      { level: 50, reason: 'full', request_id: 'request-1', msg: 'Requests fail: the disk of the database is full' },
    ]);
    expect(lines.slice(1)).toEqual([
      {
        level: 30,
        reason: 'full',
        requests: 1_000,
        msg: 'For 30 s no request has failed because the disk of the database is full',
      },
    ]);
  });

  it('keeps reasons apart, and starts again after an end', () => {
    log.record('full', 'a');
    jest.advanceTimersByTime(20_000);
    log.record('timeout', 'b');
    jest.advanceTimersByTime(20_000);
    log.record('full', 'c');
    jest.advanceTimersByTime(60_000);

    expect(lines.map(({ level, reason, requests }) => [level, reason, requests])).toEqual([
      [50, 'full', undefined],
      [50, 'timeout', undefined],
      [30, 'full', 1],
      [50, 'full', undefined],
      [30, 'timeout', 1],
      [30, 'full', 1],
    ]);
    expect(jest.getTimerCount()).toBe(0);
  });
});

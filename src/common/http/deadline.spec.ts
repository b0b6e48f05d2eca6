import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { jest } from '@jest/globals';
import type { Request, Response } from 'express';
import { deadline, DeadlineError } from './deadline.js';

const DEADLINE_MS = 2_400;

describe('deadline', () => {
  let request: IncomingMessage;
  let response: ServerResponse;
  /** The calls of the next handler: first without an argument, then with the error. */
  let next: jest.Mock<(error?: unknown) => void>;

  beforeEach(() => {
    jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask'] });
    request = new IncomingMessage(new Socket());
    response = new ServerResponse(request);
    next = jest.fn();
    deadline(request as Request, response as Response, next);
  });
  afterEach(() => jest.useRealTimers());

  /** Simulate the arrival of a part of the body, and of its end. */
  const receive = (part: string): boolean => request.push(part);
  const receiveEnd = (): boolean => request.push(null);
  const read = async (): Promise<void> => {
    request.on('data', () => undefined);
    await turn();
  };
  const hasPassed = (): boolean => next.mock.calls.some(([error]) => error instanceof DeadlineError);
  /** Whether the deadline has passed a millisecond before this time, and at this time. */
  const passes = (ms: number): [before: boolean, then: boolean] => {
    jest.advanceTimersByTime(ms - 1);
    const before = hasPassed();
    jest.advanceTimersByTime(1);
    return [before, hasPassed()];
  };

  it('passes on the request at once', () => {
    expect(next.mock.calls).toEqual([[]]);
  });

  it('is counted from the arrival of a request without a body', () => {
    receiveEnd();

    expect(passes(DEADLINE_MS)).toEqual([false, true]);
  });

  it('is counted from the arrival of a body that arrives with the header, however late it is read', async () => {
    receive('{}');
    receiveEnd();
    jest.advanceTimersByTime(1_300);
    await read();

    expect(passes(DEADLINE_MS - 1_300)).toEqual([false, true]);
  });

  it('counts the time before the body is read and the time after its last byte, not the time between', async () => {
    jest.advanceTimersByTime(1_000);
    await read();
    receive('{');
    jest.advanceTimersByTime(9_000);
    receive('}');
    receiveEnd();
    await turn();

    expect(passes(DEADLINE_MS - 1_000)).toEqual([false, true]);
  });

  it('passes before the body is read if the time is up', () => {
    receive('{');

    expect(passes(DEADLINE_MS)).toEqual([false, true]);
  });

  it('does not pass after the response, when the rest of the body is read so that the connection can be used again', async () => {
    response.end();
    await read();
    receiveEnd();
    await turn();

    expect(passes(10 * DEADLINE_MS)).toEqual([false, false]);
  });

  it('does not pass after the connection is closed', () => {
    response.emit('close');

    expect(passes(10 * DEADLINE_MS)).toEqual([false, false]);
  });
});

import { setTimeout as pause } from 'node:timers/promises';
import { isDatabaseUnavailable } from '../../src/common/errors/database-unavailable.js';
import { DomainError } from '../../src/common/errors/domain.error.js';

/** Attempts in all, for what a machine that is busy with other things has no time for. */
export const ATTEMPTS = 10;

const PAUSE_MS = 200;

export const isUnavailable = (error: unknown): boolean =>
  error instanceof DomainError ? error.kind === 'unavailable' : isDatabaseUnavailable(error);

/**
 * Repeats work that a time limit of the application refused or broke off, as a caller does that
 * gets 503. Such work has changed nothing, unless its connection was lost during a commit.
 *
 * @throws what the last attempt throws, and at once what says anything but "not now"
 */
export async function patiently<T>(work: (attempt: number) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work(attempt);
    } catch (error) {
      if (attempt === ATTEMPTS || !isUnavailable(error)) throw error;
      await pause(PAUSE_MS);
    }
  }
}

/**
 * The same service, each call of which is repeated as `patiently` does. Not for calls that join a
 * transaction.
 */
export const patient = <T extends object>(service: T): T =>
  new Proxy(service, {
    get: (target, property) => {
      const member: unknown = Reflect.get(target, property);
      if (typeof member !== 'function') return member;
      return (...given: unknown[]) => patiently(async () => (await Reflect.apply(member, target, given)) as unknown);
    },
  });

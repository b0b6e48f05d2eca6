import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { type OwnProcess, startProcess } from './processes.js';

/**
 * Starts HAProxy with a configuration file, whose variables are those of `env`.
 *
 * @param isReady asked until it is true
 */
export async function startHaproxy(
  file: string,
  env: Readonly<Record<string, string>>,
  isReady: () => Promise<boolean>,
): Promise<OwnProcess> {
  const haproxy = startProcess('haproxy', ['-db', '-f', file], {
    env: { PATH: `${process.env.PATH ?? ''}:/usr/sbin`, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = ''; // among others of each server that comes and goes
  haproxy.child.stderr?.on('data', (chunk) => (said += String(chunk)));
  await once(haproxy.child, 'spawn').catch((error: unknown) => {
    throw new Error('HAProxy is missing: apt-get install -y haproxy', { cause: error });
  });
  const ended = once(haproxy.child, 'exit').then(() => Promise.reject(new Error(`HAProxy has ended: ${said}`)));
  const ready = async (): Promise<void> => {
    while (!(await isReady())) await sleep(50);
  };
  await Promise.race([ready(), ended]);
  ended.catch(() => undefined); // at the end of the test
  return haproxy;
}

export const answersReady = async (url: string): Promise<boolean> =>
  (await fetch(`${url}/readyz`).catch(() => null))?.ok === true;

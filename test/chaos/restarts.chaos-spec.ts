import { once } from 'node:events';
import { chmod } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { generateApiKey } from '../../src/common/api-key-format.js';
import { openEmbeddedPostgres } from '../../src/embedded-postgres/open-embedded-postgres.js';
import { Administrator } from '../support/administrator.js';
import { freePort } from '../support/ports.js';
import { startProcess } from '../support/processes.js';
import { Programs, type RunningServer } from '../support/server-process.js';

const RESTARTS = Number(process.env.CHAOS_RESTARTS ?? 10);
const REQUESTS_PER_SECOND = Number(process.env.CHAOS_REQUESTS_PER_SECOND ?? 300);
const USERS = 100;
const EXIT_LIMIT_MS = 10_000;

const url = (port: number): string => `http://127.0.0.1:${String(port)}`;

describe(`${String(RESTARTS)} rolling restarts of two instances behind HAProxy, at ${String(REQUESTS_PER_SECOND)} requests a second`, () => {
  it(
    'not one request fails, and every instance ends with 0 within 10 s',
    async () => {
      const programs = await Programs.inEmptyDirectory();
      await chmod(programs.cwd, 0o755);
      const database = await openEmbeddedPostgres({
        dataDir: `${programs.cwd}/.data`,
        owner: true,
        log: () => undefined,
      });
      const key = generateApiKey();
      const [callers, ...ports] = [await freePort(), await freePort(), await freePort()] as const;
      const start = (port: number): Promise<RunningServer> =>
        programs.startServer({
          PORT: String(port),
          DATABASE_URL: database.url,
          BOOTSTRAP_ADMIN_KEY: key,
          RATE_LIMIT_PER_MINUTE: '0',
          SHUTDOWN_DRAIN_MS: '2000',
          TRUST_PROXY: '1',
          LOG_LEVEL: 'info',
        });
      const instances: [RunningServer, RunningServer] = [await start(ports[0]), await start(ports[1])];
      const { child: proxy, end: endProxy } = startProcess('haproxy', ['-db', '-f', 'deploy/haproxy.cfg'], {
        env: {
          PATH: `${process.env.PATH ?? ''}:/usr/sbin`,
          LISTEN: `127.0.0.1:${String(callers)}`,
          INSTANCE_1: `127.0.0.1:${String(ports[0])}`,
          INSTANCE_2: `127.0.0.1:${String(ports[1])}`,
        },
        stdio: ['ignore', 'ignore', 'inherit'],
      });
      await Promise.race([
        once(proxy, 'spawn'),
        once(proxy, 'exit').then(() => Promise.reject(new Error('no HAProxy'))),
      ]);
      while (!(await fetch(`${url(callers)}/readyz`).catch(() => null))?.ok) await sleep(50);

      // Many callers: one row takes one commit after the other, and no more of them than the disk allows.
      const administrator = new Administrator(url(callers), key);
      const keys: string[] = [];
      while (keys.length < USERS) keys.push((await administrator.makeCaller(`caller-${String(keys.length)}`)).secret);

      const failures = new Map<string, number>();
      const failed = (what: string): void => {
        failures.set(what, (failures.get(what) ?? 0) + 1);
      };
      const exits: { code: number | null; ms: number }[] = [];
      let [requests, slowestMs] = [0, 0];
      const call = async (): Promise<void> => {
        const begun = performance.now();
        const changes = requests++ % 2 === 0 ? { method: 'PATCH', body: `{"name":"Request ${String(requests)}"}` } : {};
        try {
          const response = await fetch(`${url(callers)}/v1/users/me`, {
            ...changes,
            headers: { 'x-api-key': keys[requests % USERS] ?? '', 'content-type': 'application/json' },
          });
          const text = await response.text();
          if (response.status !== 200) failed(`${String(response.status)} ${text}`);
        } catch (error) {
          failed(String((error as Error).cause ?? error));
        }
        slowestMs = Math.max(slowestMs, performance.now() - begun);
      };
      const begun = performance.now();
      let going = true;
      const send = async (): Promise<void> => {
        const pending = new Set<Promise<void>>();
        for (let sent = 0; going;) {
          for (const due = ((performance.now() - begun) / 1000) * REQUESTS_PER_SECOND; sent < due; sent += 1) {
            const one: Promise<void> = call().finally(() => pending.delete(one));
            pending.add(one);
          }
          await sleep(5);
        }
        await Promise.all(pending);
      };
      const load = send();

      for (let restart = 0; restart < RESTARTS; restart += 1) {
        const which = restart % 2 === 0 ? 0 : 1;
        const told = performance.now();
        const { code } = await instances[which].end('SIGTERM');
        exits.push({ code, ms: performance.now() - told });
        instances[which] = await start(ports[which]);
      }
      going = false;
      await load;
      const seconds = (performance.now() - begun) / 1000;
      await endProxy();
      await programs.dispose();
      await database.close();
      process.stdout.write(
        `${JSON.stringify({
          restarts: exits.length,
          seconds: Math.round(seconds),
          requests,
          requests_per_second: Math.round(requests / seconds),
          failed: [...failures.values()].reduce((sum, count) => sum + count, 0),
          slowest_ms: Math.round(slowestMs),
          slowest_exit_ms: Math.round(Math.max(...exits.map(({ ms }) => ms))),
        })}\n`,
      );

      expect(failures).toEqual(new Map());
      expect(new Set(exits.map(({ code }) => code))).toEqual(new Set([0]));
      expect(Math.max(...exits.map(({ ms }) => ms))).toBeLessThan(EXIT_LIMIT_MS);
      expect(requests / seconds).toBeGreaterThan(REQUESTS_PER_SECOND * 0.99);
    },
    60_000 + RESTARTS * 15_000,
  );
});

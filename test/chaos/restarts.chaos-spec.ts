import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { generateApiKey } from '../../src/common/api-key-format.js';
import { type OpenDatabase, openEmbeddedPostgres } from '../../src/embedded-postgres/open-embedded-postgres.js';
import { Administrator } from '../support/administrator.js';
import { Connection } from '../support/connection.js';
import { answersReady, startHaproxy } from '../support/haproxy.js';
import { freePort } from '../support/ports.js';
import { type OwnProcess } from '../support/processes.js';
import { Programs, type RunningServer } from '../support/server-process.js';

/** Restarts of each kind, and repetitions. */
const RESTARTS = Number(process.env.CHAOS_RESTARTS ?? 10);
const REQUESTS_PER_SECOND = Number(process.env.CHAOS_REQUESTS_PER_SECOND ?? 300);
const USERS = 100;
/** Connections with a request each at the moment of SIGTERM. */
const EARLY = 20;
const EXIT_LIMIT_MS = 10_000;
const TIMEOUT_MS = 60_000 + RESTARTS * 15_000;

/** Milliseconds in which HAProxy finds out that an instance is told to stop. */
const DRAIN_MS = 2_000;

const url = (port: number): string => `http://127.0.0.1:${String(port)}`;

let programs: Programs;
let database: OpenDatabase;
const key = generateApiKey();

beforeAll(async () => {
  programs = await Programs.inEmptyDirectory();
  await chmod(programs.cwd, 0o755);
  database = await openEmbeddedPostgres({ dataDir: `${programs.cwd}/.data`, owner: true, log: () => undefined });
});
afterAll(async () => {
  await programs.dispose();
  await database.close();
});

const start = (drainMs: number, env: NodeJS.ProcessEnv = {}): Promise<RunningServer> =>
  programs.startServer({
    DATABASE_URL: database.url,
    BOOTSTRAP_ADMIN_KEY: key,
    RATE_LIMIT_PER_MINUTE: '0',
    SHUTDOWN_DRAIN_MS: String(drainMs),
    LOG_LEVEL: 'info',
    ...env,
  });

/**
 * HAProxy with the configuration of `deploy`; where `close` is set, with one request for each
 * connection on both sides.
 */
async function startProxy(close: boolean, callers: number, instances: readonly number[]): Promise<OwnProcess> {
  const configuration = await readFile('deploy/haproxy.cfg', 'utf8');
  const file = join(programs.cwd, 'haproxy.cfg');
  await writeFile(file, close ? configuration.replace('mode http\n', '$&  option httpclose\n') : configuration);
  const env = {
    LISTEN: `127.0.0.1:${String(callers)}`,
    INSTANCE_1: `127.0.0.1:${String(instances[0])}`,
    INSTANCE_2: `127.0.0.1:${String(instances[1])}`,
  };
  return startHaproxy(file, env, () => answersReady(url(callers)));
}

describe(`${String(RESTARTS)} rolling restarts of two instances behind HAProxy, at ${String(REQUESTS_PER_SECOND)} requests a second`, () => {
  it.each([
    ['kept connections', false],
    ['one connection per request', true],
  ])(
    'not one request fails, and every instance ends with 0 within 10 s: %s',
    async (name, close) => {
      const [callers, ...ports] = [await freePort(), await freePort(), await freePort()] as const;
      const startAt = (port: number): Promise<RunningServer> =>
        start(DRAIN_MS, { PORT: String(port), TRUST_PROXY: '1' });
      const instances: [RunningServer, RunningServer] = [await startAt(ports[0]), await startAt(ports[1])];
      const haproxy = await startProxy(close, callers, ports);

      // Many callers: one row takes one commit after the other, and no more of them than the disk
      // allows.
      const administrator = new Administrator(url(callers), key);
      const keys: string[] = [];
      while (keys.length < USERS) {
        const caller = `caller-${String(close)}-${String(keys.length)}`;
        keys.push((await administrator.makeCaller(caller)).secret);
      }

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
            headers: {
              'x-api-key': keys[requests % USERS] ?? '',
              'content-type': 'application/json',
              ...(close && { connection: 'close' }),
            },
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
          const due = ((performance.now() - begun) / 1000) * REQUESTS_PER_SECOND;
          // No more at a time than there are callers: this process may be delayed, and must not
          // make up for it in a burst.
          for (; sent < due && pending.size < USERS; sent += 1) {
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
        instances[which] = await startAt(ports[which]);
      }
      going = false;
      await load;
      const seconds = (performance.now() - begun) / 1000;
      await haproxy.end();
      await Promise.all(instances.map((instance) => instance.end('SIGTERM')));
      process.stdout.write(
        `${JSON.stringify({
          connections: name,
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
      expect(requests / seconds).toBeGreaterThan(REQUESTS_PER_SECOND * 0.9);
    },
    TIMEOUT_MS,
  );
});

const headers = `Host: a\r\nx-api-key: ${key}\r\nContent-Type: application/json\r\n`;
const body = JSON.stringify({ name: 'Ada Lovelace' });
const get = `GET /v1/users/me HTTP/1.1\r\n${headers}Connection: close\r\n\r\n`;
const patch = `PATCH /v1/users/me HTTP/1.1\r\n${headers}Connection: close\r\nContent-Length: ${String(body.length)}\r\n\r\n${body}`;

/** The status line of a whole response, or else what was received instead of it. */
const outcome = ({ received }: Connection): string =>
  received.endsWith('"credits_balance":0}') ? received.slice(0, 'HTTP/1.1 200'.length) : received;

describe(`A server without a drain time that is stopped ${String(RESTARTS)} times`, () => {
  it.each([
    ['it is paused, and has accepted none of them', true],
    ['it is running', false],
  ])(
    `answers ${String(EARLY)} connections with a whole request each before SIGTERM: %s`,
    async (name, isPaused) => {
      const answers = new Map<string, number>();
      const exits = new Set<number | null>();
      let slowestExitMs = 0;

      for (let repetition = 0; repetition < RESTARTS; repetition += 1) {
        const server = await start(0);
        if (isPaused) await server.pause();
        const early = await Promise.all(
          Array.from({ length: EARLY }, async (_, n) => {
            const connection = await Connection.to(server);
            await connection.sent(n % 2 === 0 ? get : patch);
            return connection;
          }),
        );
        const told = performance.now();
        const ended = server.end('SIGTERM');
        if (isPaused) server.signal('SIGCONT');
        await Promise.all(early.map((connection) => connection.closes()));
        exits.add((await ended).code);
        slowestExitMs = Math.max(slowestExitMs, performance.now() - told);
        for (const answer of early.map(outcome)) answers.set(answer, (answers.get(answer) ?? 0) + 1);
      }
      process.stdout.write(
        `${JSON.stringify({
          connections: name,
          stops: RESTARTS,
          requests: RESTARTS * EARLY,
          answered: answers.get('HTTP/1.1 200') ?? 0,
          slowest_exit_ms: Math.round(slowestExitMs),
        })}\n`,
      );

      expect(answers).toEqual(new Map([['HTTP/1.1 200', RESTARTS * EARLY]]));
      expect(exits).toEqual(new Set([0]));
    },
    TIMEOUT_MS,
  );

  // A connection that arrives in the instant in which the listener is closed is reset by the
  // kernel; a drain time prevents it.
});

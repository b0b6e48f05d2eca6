import { once } from 'node:events';
import { chmod } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { Client } from 'pg';
import { generateApiKey } from '../../src/common/api-key-format.js';
import { openEmbeddedPostgres } from '../../src/embedded-postgres/open-embedded-postgres.js';
import { Programs } from '../support/server-process.js';

const POOL = 2;
const CLIENTS = 200;
const LOCKED_MS = 10_000;
const ANSWER_LIMIT_MS = 2_500;
const LIVEZ_P99_LIMIT_MS = 50;
const RECOVERY_LIMIT_MS = 1_000;

interface Sample {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly ms: number;
  readonly status: number;
}

const now = (): number => performance.timeOrigin + performance.now();

const percentile = (values: readonly number[], p: number): number =>
  [...values].sort((a, b) => a - b)[Math.ceil(values.length * p) - 1] ?? NaN;

describe(`With ${String(POOL)} connections, ${String(CLIENTS)} clients and a row that is locked for 10 s`, () => {
  it('every answer comes within 2.5 s, /livez within 50 ms (p99), and all is normal within 1 s after the lock goes', async () => {
    const programs = await Programs.inEmptyDirectory();
    await chmod(programs.cwd, 0o755);
    const database = await openEmbeddedPostgres({
      dataDir: `${programs.cwd}/.data`,
      owner: true,
      log: () => undefined,
    });
    const key = generateApiKey();
    const server = await programs.startServer({
      DATABASE_URL: database.url,
      DATABASE_POOL_SIZE: String(POOL),
      BOOTSTRAP_ADMIN_KEY: key,
      RATE_LIMIT_PER_MINUTE: '0',
    });
    const locker = new Client({ connectionString: database.url });
    await locker.connect();

    const patches: Sample[] = [];
    let going = true;
    const patch = async (): Promise<void> => {
      while (going) {
        const at = now();
        const response = await fetch(`${server.url}/v1/users/me`, {
          method: 'PATCH',
          headers: { 'x-api-key': key, 'content-type': 'application/json' },
          body: JSON.stringify({ name: `At ${String(at)}` }),
        });
        await response.arrayBuffer();
        patches.push({ at, ms: now() - at, status: response.status });
        await sleep(10);
      }
    };
    const prober = new Worker('./test/support/prober.js', { workerData: `${server.url}/livez` });
    const clients = Array.from({ length: CLIENTS }, patch);

    await sleep(2_000);
    await locker.query('BEGIN');
    await locker.query('SELECT FROM users FOR UPDATE');
    const locked = now();
    await sleep(LOCKED_MS);
    await locker.query('ROLLBACK');
    const unlocked = now();
    await sleep(3_000);
    going = false;
    await Promise.all(clients);
    const probed = once(prober, 'message') as Promise<[Sample[]]>;
    prober.postMessage('end');
    const [lives] = await probed;
    await locker.end();
    await programs.dispose();
    await database.close();

    const during = patches.filter(({ at, ms }) => at > locked && at + ms < unlocked);
    const after = patches.filter(({ at }) => at > unlocked + RECOVERY_LIMIT_MS);
    const liveDuring = lives.filter(({ at, ms }) => at + ms > locked && at < unlocked);
    const liveMs = liveDuring.map(({ ms }) => ms);
    const firstSuccess = Math.min(
      ...patches.filter((s) => s.status === 200 && s.at + s.ms > unlocked).map((s) => s.at + s.ms - unlocked),
    );
    process.stdout.write(
      `${JSON.stringify({
        pool: POOL,
        clients: CLIENTS,
        locked_ms: LOCKED_MS,
        answers_while_locked: during.length,
        slowest_ms: Math.round(Math.max(...patches.map(({ ms }) => ms))),
        livez_p99_ms: Math.round(percentile(liveMs, 0.99)),
        first_200_after_ms: Math.round(firstSuccess),
        answers_from_1_s_after: after.length,
        of_which_200: after.filter(({ status }) => status === 200).length,
      })}\n`,
    );

    expect(new Set(patches.map(({ status }) => status))).toEqual(new Set([200, 503]));
    expect(new Set(during.map(({ status }) => status))).toEqual(new Set([503]));
    expect(Math.max(...patches.map(({ ms }) => ms))).toBeLessThan(ANSWER_LIMIT_MS);
    expect(new Set(liveDuring.map(({ status }) => status))).toEqual(new Set([200]));
    expect(percentile(liveMs, 0.99)).toBeLessThan(LIVEZ_P99_LIMIT_MS);
    expect(new Set(after.map(({ status }) => status))).toEqual(new Set([200]));
  });
});

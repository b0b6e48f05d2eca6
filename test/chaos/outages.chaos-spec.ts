import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { generateApiKey } from '../../src/common/api-key-format.js';
import { DatabaseServer } from '../support/database-server.js';
import { freePort } from '../support/ports.js';
import { startProcess } from '../support/processes.js';
import { type Proxy, startProxy } from '../support/proxy.js';
import { Programs, type RunningServer } from '../support/server-process.js';
import { documentedRoutes, type Sample, Traffic, UNSENT } from '../support/traffic.js';

const OUTAGE_MS = 5_000;
const PROBES = 8;
const LIMIT_MS = 3_000;
const RECOVERY_LIMIT_MS = 1_000;

const THROW_OUT = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'`;

interface Setting {
  readonly database: DatabaseServer;
  readonly proxy: Proxy;
}

interface Outage {
  readonly begin: (setting: Setting) => Promise<void> | void;
  readonly end: (setting: Setting) => Promise<void> | void;
  /** True where reads go on. */
  readonly readable?: true;
  /** True where the application reaches the database through the proxy. */
  readonly proxied?: true;
}

const OUTAGES: Readonly<Record<string, Outage>> = {
  stopped: {
    begin: ({ database }) => database.stop(),
    end: ({ database }) => database.up(),
  },
  killed: { begin: ({ database }) => database.signal('SIGKILL'), end: ({ database }) => database.up() },
  'out of connections': {
    begin: async ({ database }) => {
      await database.sql('ALTER ROLE app CONNECTION LIMIT 0');
      await database.sql(THROW_OUT);
    },
    end: async ({ database }) => {
      await database.sql('ALTER ROLE app CONNECTION LIMIT -1');
    },
  },
  'taking no connections': {
    begin: async ({ database }) => {
      await database.sql('ALTER DATABASE app ALLOW_CONNECTIONS false');
      await database.sql(THROW_OUT);
    },
    end: async ({ database }) => {
      await database.sql('ALTER DATABASE app ALLOW_CONNECTIONS true');
    },
  },
  'read-only': {
    readable: true,
    begin: async ({ database }) => {
      await database.sql('ALTER ROLE app SET default_transaction_read_only = on');
      await database.sql(THROW_OUT);
    },
    end: async ({ database }) => {
      await database.sql('ALTER ROLE app RESET default_transaction_read_only');
      await database.sql(THROW_OUT); // as a promotion does, which restarts the server that was the primary
    },
  },
  'without its synchronous standby': {
    readable: true,
    begin: async ({ database }) => {
      await database.sql(`ALTER SYSTEM SET synchronous_standby_names = 'missing'`);
      await database.sql('SELECT pg_reload_conf()');
    },
    end: async ({ database }) => {
      await database.sql('ALTER SYSTEM RESET synchronous_standby_names');
      await database.sql('SELECT pg_reload_conf()');
    },
  },
  'frozen (SIGSTOP)': {
    begin: ({ database }) => database.signal('SIGSTOP'),
    end: ({ database }) => database.signal('SIGCONT'),
  },
  'silent (packets dropped)': {
    proxied: true,
    begin: ({ proxy }) => {
      proxy.silence();
    },
    end: ({ proxy }) => {
      proxy.restore();
    },
  },
  'cut off (connections reset)': {
    proxied: true,
    begin: ({ proxy }) => {
      proxy.refuse();
    },
    end: ({ proxy }) => {
      proxy.restore();
    },
  },
};

/** An outage says nothing about a key: neither is a caller's 401, nor is a verified one refused. */
const isExpected = ({ status, retryAfter, allowed }: Sample): boolean =>
  status === 503 ? retryAfter === '1' : [200, 201, 204, 409].includes(status) && allowed !== false;

const statusesOf = (samples: readonly Sample[], route: string): string =>
  [...new Set(samples.filter((sample) => sample.route === route).map(({ status }) => status))].sort().join();

const slowestOf = (samples: readonly Sample[]): number => Math.max(...samples.map(({ ms }) => ms));

const report = (figures: object): void => {
  process.stdout.write(`${JSON.stringify(figures)}\n`);
};

let database: DatabaseServer;
let proxy: Proxy;
let programs: Programs;
const key = generateApiKey();
const start = (url: string, env: NodeJS.ProcessEnv = {}): Promise<RunningServer> =>
  programs.startServer({ DATABASE_URL: url, BOOTSTRAP_ADMIN_KEY: key, RATE_LIMIT_PER_MINUTE: '0', ...env });

beforeAll(async () => {
  database = await DatabaseServer.start();
  proxy = await startProxy(database.url);
  programs = await Programs.inEmptyDirectory();
});
afterAll(async () => {
  await programs.dispose();
  await proxy.close();
  await database.dispose();
});

describe('While the database is', () => {
  it.each(Object.entries(OUTAGES))(
    '%s: 503 within 3 s on every route, never 401, 500 or `allowed: false`; /livez is 200; the first 200 comes within 1 s of its return',
    async (name, { begin, end, readable, proxied }) => {
      const server = await start(proxied ? proxy.url : database.url);
      const routes = await documentedRoutes(server.url);
      const traffic = await Traffic.begin(server.url, key);
      for (let probe = 0; probe < PROBES; probe += 1) {
        traffic.repeat('PATCH /v1/users/me', '/v1/users/me', { name: `Client ${String(probe)}` });
        traffic.repeat('GET /v1/users/me', '/v1/users/me');
      }
      traffic.repeat('POST /v1/verify', '/v1/verify', { key });
      traffic.repeat('GET /v1/forward-auth', '/v1/forward-auth');
      traffic.repeat('GET /livez', '/livez');
      traffic.repeat('GET /readyz', '/readyz');

      await sleep(1_500);
      const began = performance.now();
      await begin({ database, proxy });
      const complete = performance.now();
      await sleep(OUTAGE_MS);
      const ended = performance.now();
      await end({ database, proxy });
      while (!(await database.accepts())) await sleep(5);
      const accepted = performance.now();
      await sleep(RECOVERY_LIMIT_MS + 500);
      const samples = await traffic.stop();
      const { code } = await server.end('SIGTERM');

      const during = samples.filter(({ at, ms }) => at > complete && at + ms < ended);
      const firstDone = samples
        .filter(
          ({ route, status, at, ms }) =>
            route === 'PATCH /v1/users/me' && status === 200 && at + ms > ended && at > began,
        )
        .map(({ at, ms }) => at + ms);
      const back = Math.max(0, Math.min(...firstDone) - accepted);
      const reads = during.filter(({ route }) => route === 'GET /v1/users/me');
      const failedReads = reads.filter(({ status }) => status !== 200).length;
      report({
        outage: name,
        requests: during.length,
        patch: statusesOf(during, 'PATCH /v1/users/me'),
        get: statusesOf(during, 'GET /v1/users/me'),
        reads: `${String(reads.length - failedReads)} of ${String(reads.length)}`,
        verify: statusesOf(during, 'POST /v1/verify'),
        forward_auth: statusesOf(during, 'GET /v1/forward-auth'),
        verified: samples.filter(({ allowed }) => allowed === true).length,
        livez: statusesOf(during, 'GET /livez'),
        readyz: statusesOf(during, 'GET /readyz'),
        slowest_ms: Math.round(slowestOf(samples)),
        first_200_after_ms: Math.round(back),
      });

      expect(samples.filter((sample) => !isExpected(sample))).toEqual([]);
      expect(routes.filter((route) => route !== UNSENT && statusesOf(samples, route) === '')).toEqual([]);
      expect(samples.some(({ allowed }) => allowed === true)).toBe(true);
      for (const route of ['POST /v1/verify', 'GET /v1/forward-auth'])
        expect(statusesOf(during, route)).toMatch(readable ? /^200/ : /^503$/);
      expect(statusesOf(during, 'PATCH /v1/users/me')).toBe('503');
      // Reads that waited for a connection when all of them were given up may fail, where reads go
      // on.
      expect(failedReads / reads.length).toBeCloseTo(readable ? 0 : 1, 1);
      expect(statusesOf(during, 'GET /livez')).toBe('200');
      expect(slowestOf(samples)).toBeLessThan(LIMIT_MS);
      expect(back).toBeLessThan(RECOVERY_LIMIT_MS);
      expect(code).toBe(0);
    },
  );
});

describe('While the database restarts', () => {
  it('every route gets 200, 201, 204, 409 or 503 within 3 s, in six restarts, and the ledger is whole', async () => {
    const server = await start(database.url);
    const traffic = await Traffic.begin(server.url, key, { clients: 16 });

    for (const mode of ['fast', 'fast', 'immediate', 'fast', 'fast', 'immediate'] as const) {
      await sleep(1_500);
      await database.stop(mode);
      await database.up();
    }
    await sleep(1_500);
    const samples = await traffic.stop();
    const reconciled = await programs.cli(['credits', 'reconcile'], { DATABASE_URL: database.url });
    await server.end('SIGTERM');

    const statuses: Record<string, number> = {};
    for (const { status } of samples) statuses[status] = (statuses[status] ?? 0) + 1;
    report({ restarts: 6, requests: samples.length, statuses, slowest_ms: Math.round(slowestOf(samples)) });
    expect(samples.filter((sample) => !isExpected(sample))).toEqual([]);
    expect(slowestOf(samples)).toBeLessThan(LIMIT_MS);
    expect(reconciled.code).toBe(0);
  });
});

describe('When the address of the database moves from a demoted primary to the new one', () => {
  it.each(['probes of /readyz every half second', 'requests to every route'])(
    'the server follows within 2 s: %s',
    async (kind) => {
      const primary = await DatabaseServer.start();
      const address = await startProxy(primary.url);
      const server = await start(address.url);
      const standby = await primary.startStandby();
      const all = kind === 'requests to every route' ? await Traffic.begin(server.url, key) : undefined;
      const ready = async (): Promise<number> => (await fetch(`${server.url}/readyz`)).status;
      while ((await ready()) !== 200) await sleep(50);

      // The old primary follows the new one and the address still leads to it, with connections of
      // the application.
      await standby.sql('SELECT pg_promote()');
      await primary.demote(standby);
      while ((await ready()) !== 503) await sleep(50);
      await sleep(1_000);
      const demoted = await ready();
      address.leadTo(standby.url);
      const moved = performance.now();
      while ((await ready()) !== 200) await sleep(500);
      const followedAfter = performance.now() - moved;
      const samples = (await all?.stop()) ?? [];
      const change = await fetch(`${server.url}/v1/users/me`, {
        method: 'PATCH',
        headers: { 'x-api-key': key, 'content-type': 'application/json' },
        body: '{"name":"On the new primary"}',
      });
      await server.end('SIGTERM');
      await address.close();
      await standby.dispose();
      await primary.dispose();

      report({ moved: kind, requests: samples.length, followed_after_ms: Math.round(followedAfter) });
      expect(demoted).toBe(503);
      expect(followedAfter).toBeLessThan(2_000);
      expect(change.status).toBe(200);
      expect(samples.filter((sample) => !isExpected(sample))).toEqual([]);
    },
  );
});

describe('A process that was paused', () => {
  it('gives the correct response or 503 within 3 s of its resumption, to requests of before and after', async () => {
    const server = await start(database.url);
    const traffic = await Traffic.begin(server.url, key, { clients: 16 });

    await sleep(1_500);
    server.signal('SIGSTOP');
    await sleep(7_000); // longer than a transaction may stay open (25P03)
    server.signal('SIGCONT');
    const resumed = performance.now();
    await sleep(3_000);
    const samples = await traffic.stop();
    await server.end('SIGTERM');

    const late = Math.max(...samples.map(({ at, ms }) => at + ms - Math.max(at, resumed)));
    report({ paused: 'process', requests: samples.length, slowest_after_ms: Math.round(late) });
    expect(samples.filter((sample) => !isExpected(sample))).toEqual([]);
    expect(late).toBeLessThan(LIMIT_MS);
  });
});

describe('A Redis that restarts', () => {
  it('fails no request', async () => {
    const port = String(await freePort());
    const redis = async (): Promise<ReturnType<typeof startProcess>> => {
      const running = startProcess('redis-server', ['--port', port, '--save', '', '--bind', '127.0.0.1'], {
        stdio: ['ignore', 'ignore', 'inherit'],
      });
      await Promise.race([
        once(running.child, 'spawn'),
        once(running.child, 'error').then(() => Promise.reject(new Error('Install redis-server for this test'))),
      ]);
      const client = new Redis(`redis://127.0.0.1:${port}`, { retryStrategy: () => 20 });
      client.on('error', () => undefined);
      await client.ping();
      client.disconnect();
      return running;
    };
    let running = await redis();
    const server = await start(database.url, {
      REDIS_URL: `redis://127.0.0.1:${port}`,
      RATE_LIMIT_PER_MINUTE: '1000000',
    });
    const traffic = await Traffic.begin(server.url, key, { clients: 16 });

    for (let restart = 0; restart < 3; restart += 1) {
      await sleep(1_500);
      await running.end();
      await sleep(1_000);
      running = await redis();
    }
    await sleep(1_500);
    const samples = await traffic.stop();
    await server.end('SIGTERM');
    await running.end();

    report({ restarted: 'Redis', requests: samples.length, slowest_ms: Math.round(slowestOf(samples)) });
    expect(samples.filter((sample) => sample.status === 503 || !isExpected(sample))).toEqual([]);
    expect(slowestOf(samples)).toBeLessThan(LIMIT_MS);
  });
});

import { readFile, readdir, chmod, realpath, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { generateApiKey } from '../../src/common/api-key-format.js';
import { findBinaries } from '../../src/database/embedded/binaries.js';
import { Cluster } from '../../src/database/embedded/cluster.js';
import { serverAccount } from '../../src/database/embedded/server-account.js';
import { temporaryDirectory } from '../support/processes.js';
import { type Proxy, startProxy } from '../support/proxy.js';
import { Programs, type RunningServer } from '../support/server-process.js';

const OUTAGE_MS = 5_000;
const CLIENTS = 8;
const LIMIT_MS = 3_000;
const RECOVERY_LIMIT_MS = 1_000;

interface Sample {
  readonly probe: string;
  readonly at: number;
  readonly status: number;
  readonly retryAfter: string | null;
  readonly ms: number;
}

/** A PostgreSQL server that can be treated badly, and the application's role on it, which is nobody special. */
class Database {
  private constructor(
    private readonly home: string,
    private readonly cluster: Cluster,
    private readonly port: number,
  ) {}

  static async start(): Promise<Database> {
    const home = await realpath((await temporaryDirectory()).path);
    await chmod(home, 0o755);
    const account = serverAccount();
    const cluster = new Cluster(
      home,
      findBinaries(account, () => undefined),
      account,
    );
    cluster.create();
    const database = new Database(home, cluster, await freePort());
    await database.up();
    await database.sql(`CREATE ROLE app LOGIN PASSWORD 'app'`);
    await database.sql('CREATE DATABASE app OWNER app');
    return database;
  }

  get url(): string {
    return `postgresql://app:app@127.0.0.1:${String(this.port)}/app`;
  }

  async sql(sql: string): Promise<void> {
    const client = await this.cluster.connect();
    if (typeof client === 'string') throw new Error('The database is down');
    await client.query(sql);
    await client.end();
  }

  stop(): void {
    this.cluster.stop();
  }

  async up(): Promise<void> {
    this.cluster.start(this.port);
    for (;;) {
      const client = await this.cluster.connect();
      if (typeof client !== 'string') {
        await client.end();
        return;
      }
      if (this.cluster.failed() !== null) this.cluster.start(this.port);
      await sleep(20);
    }
  }

  /** Sends a signal to the server and to each process of it. */
  async signal(signal: NodeJS.Signals): Promise<void> {
    const postmaster = Number((await readFile(join(this.home, 'postgres-18/postmaster.pid'), 'utf8')).split('\n')[0]);
    for (const pid of [postmaster, ...(await childrenOf(postmaster))]) process.kill(pid, signal);
  }

  async accepts(): Promise<boolean> {
    const client = new Client({ connectionString: this.url, connectionTimeoutMillis: 200, query_timeout: 200 });
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.query('CREATE TEMPORARY TABLE writable ()');
      return true;
    } catch {
      return false;
    } finally {
      void client.end().catch(() => undefined);
    }
  }

  async dispose(): Promise<void> {
    this.cluster.stop();
    await rm(this.home, { recursive: true, force: true });
  }
}

const THROW_OUT = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'`;

interface Outage {
  readonly begin: (database: Database, proxy: Proxy) => Promise<void> | void;
  readonly end: (database: Database, proxy: Proxy) => Promise<void> | void;
  /** True where reading goes on. */
  readonly readable?: true;
}

const OUTAGES: Readonly<Record<string, Outage>> = {
  stopped: {
    begin: (database) => {
      database.stop();
    },
    end: (database) => database.up(),
  },
  killed: { begin: (database) => database.signal('SIGKILL'), end: (database) => database.up() },
  'out of connections': {
    begin: async (database) => {
      await database.sql('ALTER ROLE app CONNECTION LIMIT 0');
      await database.sql(THROW_OUT);
    },
    end: (database) => database.sql('ALTER ROLE app CONNECTION LIMIT -1'),
  },
  'taking no connections': {
    begin: async (database) => {
      await database.sql('ALTER DATABASE app ALLOW_CONNECTIONS false');
      await database.sql(THROW_OUT);
    },
    end: (database) => database.sql('ALTER DATABASE app ALLOW_CONNECTIONS true'),
  },
  'read-only': {
    readable: true,
    begin: async (database) => {
      await database.sql('ALTER ROLE app SET default_transaction_read_only = on');
      await database.sql(THROW_OUT);
    },
    end: async (database) => {
      await database.sql('ALTER ROLE app RESET default_transaction_read_only');
      await database.sql(THROW_OUT); // as a failover does
    },
  },
  'frozen (SIGSTOP)': {
    begin: (database) => database.signal('SIGSTOP'),
    end: (database) => database.signal('SIGCONT'),
  },
  'silent (packets dropped)': {
    begin: (_, proxy) => {
      proxy.silence();
    },
    end: (_, proxy) => {
      proxy.restore();
    },
  },
};

describe('While the database is', () => {
  let database: Database;
  let proxy: Proxy;
  let programs: Programs;
  let server: RunningServer;
  const key = generateApiKey();

  beforeAll(async () => {
    database = await Database.start();
    proxy = await startProxy(database.url);
    programs = await Programs.inEmptyDirectory();
    server = await programs.startServer({
      DATABASE_URL: database.url,
      BOOTSTRAP_ADMIN_KEY: key,
      RATE_LIMIT_PER_MINUTE: '0',
    });
  });
  afterAll(async () => {
    await programs.dispose();
    await proxy.close();
    await database.dispose();
  });

  it.each(Object.entries(OUTAGES))(
    '%s: 503 within 3 s, never 401 or 500; /livez is 200, /readyz 503; the first 200 comes within 1 s of its return',
    async (name, { begin, end, readable }) => {
      const silent = name.startsWith('silent');
      const under = silent
        ? await programs.startServer({ DATABASE_URL: proxy.url, RATE_LIMIT_PER_MINUTE: '0' })
        : server;
      const samples: Sample[] = [];
      let going = true;
      const probe = async (label: string, path: string, body?: object): Promise<void> => {
        while (going) {
          const at = performance.now();
          const response = await fetch(under.url + path, {
            method: body ? 'PATCH' : 'GET',
            headers: { 'x-api-key': key, 'content-type': 'application/json' },
            ...(body && { body: JSON.stringify(body) }),
          });
          await response.arrayBuffer();
          const retryAfter = response.headers.get('retry-after');
          samples.push({ probe: label, at, status: response.status, retryAfter, ms: performance.now() - at });
          await sleep(10);
        }
      };
      const probes = [
        ...Array.from({ length: CLIENTS }, (_, n) => probe('PATCH', '/v1/users/me', { name: `Client ${String(n)}` })),
        ...Array.from({ length: CLIENTS }, () => probe('GET', '/v1/users/me')),
        probe('livez', '/livez'),
        probe('readyz', '/readyz'),
      ];

      await sleep(500);
      await begin(database, proxy);
      const began = performance.now();
      await sleep(OUTAGE_MS);
      const ended = performance.now();
      await end(database, proxy);
      while (!(await database.accepts())) await sleep(5);
      const accepted = performance.now();
      await sleep(RECOVERY_LIMIT_MS + 500);
      going = false;
      await Promise.all(probes);
      if (silent) await under.end('SIGTERM');

      const during = samples.filter(({ at, ms }) => at > began && at + ms < ended);
      const statuses = (label: string): string =>
        [...new Set(during.filter(({ probe: p }) => p === label).map(({ status }) => status))].join();
      const back = (label: string): number =>
        Math.min(
          ...samples
            .filter((s) => s.probe === label && s.status === 200 && s.at + s.ms > ended && s.at > began)
            .map((s) => s.at + s.ms),
        ) - accepted;
      const slowest = Math.max(...samples.map(({ ms }) => ms));
      process.stdout.write(
        `${JSON.stringify({
          outage: name,
          requests: during.length,
          patch: statuses('PATCH'),
          get: statuses('GET'),
          livez: statuses('livez'),
          readyz: statuses('readyz'),
          slowest_ms: Math.round(slowest),
          first_200_after_ms: Math.round(Math.max(0, back('PATCH'))),
        })}\n`,
      );

      expect(new Set(samples.map(({ status, retryAfter }) => `${String(status)} ${String(retryAfter)}`))).toEqual(
        new Set(['200 null', '503 1']),
      );
      expect(statuses('PATCH')).toBe('503');
      expect(statuses('GET')).toBe(readable ? '200' : '503');
      expect(statuses('livez')).toBe('200');
      expect(statuses('readyz')).toBe('503');
      expect(slowest).toBeLessThan(LIMIT_MS);
      expect(back('PATCH')).toBeLessThan(RECOVERY_LIMIT_MS);
    },
  );
});

async function childrenOf(parent: number): Promise<number[]> {
  const pids = (await readdir('/proc')).map(Number).filter((pid) => pid > 0);
  const parents = await Promise.all(
    pids.map((pid) =>
      readFile(`/proc/${String(pid)}/stat`, 'utf8').then(
        (stat) => Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]),
        () => 0,
      ),
    ),
  );
  return pids.filter((_, index) => parents[index] === parent);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((listening) => server.once('listening', listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}

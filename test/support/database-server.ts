import { execFile } from 'node:child_process';
import { chmod, cp, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { findBinaries } from '../../src/embedded-postgres/binaries.js';
import { Cluster } from '../../src/embedded-postgres/cluster.js';
import { serverAccount } from '../../src/embedded-postgres/server-account.js';
import { freePort } from './ports.js';
import { temporaryDirectory } from './processes.js';

const run = promisify(execFile);
const account = serverAccount();
const binaries = findBinaries(account, () => undefined);

/**
 * A PostgreSQL server that a test may stop, kill and pause, with the application's database and
 * role, which is no superuser.
 */
export class DatabaseServer {
  private constructor(
    private readonly home: string,
    private readonly cluster: Cluster,
    readonly port: number,
  ) {}

  static async start(): Promise<DatabaseServer> {
    const server = await DatabaseServer.in(await emptyHome());
    server.cluster.create();
    await server.up();
    await server.sql(`CREATE ROLE app LOGIN PASSWORD 'app'`);
    await server.sql('CREATE DATABASE app OWNER app');
    return server;
  }

  private static async in(home: string): Promise<DatabaseServer> {
    return new DatabaseServer(home, new Cluster(home, binaries, account), await freePort());
  }

  /**
   * A hot standby that follows this server, made from a copy of its files: this server restarts for
   * it.
   */
  async startStandby(): Promise<DatabaseServer> {
    const home = await emptyHome();
    await this.stop();
    await cp(this.home, home, { recursive: true, preserveTimestamps: true });
    if (account) await run('chown', ['-R', `${String(account.uid)}:${String(account.gid)}`, home]);
    const standby = await DatabaseServer.in(home);
    await standby.follow(this);
    await this.up();
    await standby.up();
    return standby;
  }

  private async follow(primary: DatabaseServer): Promise<void> {
    const password = (await readFile(join(this.directory, 'users-api.password'), 'utf8')).trim();
    const source = `host=127.0.0.1 port=${String(primary.port)} user=postgres password=${password}`;
    await writeFile(join(this.directory, 'standby.signal'), '');
    await writeFile(join(this.directory, 'postgresql.auto.conf'), `primary_conninfo = '${source}'\n`);
  }

  private get directory(): string {
    return join(this.home, `postgres-${binaries.major}`);
  }

  get url(): string {
    return `postgresql://app:app@127.0.0.1:${String(this.port)}/app`;
  }

  async sql<Row extends object>(sql: string): Promise<Row[]> {
    const client = await this.cluster.connect();
    if (typeof client === 'string') throw new Error('The database is down');
    try {
      return (await client.query<Row>(sql)).rows;
    } finally {
      await client.end();
    }
  }

  /**
   * @param mode as of pg_ctl: "immediate" is a crash, after which the server recovers from its log
   */
  async stop(mode: 'fast' | 'immediate' = 'fast'): Promise<void> {
    await run(binaries.pgCtl, ['stop', '-D', this.directory, '-m', mode, '-w'], { ...account, cwd: '/' });
  }

  /** Restarts as a hot standby of another server, as after a failover. */
  async demote(primary: DatabaseServer): Promise<void> {
    await this.stop();
    await this.follow(primary);
    await this.up();
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
    await signalServer(this.directory, signal);
  }

  /** The time of a CPU that its processes have used, in milliseconds. */
  async cpuMs(): Promise<number> {
    const postmaster = await postmasterOf(this.directory);
    const times = await Promise.all([postmaster, ...(await childrenOf(postmaster))].map(cpuMsOf));
    return times.reduce((sum, ms) => sum + ms, 0);
  }

  /** Whether the application's role can write now. */
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

/** The process of the server that uses a data directory. */
export const postmasterOf = async (directory: string): Promise<number> =>
  Number((await readFile(join(directory, 'postmaster.pid'), 'utf8')).split('\n')[0]);

/** Sends a signal to the server of a data directory and to each process of it. */
export async function signalServer(directory: string, signal: NodeJS.Signals): Promise<void> {
  const postmaster = await postmasterOf(directory);
  for (const pid of [postmaster, ...(await childrenOf(postmaster))]) process.kill(pid, signal);
}

async function emptyHome(): Promise<string> {
  const home = await realpath((await temporaryDirectory()).path);
  await chmod(home, 0o755);
  return home;
}

/**
 * The fields of `/proc/<pid>/stat` from the third on, which is the state; none for a process that
 * has ended.
 */
async function statOf(pid: number): Promise<string[]> {
  const stat = await readFile(`/proc/${String(pid)}/stat`, 'utf8').catch(() => '');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/** Linux counts in hundredths of a second, whatever its timer does. */
const TICK_MS = 10;

/** The time of a CPU that a process and its ended children have used, in milliseconds. */
export async function cpuMsOf(pid: number): Promise<number> {
  const [user = 0, system = 0, children = 0, childrenSystem = 0] = (await statOf(pid)).slice(11, 15).map(Number);
  return (user + system + children + childrenSystem) * TICK_MS;
}

async function childrenOf(parent: number): Promise<number[]> {
  const pids = (await readdir('/proc')).map(Number).filter((pid) => pid > 0);
  const parents = await Promise.all(pids.map(async (pid) => Number((await statOf(pid))[1])));
  return pids.filter((_, index) => parents[index] === parent);
}

import { once } from 'node:events';
import { chown, open, readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseEnv } from 'node:util';
import { Client } from 'pg';
import { serverAccount } from '../../src/embedded-postgres/server-account.js';
import { postmasterOf, signalServer } from './database-server.js';
import { startHaproxy } from './haproxy.js';
import { reservedPort } from './ports.js';
import { type OwnProcess, startProcess, temporaryDirectory } from './processes.js';

const account = serverAccount();
const PATH = `${process.env.PATH ?? ''}:/usr/sbin`;

/** Where Debian's packages put the versions of PostgreSQL. */
const INSTALLED = '/usr/lib/postgresql';

const PASSWORD = 'a-test';
const LOCAL = '127.0.0.1';

/** A member of `GET /cluster` of Patroni. */
interface Member {
  readonly name: string;
  readonly role: string;
  readonly state: string;
  readonly timeline?: number;
  /** Bytes behind the leader; not a number while it is unknown. */
  readonly lag?: unknown;
}

const isFollowing = ({ state }: Member): boolean => state === 'running' || state === 'streaming';

/** Runs a program of Debian's packages, as the account of PostgreSQL, with its output in a file. */
async function startDaemon(
  program: string,
  words: readonly string[],
  env: Readonly<Record<string, string>>,
  log: string,
): Promise<OwnProcess> {
  const output = await open(log, 'a');
  const daemon = startProcess(program, words, {
    ...account,
    env: { PATH, ...env },
    cwd: '/',
    stdio: ['ignore', output.fd, output.fd],
  });
  await once(daemon.child, 'spawn').catch((error: unknown) => {
    throw new Error(`${program} is missing: apt-get install -y patroni etcd-server haproxy`, { cause: error });
  });
  await output.close();
  return daemon;
}

/** A PostgreSQL server with the Patroni that starts, promotes and demotes it. */
export class PatroniNode {
  private patroni: OwnProcess | undefined;

  constructor(
    readonly name: string,
    readonly home: string,
    readonly port: number,
    readonly restPort: number,
    private readonly environment: Readonly<Record<string, string>>,
  ) {}

  private get directory(): string {
    return join(this.home, 'data');
  }

  get superuserUrl(): string {
    return `postgresql://postgres:${PASSWORD}@${LOCAL}:${String(this.port)}/postgres`;
  }

  async start(): Promise<void> {
    const file = resolve('deploy/patroni/patroni.yaml');
    const settings = {
      ...this.environment,
      PATRONI_NAME: this.name,
      PATRONI_POSTGRESQL_LISTEN: `${LOCAL}:${String(this.port)}`,
      PATRONI_POSTGRESQL_CONNECT_ADDRESS: `${LOCAL}:${String(this.port)}`,
      PATRONI_POSTGRESQL_DATA_DIR: this.directory,
      PATRONI_POSTGRESQL_PGPASS: join(this.home, 'pgpass'),
      PATRONI_RESTAPI_LISTEN: `${LOCAL}:${String(this.restPort)}`,
      PATRONI_RESTAPI_CONNECT_ADDRESS: `${LOCAL}:${String(this.restPort)}`,
    };
    this.patroni = await startDaemon('patroni', [file], settings, join(this.home, 'log'));
  }

  /** Stops PostgreSQL as well. */
  async stop(): Promise<void> {
    await this.patroni?.end();
  }

  async killPostmaster(): Promise<void> {
    process.kill(await postmasterOf(this.directory), 'SIGKILL');
  }

  /** Sends a signal to each process of PostgreSQL. */
  signalPostgres(signal: NodeJS.Signals): Promise<void> {
    return signalServer(this.directory, signal);
  }

  /** Sends a signal to Patroni and to each process of PostgreSQL. */
  async signalAll(signal: NodeJS.Signals): Promise<void> {
    this.patroni?.child.kill(signal);
    await this.signalPostgres(signal);
  }

  /** @returns undefined while Patroni does not answer */
  async members(): Promise<readonly Member[] | undefined> {
    try {
      const response = await fetch(`http://${LOCAL}:${String(this.restPort)}/cluster`, {
        signal: AbortSignal.timeout(2_000),
      });
      return ((await response.json()) as { members: Member[] }).members;
    } catch {
      return undefined;
    }
  }

  async switchover(): Promise<void> {
    const { PATRONI_RESTAPI_USERNAME: user = '', PATRONI_RESTAPI_PASSWORD: password = '' } = this.environment;
    const response = await fetch(`http://${LOCAL}:${String(this.restPort)}/switchover`, {
      method: 'POST',
      headers: { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` },
      body: JSON.stringify({ leader: this.name }),
    });
    if (!response.ok) throw new Error(`Switchover: ${String(response.status)} ${await response.text()}`);
  }
}

/**
 * Three nodes of PostgreSQL under Patroni, etcd, and HAProxy before them, with the configuration of
 * `deploy/patroni`, and the application's database and role.
 */
export class PatroniCluster {
  private constructor(
    readonly nodes: readonly PatroniNode[],
    private readonly port: number,
    private readonly others: readonly OwnProcess[],
  ) {}

  /**
   * @param etcdApi etcd's v2 or v3 API, as the names of Patroni's settings have it
   * @throws Error if `patroni`, `etcd-server`, `haproxy` or PostgreSQL is not installed
   */
  static async start(etcdApi: 'etcd' | 'etcd3'): Promise<PatroniCluster> {
    const versions = await readdir(INSTALLED).catch(() => []);
    const version = Math.max(...versions.map(Number).filter((number) => number >= 13));
    if (version < 0)
      throw new Error('PostgreSQL is missing: apt-get install -y patroni etcd-server haproxy postgresql');
    const ports: number[] = [];
    while (ports.length < 9) ports.push(...[await reservedPort()].filter((port) => !ports.includes(port)));
    const [etcdPort = 0, peerPort = 0, port = 0, ...nodePorts] = ports;

    const client = `http://${LOCAL}:${String(etcdPort)}`;
    const peer = `http://${LOCAL}:${String(peerPort)}`;
    const etcdHome = await emptyHome();
    const etcd = await startDaemon(
      'etcd',
      [],
      {
        ...(parseEnv(await readFile('deploy/patroni/etcd.env', 'utf8')) as Record<string, string>),
        ETCD_DATA_DIR: join(etcdHome, 'data'),
        ETCD_LISTEN_CLIENT_URLS: client,
        ETCD_ADVERTISE_CLIENT_URLS: client,
        ETCD_LISTEN_PEER_URLS: peer,
        ETCD_INITIAL_ADVERTISE_PEER_URLS: peer,
        ETCD_INITIAL_CLUSTER: `default=${peer}`,
      },
      join(etcdHome, 'log'),
    );
    const environment = {
      [`PATRONI_${etcdApi.toUpperCase()}_HOSTS`]: `${LOCAL}:${String(etcdPort)}`,
      PATRONI_POSTGRESQL_BIN_DIR: join(INSTALLED, String(version), 'bin'),
      PATRONI_RESTAPI_USERNAME: 'patroni',
      PATRONI_RESTAPI_PASSWORD: PASSWORD,
      PATRONI_SUPERUSER_PASSWORD: PASSWORD,
      PATRONI_REPLICATION_PASSWORD: PASSWORD,
      PATRONI_REWIND_PASSWORD: PASSWORD,
    };
    const nodes = await Promise.all(
      ['one', 'two', 'three'].map(
        async (name, index) =>
          new PatroniNode(
            name,
            await emptyHome(),
            nodePorts[index * 2] ?? 0,
            nodePorts[index * 2 + 1] ?? 0,
            environment,
          ),
      ),
    );
    for (const node of nodes) await node.start();

    const haproxy = await startHaproxy(
      'deploy/patroni/haproxy.cfg',
      {
        LISTEN: `${LOCAL}:${String(port)}`,
        ...Object.fromEntries(
          nodes.flatMap((node, index) => [
            [`NODE_${String(index + 1)}`, `${LOCAL}:${String(node.port)}`],
            [`REST_PORT_${String(index + 1)}`, String(node.restPort)],
          ]),
        ),
      },
      () => Promise.resolve(true),
    );
    const cluster = new PatroniCluster(nodes, port, [haproxy, etcd]);
    await cluster.settled();
    await cluster.createDatabase();
    return cluster;
  }

  private async createDatabase(): Promise<void> {
    const primary = new Client({ connectionString: (await this.primary()).superuserUrl });
    await primary.connect();
    await primary.query(`CREATE ROLE app LOGIN PASSWORD '${PASSWORD}'`);
    await primary.query('CREATE DATABASE app OWNER app');
    await primary.end();
  }

  /** For the application: by HAProxy, which follows the primary. */
  get url(): string {
    return `postgresql://app:${PASSWORD}@${LOCAL}:${String(this.port)}/app`;
  }

  async primary(): Promise<PatroniNode> {
    return this.nodeOf('leader');
  }

  async synchronousStandby(): Promise<PatroniNode> {
    return this.nodeOf('sync_standby');
  }

  private async nodeOf(role: string): Promise<PatroniNode> {
    const name = (await this.members()).find((member) => member.role === role)?.name;
    const node = this.nodes.find((candidate) => candidate.name === name);
    if (!node) throw new Error(`There is no ${role}`);
    return node;
  }

  private async members(): Promise<readonly Member[]> {
    const views = await Promise.all(this.nodes.map((node) => node.members()));
    return views.find((view) => view !== undefined) ?? [];
  }

  /** Waits for a primary with two standbys that follow it, one of which is synchronous. */
  async settled(): Promise<void> {
    for (;;) {
      const views = await Promise.all(this.nodes.map((node) => node.members()));
      if (views.every((view) => view !== undefined && isSettled(view))) return;
      await sleep(200);
    }
  }

  async dispose(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
    for (const other of this.others) await other.end();
  }
}

function isSettled(members: readonly Member[]): boolean {
  const roles = members.map(({ role }) => role).sort();
  const [leader] = members.filter(({ role }) => role === 'leader');
  return (
    roles.join() === 'leader,replica,sync_standby' &&
    members.every((member) => isFollowing(member) && member.timeline === leader?.timeline) &&
    members.every(({ role, lag }) => role === 'leader' || typeof lag === 'number')
  );
}

/** A directory that belongs to PostgreSQL's account. */
async function emptyHome(): Promise<string> {
  const { path } = await temporaryDirectory();
  if (account) await chown(path, account.uid, account.gid);
  return path;
}

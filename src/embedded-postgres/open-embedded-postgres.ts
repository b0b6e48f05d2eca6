import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { findBinaries, SYSTEM_STATE_DIR } from './binaries.js';
import { ADVISORY_LOCKS } from '../database/advisory-locks.js';
import { Cluster } from './cluster.js';
import { chooseDataDirectory } from './data-directory.js';
import { EmbeddedPostgresError } from './embedded-postgres.error.js';
import { freePort } from './free-port.js';

export interface EmbeddedPostgresOptions {
  /**
   * The directory of the data. By default `.data` here or, if the server's account cannot access
   * that, one under /var/lib.
   */
  readonly dataDir: string | undefined;
  /**
   * True for the application: it owns the data directory, refuses to share it, adopts a server that
   * a killed process left running, and restarts it if it dies. False for a command: it uses a
   * running server, or starts one for as long as commands use it.
   */
  readonly owner: boolean;
  readonly log: (message: string) => void;
}

export interface OpenDatabase {
  readonly url: string;
  /** The place of the data, to be shown: it contains no password. */
  readonly place: string;
  /** The server process id of the connection that is held open, if any. */
  readonly sessionPid?: number | undefined;
  /**
   * Stops the server once no other process uses it. At any other exit of the process the server is
   * stopped at once.
   */
  close(): Promise<void>;
}

/** The wait for the advisory lock of the owner, which the server releases when its holder dies. */
const OWNER_LOCK_WAIT = '5s'; // long enough for a command that started the server to end
const TRY_FOR_MS = 60_000;
const POLL_MS = 50;
const MAX_FAILURES = 6; // within about three seconds: a killed server may take one second to disappear

/**
 * Returns the URL of the PostgreSQL server of the data directory, and starts the server unless it
 * is running. A server that was started or adopted is stopped when the process exits, unless the
 * process is killed.
 *
 * @throws EmbeddedPostgresError with the reason and, if there is one, the remedy
 */
export async function openEmbeddedPostgres({ dataDir, owner, log }: EmbeddedPostgresOptions): Promise<OpenDatabase> {
  dropPostgresVariables();
  const { home, account } = chooseDataDirectory(dataDir, SYSTEM_STATE_DIR, log);
  const cluster = new Cluster(home, findBinaries(account, log), account);
  cluster.create();

  const { client, owned } = await acquire(cluster, home, owner, await freePort());
  const url = cluster.url();
  if (!url) throw new EmbeddedPostgresError('The PostgreSQL server stopped right after its start');
  if (owner) {
    cluster.removeAbandoned();
    restartOnLoss(client, cluster, home, Number(new URL(url).port), log);
  }
  return {
    url,
    place: home,
    sessionPid: (client as Referable).processID ?? undefined,
    close: async () => {
      (client as Referable).ref(); // this wait must keep the process alive
      if (owned && !owner) await client.query('SELECT pg_advisory_lock($1)', [ADVISORY_LOCKS.embeddedServerUser]); // after all other commands
      client.removeAllListeners('end');
      if (owned) cluster.stop(); // with the lock held: a command that starts now would lose its server
      await client.end().catch(() => undefined);
    },
  };
}

/**
 * Removes the variables that PostgreSQL's programs and `pg` read (`PGSSLMODE`, `PGDATA`, …): they
 * are meant for other servers.
 */
function dropPostgresVariables(): void {
  // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- the environment is a dictionary
  for (const name of Object.keys(process.env)) if (/^PG/i.test(name)) delete process.env[name];
}

/** Missing in @types/pg. */
type Referable = Client & { readonly processID: number | null; ref(): void; unref(): void };

interface Acquired {
  /** Holds the advisory lock, and must stay open. */
  readonly client: Client;
  /** Whether this process stops the server. */
  readonly owned: boolean;
}

async function acquire(cluster: Cluster, home: string, owner: boolean, port: number): Promise<Acquired> {
  const deadline = Date.now() + TRY_FOR_MS;
  let started = false;
  for (let failures = 0; Date.now() < deadline;) {
    const client = await cluster.connect();
    if (client === 'busy') {
      // A server is starting or stopping: another one could not be started now.
    } else if (client !== 'absent') {
      const owned = owner || cluster.isRunByUs();
      if (!owned) cancelStopAtExit(cluster);
      if (await lock(client, owned, cluster, home)) {
        if (owned) stopAtExit(cluster);
        return { client, owned };
      }
      started = false;
    } else if (!started) {
      stopAtExit(cluster);
      cluster.start(port);
      started = true;
    } else {
      const reason = cluster.failed();
      if (reason !== null) {
        // Another process may have started a server first. It will accept connections soon, and the
        // other process stops it.
        cancelStopAtExit(cluster);
        started = false;
        failures += 1;
        if (failures === MAX_FAILURES) throw new EmbeddedPostgresError(`PostgreSQL does not start:\n${reason}`);
        await sleep(10 * POLL_MS);
      }
    }
    await sleep(POLL_MS);
  }
  throw new EmbeddedPostgresError(`The PostgreSQL server in ${home} does not come up`);
}

/**
 * @returns false if the server stopped during the wait, because the command that had started it has
 *   ended
 */
async function lock(client: Client, owned: boolean, cluster: Cluster, home: string): Promise<boolean> {
  try {
    if (owned) {
      await client.query(`SET lock_timeout = '${OWNER_LOCK_WAIT}'`);
      await client.query('SELECT pg_advisory_lock($1)', [ADVISORY_LOCKS.embeddedServerOwner]);
      await client.query('SET lock_timeout = 0');
    } else {
      await client.query('SELECT pg_advisory_lock_shared($1)', [ADVISORY_LOCKS.embeddedServerUser]);
    }
    (client as Referable).unref(); // the lock must not keep the process alive
    return true;
  } catch (error) {
    await client.end().catch(() => undefined);
    if ((error as { code?: unknown }).code !== '55P03') return false;
    cancelStopAtExit(cluster);
    throw new EmbeddedPostgresError(
      `${home} is in use by another instance. Give this one a DATA_DIR of its own, or set DATABASE_URL for both.`,
    );
  }
}

/**
 * Restarts a server that dies, on the port of the pool. If only the connection was lost, the lock
 * is acquired again.
 */
function restartOnLoss(
  client: Client,
  cluster: Cluster,
  home: string,
  port: number,
  log: (message: string) => void,
): void {
  client.once('end', () => {
    log('The connection to the PostgreSQL server was lost');
    acquire(cluster, home, true, port).then(
      (again) => {
        log('The PostgreSQL server is back');
        restartOnLoss(again.client, cluster, home, port, log);
      },
      (error: unknown) => {
        log(`${(error as Error).message}\nWithout its database the process ends`);
        process.exit(1);
      },
    );
  });
}

const stops = new Map<Cluster, () => void>();

/** The 'exit' event is emitted at every exit except a kill, and its handler must be synchronous. */
function stopAtExit(cluster: Cluster): void {
  if (stops.has(cluster)) return;
  const stop = (): void => {
    cluster.stop();
  };
  stops.set(cluster, stop);
  process.once('exit', stop);
  // By default a signal ends the process without the 'exit' event.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    if (process.listenerCount(signal) === 0) process.once(signal, () => process.exit(1));
  }
}

function cancelStopAtExit(cluster: Cluster): void {
  const stop = stops.get(cluster);
  if (stop) process.off('exit', stop);
  stops.delete(cluster);
}

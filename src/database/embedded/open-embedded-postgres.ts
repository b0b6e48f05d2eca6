import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { findBinaries, SYSTEM_STATE_DIR } from './binaries.js';
import { ADVISORY_LOCKS } from '../advisory-locks.js';
import { Cluster } from './cluster.js';
import { chooseDataDirectory } from './data-directory.js';
import { EmbeddedPostgresError } from './embedded-postgres.error.js';
import { freePort } from './free-port.js';

export interface EmbeddedPostgresOptions {
  /** Where the data goes. Undefined: `.data` here or, where the server's account could not reach that, a place under /var/lib. */
  readonly dataDir: string | undefined;
  /**
   * True for the application: it owns the data directory, refuses to share it, takes over a server that a killed run left
   * behind, and starts it again if it dies. False for a command: it uses the server that runs, or starts one for as long
   * as commands need it.
   */
  readonly owner: boolean;
  readonly log: (message: string) => void;
}

export interface OpenDatabase {
  readonly url: string;
  /** Where the data is, for people to read; no password. */
  readonly place: string;
  /** Ends what `url` stood for, once nobody else uses it. On other ways out of the process it ends at once. */
  close(): Promise<void>;
}

/** The wait for the advisory lock of the owner, which the server releases when its holder dies. */
const OWNER_LOCK_WAIT = '5s'; // long enough for a command that started the server to finish
const TRY_FOR_MS = 60_000;
const POLL_MS = 50;
const MAX_FAILURES = 6; // in some three seconds: a server that was killed may take one of them to be gone

/**
 * Gives a URL of a PostgreSQL server in the data directory, starting one unless one runs. What it starts or takes over it
 * stops when the process exits, on every way out that a process gets to see.
 *
 * @throws EmbeddedPostgresError with the reason, and the way out where there is one
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
    keepUp(client, cluster, home, Number(new URL(url).port), log);
  }
  return {
    url,
    place: home,
    close: async () => {
      (client as Referable).ref(); // this wait must keep the process alive
      if (owned && !owner) await client.query('SELECT pg_advisory_lock($1)', [ADVISORY_LOCKS.embeddedServerUser]); // after the last other command
      client.removeAllListeners('end');
      if (owned) cluster.stop(); // while we hold the lock: a command that came in between would lose the server under its feet
      await client.end().catch(() => undefined);
    },
  };
}

/**
 * Removes the variables that PostgreSQL's programs and `pg` read (`PGSSLMODE`, `PGOPTIONS`, `PGDATA`, …): in a user's shell
 * they are meant for other servers.
 */
function dropPostgresVariables(): void {
  // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- the environment is a dictionary
  for (const name of Object.keys(process.env)) if (/^PG/i.test(name)) delete process.env[name];
}

/** Missing in @types/pg. */
type Referable = Client & { ref(): void; unref(): void };

interface Acquired {
  /** Holds our lock, and must stay open. */
  readonly client: Client;
  /** Whether the server is ours to stop. */
  readonly owned: boolean;
}

async function acquire(cluster: Cluster, home: string, owner: boolean, port: number): Promise<Acquired> {
  const deadline = Date.now() + TRY_FOR_MS;
  let started = false;
  for (let failures = 0; Date.now() < deadline;) {
    const client = await cluster.connect();
    if (client === 'busy') {
      // The server of another process may take its time to go, or ours to come: to start one meanwhile would fail.
    } else if (client !== 'absent') {
      const owned = owner || cluster.isRunByUs();
      if (!owned) leaveAtExit(cluster);
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
        // Another process may have been quicker: then its server, which is not ours to stop, answers soon.
        leaveAtExit(cluster);
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

/** @returns false if the server went away while we waited: the command that had started it is done */
async function lock(client: Client, owned: boolean, cluster: Cluster, home: string): Promise<boolean> {
  try {
    if (owned) {
      await client.query(`SET lock_timeout = '${OWNER_LOCK_WAIT}'`);
      await client.query('SELECT pg_advisory_lock($1)', [ADVISORY_LOCKS.embeddedServerOwner]);
      await client.query('SET lock_timeout = 0');
    } else {
      await client.query('SELECT pg_advisory_lock_shared($1)', [ADVISORY_LOCKS.embeddedServerUser]);
    }
    (client as Referable).unref(); // a lock alone must not keep the process alive
    return true;
  } catch (error) {
    await client.end().catch(() => undefined);
    if ((error as { code?: unknown }).code !== '55P03') return false;
    leaveAtExit(cluster);
    throw new EmbeddedPostgresError(
      `${home} is in use by another instance. Give this one a DATA_DIR of its own, or set DATABASE_URL for both.`,
    );
  }
}

/** A server that dies is started again, on the port that the pool knows; while it only threw us out, the lock is taken again. */
function keepUp(client: Client, cluster: Cluster, home: string, port: number, log: (message: string) => void): void {
  client.once('end', () => {
    log('The connection to the PostgreSQL server was lost');
    acquire(cluster, home, true, port).then(
      (again) => {
        log('The PostgreSQL server is back');
        keepUp(again.client, cluster, home, port, log);
      },
      (error: unknown) => {
        log(`${(error as Error).message}\nWithout its database the process ends`);
        process.exit(1);
      },
    );
  });
}

const stops = new Map<Cluster, () => void>();

/** The 'exit' event comes on every way out but a kill, and lets us finish, as long as all is synchronous. */
function stopAtExit(cluster: Cluster): void {
  if (stops.has(cluster)) return;
  const stop = (): void => {
    cluster.stop();
  };
  stops.set(cluster, stop);
  process.once('exit', stop);
  // By default a signal ends the process without that event.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    if (process.listenerCount(signal) === 0) process.once(signal, () => process.exit(1));
  }
}

function leaveAtExit(cluster: Cluster): void {
  const stop = stops.get(cluster);
  if (stop) process.off('exit', stop);
  stops.delete(cluster);
}

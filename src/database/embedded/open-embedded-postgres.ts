import { createHash } from 'node:crypto';
import { createServer, type AddressInfo } from 'node:net';
import { basename, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { findBinaries, SYSTEM_STATE_DIR } from './binaries.js';
import { Cluster, makeHome } from './cluster.js';
import { EmbeddedPostgresError } from './embedded-postgres.error.js';
import { canEnter, type ServerAccount, serverAccount } from './server-account.js';

export interface EmbeddedPostgresOptions {
  /** Where the data goes. Undefined: `.data` here or, where the server's account could not reach that, a place under /var/lib. */
  readonly dataDir: string | undefined;
  /**
   * True for the application: it owns the data directory, refuses to share it, and takes over a server that a killed
   * run left behind. False for a command: it uses the server that runs, or starts one for as long as it needs it.
   */
  readonly owner: boolean;
  readonly log: (message: string) => void;
}

/** Held, in the server itself, by whoever owns the data directory: it goes when its holder dies, however it dies. */
const OWNER_LOCK = 7_573_001;
const OWNER_LOCK_WAIT = '5s'; // long enough for a command that started the server to finish
const TRY_FOR_MS = 60_000;

/**
 * Gives a URL of a PostgreSQL server in the data directory, starting one unless one runs. What it starts or takes over it
 * stops when the process exits, on every way out that a process gets to see.
 *
 * @throws EmbeddedPostgresError with the reason, and the way out where there is one
 */
export async function openEmbeddedPostgres({ dataDir, owner, log }: EmbeddedPostgresOptions): Promise<string> {
  const account = serverAccount();
  const home = chooseHome(dataDir, account, log);
  const cluster = new Cluster(home, findBinaries(account, log), account);
  cluster.create();

  const deadline = Date.now() + TRY_FOR_MS;
  let started = false;
  while (Date.now() < deadline) {
    const client = await cluster.connect();
    if (!client) {
      started = cluster.start(await freePort());
      if (started) stopAtExit(cluster);
      else await sleep(250); // another process is starting it
    } else if (owner || started) {
      if (await own(client, home)) {
        if (!started) stopAtExit(cluster);
        return urlOf(cluster);
      }
    } else {
      await client.end();
      return urlOf(cluster);
    }
  }
  throw new EmbeddedPostgresError(`The PostgreSQL server in ${home} does not come up`);
}

function chooseHome(
  dataDir: string | undefined,
  account: ServerAccount | undefined,
  log: (message: string) => void,
): string {
  let home = resolve(dataDir ?? '.data');
  if (account && !canEnter(account, home)) {
    if (dataDir !== undefined) {
      throw new EmbeddedPostgresError(
        `DATA_DIR cannot be ${home}: PostgreSQL does not run as root, and the account "postgres" cannot enter it`,
      );
    }
    const name = `${basename(process.cwd())}-${createHash('sha256').update(home).digest('hex').slice(0, 12)}`;
    log(`The database is in ${join(SYSTEM_STATE_DIR, name)}, since PostgreSQL's account cannot enter ${home}`);
    home = join(SYSTEM_STATE_DIR, name);
  }
  try {
    makeHome(home);
  } catch (error) {
    throw new EmbeddedPostgresError(
      `${dataDir === undefined ? 'The data directory' : 'DATA_DIR'} cannot be ${home}: ${(error as Error).message}`,
    );
  }
  return home;
}

/** @returns false if the server went away while we waited: the command that had started it is done */
async function own(client: Client, home: string): Promise<boolean> {
  try {
    await client.query(`SET lock_timeout = '${OWNER_LOCK_WAIT}'`);
    await client.query('SELECT pg_advisory_lock($1)', [OWNER_LOCK]);
    (client as Client & { unref(): void }).unref(); // the lock alone must not keep the process alive (missing in @types/pg)
    return true;
  } catch (error) {
    await client.end().catch(() => undefined);
    if ((error as { code?: unknown }).code !== '55P03') return false;
    throw new EmbeddedPostgresError(
      `${home} is in use by another instance. Give this one a DATA_DIR of its own, or set DATABASE_URL for both.`,
    );
  }
}

function urlOf(cluster: Cluster): string {
  const url = cluster.url();
  if (!url) throw new EmbeddedPostgresError('The PostgreSQL server stopped right after its start');
  return url;
}

/** The 'exit' event comes on every way out but a kill, and lets us finish, as long as all is synchronous. */
function stopAtExit(cluster: Cluster): void {
  process.once('exit', () => {
    cluster.stop();
  });
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((listening) => server.once('listening', listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}

import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { EmbeddedPostgresError } from './embedded-postgres.error.js';
import { asAccount, canEnter, hasName, isRoot, ownerOf, serverAccount, type ServerAccount } from './server-account.js';

export interface DataDirectory {
  /** The real path. */
  readonly home: string;
  /** The account that PostgreSQL runs as; undefined for that of the process. */
  readonly account: ServerAccount | undefined;
}

/**
 * Chooses the data directory and the account of the server, and creates the directory.
 *
 * A directory that contains a cluster is used, with the account that owns the cluster, or refused:
 * an empty database must never replace an existing one. A new cluster belongs to the owner of the
 * directory, so that root and that owner use the same data, and to the account `postgres` if that
 * owner is root.
 *
 * @param wanted `DATA_DIR`, or undefined for `.data` here or, if the account cannot access that, a
 *   directory below `fallback`
 * @throws EmbeddedPostgresError with the reason
 */
export function chooseDataDirectory(
  wanted: string | undefined,
  fallback: string,
  log: (message: string) => void,
): DataDirectory {
  const directory = resolve(wanted ?? '.data');
  const refuse = (reason: string): EmbeddedPostgresError =>
    new EmbeddedPostgresError(
      `${wanted === undefined ? 'The data directory' : 'DATA_DIR'} cannot be ${directory}: ${reason}`,
    );
  const attempt = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw refuse((error as Error).message);
    }
  };
  const place = wanted === undefined ? placeBelow(fallback, directory) : undefined;
  const [here, elsewhere] = [directory, place].map((path) => path && attempt(() => findCluster(path)));

  if (here) {
    if (elsewhere) log(`An earlier start as root left another database in ${elsewhere}, which is not used`);
    return attempt(() => ({ home: realpathSync(directory), account: accountOf(here) }));
  }
  if (place && elsewhere) {
    if (!isRoot())
      throw refuse(`an earlier start as root put the data in ${place}. Start as root, or set DATA_DIR to start anew.`);
    log(`The database is in ${place}, where an earlier start put it`);
    return attempt(() => ({ home: realpathSync(place), account: accountOf(elsewhere) }));
  }

  const nearest = nearestExisting(directory);
  if (!statSync(nearest).isDirectory()) throw refuse(`${nearest} is not a directory`);
  const owner = isRoot() ? ordinaryOwner(nearest) : undefined;
  const account = owner ?? serverAccount();
  const make = (path: string): string => {
    makeDirectory(path);
    return realpathSync(path);
  };
  if (!account || canEnter(account, nearest))
    return attempt(() => ({ home: asAccount(owner, () => make(directory)), account }));
  if (!place) {
    const name = owner ? String(owner.uid) : '"postgres"';
    throw refuse(`PostgreSQL does not run as root, and the account ${name} cannot enter ${nearest}`);
  }
  log(`The database is in ${place}, since PostgreSQL's account cannot enter ${directory}`);
  return attempt(() => ({ home: make(place), account: serverAccount() }));
}

/** The cluster in a directory, of any version of PostgreSQL, or undefined if there is none. */
export function findCluster(directory: string): string | undefined {
  try {
    const names = readdirSync(directory).filter((entry) => /^postgres-\d+$/.test(entry));
    const newest = names.sort().at(-1);
    return newest && join(directory, newest);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}

/** Creates a directory and its missing parents with the mode 0755, whatever the umask. */
export function makeDirectory(directory: string): void {
  if (existsSync(directory)) return;
  makeDirectory(dirname(directory));
  try {
    mkdirSync(directory);
  } catch (error) {
    // Another process may have created it meanwhile, and may not have set its mode yet.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  chmodSync(directory, 0o755);
}

/** @throws the reason why PostgreSQL cannot run as the cluster's owner */
function accountOf(cluster: string): ServerAccount | undefined {
  const owner = ownerOf(cluster);
  const user = String(owner.uid);
  if (!isRoot()) {
    if (process.getuid && process.getuid() !== owner.uid)
      throw new Error(`${cluster} belongs to another user (${user}). Start as that one, or as root.`);
    return undefined;
  }
  if (owner.uid === 0)
    throw new Error(
      `${cluster} belongs to root, as which PostgreSQL does not run. Give it back to the account that created it (chown -R).`,
    );
  if (!canEnter(owner, cluster)) throw new Error(`${cluster} belongs to the user ${user}, who cannot enter it`);
  return owner;
}

/**
 * The owner of a directory, unless that is root or has no name, as with files of another host in a
 * container.
 */
function ordinaryOwner(directory: string): ServerAccount | undefined {
  const owner = ownerOf(directory);
  return owner.uid !== 0 && hasName(owner) ? owner : undefined;
}

function placeBelow(parent: string, directory: string): string {
  const name = `${basename(process.cwd())}-${createHash('sha256').update(directory).digest('hex').slice(0, 12)}`;
  return join(parent, name.replace(/[^\w.-]/g, '_'));
}

const nearestExisting = (path: string): string => (existsSync(path) ? path : nearestExisting(dirname(path)));

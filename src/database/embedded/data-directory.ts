import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { EmbeddedPostgresError } from './embedded-postgres.error.js';
import { canEnter, type ServerAccount } from './server-account.js';

/**
 * Decides where the data goes, and makes that directory.
 *
 * @param wanted `DATA_DIR`, or undefined for `.data` here or, where the server's account could not reach that, a place
 * below `fallback`
 * @returns its real path
 * @throws EmbeddedPostgresError when an explicit choice cannot work, with the reason
 */
export function chooseDataDirectory(
  wanted: string | undefined,
  fallback: string,
  account: ServerAccount | undefined,
  log: (message: string) => void,
): string {
  const directory = resolve(wanted ?? '.data');
  const nearest = nearestExisting(directory);
  if (!statSync(nearest).isDirectory()) throw refusal(wanted, directory, `${nearest} is not a directory`);
  if (!account || canEnter(account, nearest)) return make(wanted, directory);
  if (wanted !== undefined) {
    throw refusal(
      wanted,
      directory,
      `PostgreSQL does not run as root, and the account "postgres" cannot enter ${nearest}`,
    );
  }
  const name = `${basename(process.cwd())}-${createHash('sha256').update(directory).digest('hex').slice(0, 12)}`;
  const place = join(fallback, name.replace(/[^\w.-]/g, '_'));
  log(`The database is in ${place}, since PostgreSQL's account cannot enter ${directory}`);
  return make(wanted, place);
}

/** Makes a directory and those above it that are missing, open for others to pass through, whatever the umask. */
export function makeDirectory(directory: string): void {
  if (existsSync(directory)) return;
  makeDirectory(dirname(directory));
  try {
    mkdirSync(directory);
  } catch (error) {
    // Another process that starts here may have made it in between, and may not have opened it yet.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  chmodSync(directory, 0o755);
}

function make(wanted: string | undefined, directory: string): string {
  try {
    makeDirectory(directory);
    return realpathSync(directory);
  } catch (error) {
    throw refusal(wanted, directory, (error as Error).message);
  }
}

const refusal = (wanted: string | undefined, directory: string, reason: string): EmbeddedPostgresError =>
  new EmbeddedPostgresError(
    `${wanted === undefined ? 'The data directory' : 'DATA_DIR'} cannot be ${directory}: ${reason}`,
  );

const nearestExisting = (path: string): string => (existsSync(path) ? path : nearestExisting(dirname(path)));

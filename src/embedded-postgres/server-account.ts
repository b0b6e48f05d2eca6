import { execFileSync, spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { userInfo } from 'node:os';
import { EmbeddedPostgresError } from './embedded-postgres.error.js';

/**
 * The account that PostgreSQL runs as if the process is root: PostgreSQL refuses to run as root.
 */
export interface ServerAccount {
  readonly uid: number;
  readonly gid: number;
}

const NAME = 'postgres';

export const isRoot = (): boolean => process.getuid?.() === 0;

/**
 * The account `postgres`, created if it is missing, or undefined if the process is not root and
 * needs none.
 */
export function serverAccount(): ServerAccount | undefined {
  return isRoot() ? (findAccount() ?? makeAccount()) : undefined;
}

/** The account that owns a file or directory. */
export function ownerOf(path: string): ServerAccount {
  const { uid, gid } = statSync(path);
  return { uid, gid };
}

/** Whether the account has a name on this machine: `initdb` needs one. */
export function hasName(account: ServerAccount): boolean {
  try {
    return asAccount(account, () => userInfo()).uid === account.uid;
  } catch {
    return false;
  }
}

/**
 * Runs synchronous work on files with the rights of an account. Files that it creates belong to
 * that account, and a symbolic link of the account does not lead root to files that the account
 * cannot access.
 *
 * @param account undefined for that of the process
 */
export function asAccount<T>(account: ServerAccount | undefined, work: () => T): T {
  if (!account) return work();
  const group = process.getegid?.() ?? 0;
  process.setegid?.(account.gid);
  process.seteuid?.(account.uid);
  try {
    return work();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(group);
  }
}

/** Whether the account can enter a directory. */
export function canEnter(account: ServerAccount, directory: string): boolean {
  // The system decides by modes, groups, access control lists and mount options.
  return spawnSync('/bin/sh', ['-c', 'cd -- "$1"', 'sh', directory], { ...account, stdio: 'ignore' }).status === 0;
}

function findAccount(): ServerAccount | undefined {
  const [uid, gid] = ['-u', '-g'].map((flag) => spawnSync('id', [flag, NAME], { encoding: 'utf8' }));
  return uid?.status === 0 && gid?.status === 0 ? { uid: Number(uid.stdout), gid: Number(gid.stdout) } : undefined;
}

function makeAccount(): ServerAccount {
  try {
    const flags = ['--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin'];
    execFileSync('useradd', [...flags, NAME], { stdio: 'pipe' });
  } catch (error) {
    throw new EmbeddedPostgresError(
      `PostgreSQL does not run as root, and an account "${NAME}" to run it as could not be created (${(error as Error).message}). ` +
        'Start as another user, or set DATABASE_URL.',
    );
  }
  const account = findAccount();
  if (!account) throw new EmbeddedPostgresError(`The account "${NAME}" was created but cannot be found`);
  return account;
}

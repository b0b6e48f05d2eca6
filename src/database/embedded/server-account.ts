import { execFileSync, spawnSync } from 'node:child_process';
import { EmbeddedPostgresError } from './embedded-postgres.error.js';

/** The account PostgreSQL runs as where we are root: it refuses to run as root itself. */
export interface ServerAccount {
  readonly uid: number;
  readonly gid: number;
}

const NAME = 'postgres';

/** The account for the server, made if it is missing, or undefined where the process is not root and needs none. */
export function serverAccount(): ServerAccount | undefined {
  if (process.getuid?.() !== 0) return undefined;
  return findAccount() ?? makeAccount();
}

/** Whether the account can enter a directory. */
export function canEnter(account: ServerAccount, directory: string): boolean {
  // Asking the system covers modes, groups, access control lists and mount options alike.
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
      `PostgreSQL does not run as root, and an account "${NAME}" to run it as could not be made (${(error as Error).message}). ` +
        'Start as another user, or set DATABASE_URL.',
    );
  }
  const account = findAccount();
  if (!account) throw new EmbeddedPostgresError(`The account "${NAME}" was made but cannot be found`);
  return account;
}

import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import type { Binaries } from './binaries.js';
import { EmbeddedPostgresError } from './embedded-postgres.error.js';
import type { ServerAccount } from './server-account.js';

const SUPERUSER = 'postgres';
const PASSWORD_FILE = 'users-api.password';
const LOG_FILE = 'server.log';
const START_SECONDS = '60';
const STOP_SECONDS = '8';

/** One data directory and the server on it. Programs run synchronously: no signal can fall between a start and its stop. */
export class Cluster {
  private readonly directory: string;

  constructor(
    private readonly home: string,
    private readonly binaries: Binaries,
    private readonly account: ServerAccount | undefined,
  ) {
    this.directory = join(home, `postgres-${binaries.major}`);
  }

  /** Makes the data directory unless it is there. It appears whole or not at all, whatever happens on the way. */
  create(): void {
    if (existsSync(this.directory)) return;
    const staging = mkdtempSync(join(this.home, '.new-'));
    try {
      const passwordFile = join(staging, 'password');
      const data = join(staging, 'data');
      writeFileSync(passwordFile, randomBytes(24).toString('base64url'), { mode: 0o600 });
      this.give(staging, passwordFile);
      this.run(this.binaries.initdb, [
        `--pgdata=${data}`,
        `--username=${SUPERUSER}`,
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        '--locale-provider=builtin', // the same order on every machine, whatever locales it has
        '--locale=C.UTF-8',
        ...['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'max_connections=200'].map(
          (line) => `--set=${line}`,
        ),
      ]);
      renameSync(passwordFile, join(data, PASSWORD_FILE));
      renameSync(data, this.directory);
    } catch (error) {
      if (!existsSync(this.directory)) throw error; // else another start was quicker: its data directory serves as well
    } finally {
      rmSync(staging, { recursive: true, force: true });
    }
  }

  /** @returns whether this call started the server; false when one is running, or about to, already */
  start(port: number): boolean {
    const log = join(this.directory, LOG_FILE);
    const flags = ['start', '-D', this.directory, '-w', '-t', START_SECONDS, '-l', log, '-o', `-p ${String(port)}`];
    try {
      this.run(this.binaries.pgCtl, flags);
      return true;
    } catch (error) {
      if (this.port() !== undefined) return false;
      throw new EmbeddedPostgresError(`${(error as Error).message}\nIts log is ${log}`);
    }
  }

  stop(): void {
    try {
      this.run(this.binaries.pgCtl, ['stop', '-D', this.directory, '-m', 'fast', '-w', '-t', STOP_SECONDS]);
    } catch (error) {
      if (this.port() !== undefined) throw error; // else it had stopped already
    }
  }

  /** A connection to the running server, or null if none accepts one: it is down, or still on its way up. */
  async connect(): Promise<Client | null> {
    const url = this.url();
    if (!url) return null;
    const client = new Client({
      connectionString: url,
      connectionTimeoutMillis: 5000,
      application_name: 'users-api owner',
    });
    client.on('error', () => undefined); // the pool, which meets the same failure, reports it
    try {
      await client.connect();
      const { rows } = await client.query<{ data_directory: string }>('SHOW data_directory');
      if (rows[0]?.data_directory === realpathSync(this.directory)) return client;
      await client.end();
      return null;
    } catch {
      return null;
    }
  }

  /** The URL of the running server, or null while there is none. */
  url(): string | null {
    const port = this.port();
    return port === undefined ? null : `postgresql://${SUPERUSER}:${this.password()}@127.0.0.1:${port}/postgres`;
  }

  /** From the fourth line of the file that PostgreSQL keeps while it runs. A file left by a crash names a port where nobody listens. */
  private port(): string | undefined {
    try {
      const port = readFileSync(join(this.directory, 'postmaster.pid'), 'utf8').split('\n')[3];
      return port === '' ? undefined : port;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw this.notOurs(error);
    }
  }

  private password(): string {
    try {
      return readFileSync(join(this.directory, PASSWORD_FILE), 'utf8').trim();
    } catch (error) {
      throw this.notOurs(error);
    }
  }

  private notOurs(error: unknown): EmbeddedPostgresError {
    return new EmbeddedPostgresError(
      `${this.directory} cannot be read, perhaps because another user made it: ${(error as Error).message}`,
    );
  }

  private give(...paths: string[]): void {
    const { account } = this;
    if (account)
      paths.forEach((path) => {
        chownSync(path, account.uid, account.gid);
      });
  }

  private run(program: string, flags: string[]): void {
    // The working directory may be one that the server's account cannot enter.
    const { status, error, stderr, stdout } = spawnSync(program, flags, {
      ...this.account,
      cwd: '/',
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    if (status === 0) return;
    throw new EmbeddedPostgresError(`${program} failed: ${error?.message ?? (stderr.trim() || stdout.trim())}`);
  }
}

/** Makes the directory above a cluster; the server's account must be able to pass through it, whatever the umask. */
export function makeHome(home: string): void {
  if (mkdirSync(home, { recursive: true }) !== undefined) chmodSync(home, 0o755);
}

import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  lchownSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Client } from 'pg';
import { SessionClient } from '../database/session-client.js';
import { type Binaries, withShellSafeInitdb } from './binaries.js';
import { findCluster } from './data-directory.js';
import { EmbeddedPostgresError } from './embedded-postgres.error.js';
import { runProgram } from './run-program.js';
import { asAccount, type ServerAccount } from './server-account.js';

const SUPERUSER = 'postgres';
const PASSWORD_FILE = 'users-api.password';
const LOG_FILE = 'server.log';
const STOP_SECONDS = '3';
const PID_FILE_TIMEOUT_MS = 2_000;
const ABANDONED_AFTER_MS = 10 * 60_000;
/** SQLSTATE of a server that is starting or stopping (Appendix A of PostgreSQL's manual). */
const CANNOT_CONNECT_NOW = '57P03';

/** One data directory and the server on it. */
export class Cluster {
  private readonly directory: string;
  private child: ChildProcess | undefined;

  /** @param home the real path of the directory */
  constructor(
    private readonly home: string,
    private readonly binaries: Binaries,
    private readonly account: ServerAccount | undefined,
  ) {
    this.directory = join(home, `postgres-${binaries.major}`);
  }

  /**
   * Creates the data directory unless it exists. It is created completely or not at all, even if
   * the process is killed.
   */
  create(): void {
    if (existsSync(this.directory)) return;
    const other = findCluster(this.home);
    if (other) {
      throw new EmbeddedPostgresError(
        `${other} holds the data of another version, and this PostgreSQL is ${this.binaries.major}. ` +
          'Move the data with "users-api move" of the version of the Users API that wrote it, or choose another DATA_DIR.',
      );
    }
    try {
      this.initialise();
    } catch (error) {
      if (existsSync(this.directory)) return; // another process has created it meanwhile
      throw error instanceof EmbeddedPostgresError
        ? error
        : new EmbeddedPostgresError(`${this.home} cannot hold the database: ${(error as Error).message}`);
    }
  }

  /** Removes the incomplete directories of first starts that were killed. */
  removeAbandoned(): void {
    for (const name of readdirSync(this.home).filter((entry) => entry.startsWith('.new-'))) {
      const path = join(this.home, name);
      if (Date.now() - statSync(path).mtimeMs > ABANDONED_AFTER_MS) rmSync(path, { recursive: true, force: true });
    }
  }

  /**
   * Starts the server in a new session, so that a signal to this process group does not reach it.
   * The server accepts connections later.
   */
  start(port: number): void {
    const log = this.openLog();
    const flags = ['-D', this.directory, '-p', String(port)];
    this.child = spawn(this.binaries.postgres, flags, {
      ...this.account,
      cwd: '/',
      detached: true,
      stdio: ['ignore', log, log],
    });
    this.child.once('error', () => undefined); // `failed` then reads the exit code -1
    this.child.unref();
    closeSync(log);
  }

  /** Whether `start` started the running server, rather than another process. */
  isRunByUs(): boolean {
    return this.child?.pid !== undefined && this.pidFile()?.[0] === String(this.child.pid);
  }

  /**
   * The last lines of the log of the server that `start` started and that has ended, or null while
   * it runs.
   */
  failed(): string | null {
    if (this.child?.exitCode == null && this.child?.signalCode == null) return null;
    const log = join(this.directory, LOG_FILE);
    return `${this.read(LOG_FILE).trim().split('\n').slice(-5).join('\n')}\nIts log is ${log}`;
  }

  /** Stops the server, cleanly if that is fast enough. Synchronous, for the 'exit' event. */
  stop(): void {
    this.stopStarting();
    for (const mode of ['fast', 'immediate']) {
      if (this.port() === undefined) return;
      try {
        runProgram(
          this.binaries.pgCtl,
          ['stop', '-D', this.directory, '-m', mode, '-w', '-t', STOP_SECONDS],
          this.account,
        );
      } catch (error) {
        if (this.port() !== undefined) console.error((error as Error).message);
      }
    }
  }

  /**
   * Stops a server that has not yet written its pid file, which pg_ctl needs, or waits until it has
   * written it.
   */
  private stopStarting(): void {
    const pid = this.child?.pid;
    if (pid === undefined || this.port() !== undefined) return;
    this.child?.kill('SIGINT');
    const pause = new Int32Array(new SharedArrayBuffer(4));
    for (let waited = 0; waited < PID_FILE_TIMEOUT_MS && this.port() === undefined && isRunning(pid); waited += 20)
      Atomics.wait(pause, 0, 0, 20);
  }

  /**
   * A connection to the running server. 'absent': no server listens. 'busy': it is starting or
   * stopping.
   */
  async connect(): Promise<Client | 'absent' | 'busy'> {
    const url = this.url();
    if (!url) return 'absent';
    const client = new SessionClient({
      connectionString: url,
      connectionTimeoutMillis: 5000,
      application_name: 'users-api',
    });
    client.on('error', () => undefined); // 'end' follows
    try {
      await client.connect();
      const { rows } = await client.query<{ data_directory: string }>('SHOW data_directory');
      if (rows[0]?.data_directory === this.directory) return client;
      await client.end();
      return 'absent';
    } catch (error) {
      return (error as { code?: unknown }).code === CANNOT_CONNECT_NOW ? 'busy' : 'absent';
    }
  }

  /** The URL of the running server, or null while there is none. */
  url(): string | null {
    const port = this.port();
    return port === undefined ? null : `postgresql://${SUPERUSER}:${this.password()}@127.0.0.1:${port}/postgres`;
  }

  /** The port in the pid file. After a crash no server listens on it. */
  private port(): string | undefined {
    const port = this.pidFile()?.[3];
    return port === '' ? undefined : port;
  }

  /** The lines of PostgreSQL's pid file: the first has the process id, the fourth the port. */
  private pidFile(): string[] | undefined {
    try {
      return this.read('postmaster.pid').split('\n');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw this.unreadable(error);
    }
  }

  private password(): string {
    try {
      return this.read(PASSWORD_FILE).trim();
    } catch (error) {
      throw this.unreadable(error);
    }
  }

  private read(file: string): string {
    return asAccount(this.account, () => readFileSync(join(this.directory, file), 'utf8'));
  }

  /**
   * Opens the server's log as its account. Version 1 created it as root, so the account could not
   * write it.
   */
  private openLog(): number {
    const log = join(this.directory, LOG_FILE);
    if (this.account && lstatSync(log, { throwIfNoEntry: false })?.uid === 0) renameSync(log, `${log}.old`);
    return asAccount(this.account, () => openSync(log, 'a'));
  }

  private unreadable(error: unknown): EmbeddedPostgresError {
    return new EmbeddedPostgresError(
      `${this.directory} cannot be read, perhaps because another user created it: ${(error as Error).message}`,
    );
  }

  private initialise(): void {
    const staging = mkdtempSync(join(this.home, '.new-'));
    try {
      const passwordFile = join(staging, 'password');
      const data = join(staging, 'data');
      if (this.account) lchownSync(staging, this.account.uid, this.account.gid);
      const password = randomBytes(24).toString('base64url');
      asAccount(this.account, () => {
        writeFileSync(passwordFile, password, { mode: 0o600 });
      });
      const flags = [
        `--pgdata=${data}`,
        `--username=${SUPERUSER}`,
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        '--locale-provider=builtin', // the same sort order on every machine
        '--locale=C.UTF-8',
        ...['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'max_connections=200'].map(
          (line) => `--set=${line}`,
        ),
      ];
      withShellSafeInitdb(this.binaries.initdb, (initdb) => runProgram(initdb, flags, this.account));
      renameSync(passwordFile, join(data, PASSWORD_FILE));
      renameSync(data, this.directory);
    } finally {
      rmSync(staging, { recursive: true, force: true });
    }
  }
}

/**
 * A child that has ended remains a zombie until the event loop runs. Without /proc this is unknown,
 * and the result is true.
 */
function isRunning(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${String(pid)}/stat`, 'utf8').includes(') Z ');
  } catch {
    return process.platform !== 'linux';
  }
}

import { type ChildProcess, execFile, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { poolerEnvironment } from './database.js';
import { type OwnProcess, startProcess, temporaryDirectory } from './processes.js';

const run = promisify(execFile);

/** Where `npm run build` puts the programs. */
const programs = {
  server: resolve('dist/app/main.js'),
  unbundledServer: resolve('dist/src/main.js'),
  cli: resolve('dist/cli/cli.js'),
  migrate: resolve('dist/src/startup/migrate.js'),
};

/**
 * The environment of a program: nothing of ours but what a test gives it, and no `.env` of the
 * developer's.
 */
const environment = (extra: NodeJS.ProcessEnv): NodeJS.ProcessEnv => ({
  PATH: process.env.PATH,
  HOME: process.env.HOME,
  ...(extra.DATABASE_URL && poolerEnvironment()),
  ...extra,
});

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** A program of ours in a process of its own. */
export class Program {
  private readonly process: OwnProcess;
  private readonly child: ChildProcess;
  private readonly closed: Promise<unknown>;
  stdout = '';
  stderr = '';

  constructor(
    command: readonly [string, ...string[]],
    env: NodeJS.ProcessEnv,
    cwd: string,
    stdio: StdioOptions,
    account?: Account,
  ) {
    const [file, ...words] = command;
    this.process = startProcess(file, words, { ...account, env: environment(env), cwd, stdio });
    this.child = this.process.child;
    this.closed = once(this.child, 'close');
    this.child.stdout?.on('data', (chunk) => (this.stdout += String(chunk)));
    this.child.stderr?.on('data', (chunk) => (this.stderr += String(chunk)));
  }

  get pid(): number {
    return this.child.pid ?? NaN;
  }

  /** Writes to stdin. */
  type(text: string): void {
    this.child.stdin?.write(text);
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** Waits until the output so far matches, and gives the match. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.stdout);
      if (match) return match;
      const ended = await Promise.race([
        this.closed.then(() => true),
        once(this.child.stdout ?? this.child, 'data').then(() => false),
      ]);
      if (ended && !pattern.test(this.stdout))
        throw new Error(`The program ended and never said ${String(pattern)}:\n${this.stdout}${this.stderr}`);
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Stops the process with SIGSTOP until a SIGCONT, and returns once it does nothing any more. */
  async pause(): Promise<void> {
    this.signal('SIGSTOP');
    for (;;) {
      const { stdout } = await run('ps', ['-o', 'stat=', '-p', String(this.child.pid)]);
      if (stdout.startsWith('T')) return;
    }
  }

  async end(signal?: NodeJS.Signals): Promise<Ended> {
    if (signal) this.child.kill(signal);
    await this.closed;
    return { code: this.child.exitCode, stdout: this.stdout, stderr: this.stderr };
  }

  /** Ends it, be it by force. */
  dispose(): Promise<void> {
    return this.process.end();
  }
}

export interface RunningServer {
  readonly pid: number;
  readonly url: string;
  readonly output: () => string;
  readonly says: (pattern: RegExp) => Promise<RegExpExecArray>;
  signal(signal: NodeJS.Signals): void;
  pause(): Promise<void>;
  end(signal: NodeJS.Signals): Promise<Ended>;
}

/** Programs for one test suite, in an empty working directory; none outlives the suite. */
export class Programs {
  private readonly running = new Set<Program>();
  /** The account that programs run as from now on; undefined: that of the tests. */
  account: Account | undefined;

  private constructor(
    readonly cwd: string,
    private readonly removeDirectory: () => Promise<void>,
  ) {}

  static async inEmptyDirectory(): Promise<Programs> {
    const { path, remove } = await temporaryDirectory();
    return new Programs(path, remove);
  }

  /** For a program that is to be ended before it ends. */
  start(
    program: keyof typeof programs,
    words: readonly string[],
    env: NodeJS.ProcessEnv,
    stdio: StdioOptions = ['ignore', 'pipe', 'pipe'],
  ): Program {
    return this.run([process.execPath, programs[program], ...words], env, stdio);
  }

  /** For a line of shell that starts the command line as `$CLI`. */
  shell(line: string, env: NodeJS.ProcessEnv): Promise<Ended> {
    const cli = { CLI: `${process.execPath} ${programs.cli}` };
    return this.run(['sh', '-c', line], { ...env, ...cli }, ['ignore', 'pipe', 'pipe']).end();
  }

  /**
   * Starts the command line in a pseudo-terminal: what is typed goes to it, and what it shows is
   * the stdout of the returned program.
   */
  startInTerminal(words: readonly string[], env: NodeJS.ProcessEnv): Program {
    const line = [process.execPath, programs.cli, ...words].join(' ');
    return this.run(['script', '-qefc', line, '/dev/null'], { TERM: 'xterm', ...env }, ['pipe', 'pipe', 'pipe']);
  }

  private run(command: readonly [string, ...string[]], env: NodeJS.ProcessEnv, stdio: StdioOptions): Program {
    const started = new Program(command, env, this.cwd, stdio, this.account);
    this.running.add(started);
    return started;
  }

  async startServer(env: NodeJS.ProcessEnv = {}): Promise<RunningServer> {
    const program = this.start('server', [], { PORT: '0', ...env });
    const [, url = ''] = await program.says(/Listening on (http:\/\/[^"\s]+)/);
    return {
      pid: program.pid,
      url,
      output: () => program.stdout + program.stderr,
      says: (pattern: RegExp) => program.says(pattern),
      signal: (signal) => {
        program.signal(signal);
      },
      pause: () => program.pause(),
      end: (signal) => program.end(signal),
    };
  }

  /**
   * Starts the server and, after some milliseconds, ends all of its process group, as a closing
   * terminal does.
   */
  async startAndEndGroup(delayMs: number): Promise<void> {
    const { child } = startProcess(process.execPath, [programs.server], {
      env: environment({ PORT: '0' }),
      cwd: this.cwd,
      stdio: 'ignore',
    });
    const closed = once(child, 'close');
    await new Promise((resolve) => setTimeout(resolve, delayMs)); // the moment is what the test is about
    if (child.pid) process.kill(-child.pid, 'SIGHUP');
    await closed;
  }

  /** A start that is expected to fail. */
  failToStart(env: NodeJS.ProcessEnv): Promise<Ended> {
    return this.start('server', [], { PORT: '0', ...env }).end();
  }

  cli(words: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
    return this.start('cli', words, env).end();
  }

  async dispose(): Promise<void> {
    await Promise.all([...this.running].map((program) => program.dispose()));
    await this.removeDirectory();
  }
}

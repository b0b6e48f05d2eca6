/*
 * `npm run bench`: compares this application ("ours") with a bare server and a naive one, in
 * alternating rounds of one run. See docs/performance.md.
 *
 * - `--rounds 5`: how many times each is measured.
 * - `--seconds 8`: the approximate duration of each measurement, after a warm-up of one second.
 * - `--only PATCH`: one method.
 * - `--no-naive`: without the naive server.
 *
 * Other comparisons:
 * - `--against v1.0.0`: ours, the version of another git revision, and the bare server. Against
 *   HEAD it is an A/A run, whose spread is the tolerance of this machine.
 * - `--users 10000000`: ours on a small database and on one with this number of users, and the
 *   lists of the large one.
 * - `--ledger`: charges over many accounts and of one, also with two processes of ours; with
 *   `--against`, `--batches`, `--instances` or `--profile`, the contenders of that option.
 * - `--holds`: a hold and its capture, compared with two charges.
 * - `--verify`: forward-auth and verify compared with GET, and a verify that charges compared with
 *   two requests.
 * - `--growth 10000000`: the cost of this number of events and entries, and of events in
 *   partitions.
 * - `--move 1000000`: the duration of `users-api move` of this number of users.
 * - `--instances 2`: one process of ours, and this number of processes.
 * - `--batches`: ours with a separate statement for each request to the database, and with batches.
 * - `--traces`: ours without tracing, and with a trace of every request.
 * - `--profile`: a CPU profile of ours.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, openSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { openEmbeddedPostgres } from '../src/embedded-postgres/open-embedded-postgres.js';
import { timeOrderedUuid } from '../src/common/time-ordered-uuid.js';
import { runMigrations } from '../src/database/run-migrations.js';
import type { Load, Seen } from './load.js';
import { summarize } from './profile.js';
import { fill, HEAVY_USER } from './fill.js';
import { measureGrowth } from './growth.js';
import { measureMove } from './move.js';
import { checkLedger, query, seedAccounts, seedCallers, storedNames } from './seed.js';
import { HOLDINGS } from './holds.js';
import { VERIFICATIONS } from './verify.js';
import { buildRevision, versionIn } from './version.js';

const CONNECTIONS = 32;

/**
 * Before each load: both its generator, which is a new process each time, and an idle server are
 * slow at first.
 */
const WARM_UP_SECONDS = 1;

const METHODS = ['PATCH', 'GET'] as const;

/** The requests of a load: one for each caller in turn, or a charge of each account in turn. */
interface Task {
  readonly title: string;
  readonly kind: Load['kind'];
  /** Number of accounts; all by default. */
  readonly accounts?: number | undefined;
}

const LEDGER: readonly Task[] = [
  { title: 'Charges over many accounts', kind: 'charge' },
  { title: 'Charges of one account', kind: 'charge', accounts: 1 },
];

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '8' },
    only: { type: 'string' },
    'no-naive': { type: 'boolean', default: false },
    against: { type: 'string' },
    users: { type: 'string' },
    growth: { type: 'string' },
    move: { type: 'string' },
    instances: { type: 'string' },
    batches: { type: 'boolean', default: false },
    ledger: { type: 'boolean', default: false },
    verify: { type: 'boolean', default: false },
    holds: { type: 'boolean', default: false },
    traces: { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
  },
});

/** A program to measure, on its own database. */
interface Contender {
  readonly name: string;
  readonly program: string;
  readonly flags?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** Processes that share the load; 1 by default. */
  readonly instances?: number;
  /** Number of users in addition to the callers; none by default. */
  readonly users?: number;
  /** True for another version of ours, which creates its own schema at its first start. */
  readonly migratesItself?: boolean;
}

/** Ours with the flags of `npm start` and of the container image. */
const OURS = versionIn('.');
/** Ours without bundling: a profile then shows modules, and single modules can be replaced. */
const UNBUNDLED = { ...OURS, program: resolve('dist/src/main.js') };

const BARE = join(import.meta.dirname, 'bare.js');

class Server {
  private constructor(
    readonly name: string,
    readonly urls: readonly string[],
    readonly databaseUrl: string,
    readonly keys: readonly string[],
    /** Ids of users with credits. */
    private readonly accounts: readonly string[],
    readonly startMs: number,
    private readonly children: readonly ChildProcess[],
  ) {}

  static async start(contender: Contender): Promise<Server> {
    const { name, instances = 1, users = 0, migratesItself = false } = contender;
    await query(database.url, `CREATE DATABASE ${name}`);
    const databaseUrl = Object.assign(new URL(database.url), { pathname: `/${name}` }).href;
    if (migratesItself) await stop((await run(contender, databaseUrl)).child);
    else await runMigrations(databaseUrl);
    if (users > 0) {
      await fill(databaseUrl, users, (message) => {
        console.error(`${name}: ${message}`);
      });
    }
    const keys = await seedCallers(databaseUrl);
    const accounts = options.ledger || options.verify || options.holds ? await seedAccounts(databaseUrl) : [];
    const children: ChildProcess[] = [];
    const urls: string[] = [];
    let startMs = NaN;
    for (let instance = 0; instance < instances; instance += 1) {
      const start = performance.now();
      const { child, url } = await run(contender, databaseUrl);
      await fetch(`${url}/v1/users/me`, { headers: { 'x-api-key': keys[0] ?? '' } });
      startMs = performance.now() - start;
      children.push(child);
      urls.push(url);
    }
    return new Server(name, urls, databaseUrl, keys, accounts, startMs, children);
  }

  /** Resident memory of all processes, in MB. */
  memory(): number {
    const status = this.children.map(({ pid }) => readFileSync(`/proc/${String(pid)}/status`, 'utf8'));
    return status.reduce((sum, text) => sum + Number(/VmRSS:\s+(\d+)/.exec(text)?.[1]) / 1024, 0);
  }

  /** @param run a name that does not start with the name of another run */
  async load({ kind, accounts }: Task, amount: number, run: string, unmeasured = 0): Promise<Measured> {
    const { urls, keys } = this;
    const charged = this.accounts.slice(0, accounts);
    const order: Load = { urls, kind, keys, accounts: charged, connections: CONNECTIONS, amount, unmeasured, run };
    const before = await this.cpu();
    const child = spawn(process.execPath, [join(import.meta.dirname, 'load.js'), JSON.stringify(order)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout.on('data', (chunk) => (text += String(chunk)));
    await once(child, 'close');
    const after = await this.cpu();
    const seen = JSON.parse(text) as Seen;
    if (seen.failed > 0)
      throw new Error(`${this.name}: ${String(seen.failed)} requests were not answered 200 or 201, or not allowed`);
    const entries = amount * (kind === 'charge, then charge' ? 2 : 1);
    if (/charge|capture/.test(kind)) await checkLedger(this.databaseUrl, `${run} `, entries);
    const stored = await storedNames(this.databaseUrl, Object.keys(seen.names));
    for (const [key, name] of Object.entries(seen.names)) {
      if (stored.get(key) !== name)
        throw new Error(`${this.name} stored "${stored.get(key) ?? ''}" instead of "${name}"`);
    }
    const perRequest = (ms: number): number => ms / amount;
    return {
      ...seen,
      processMs: perRequest(after.processMs - before.processMs),
      databaseMs: perRequest(after.databaseMs - before.databaseMs),
    };
  }

  /**
   * CPU time until now, of the processes and of their sessions in the database. A session that the
   * pool closes after 10 idle seconds belongs to another load.
   */
  private async cpu(): Promise<{ readonly processMs: number; readonly databaseMs: number }> {
    const sessions = await query<{ pid: number }>(
      this.databaseUrl,
      'SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
    );
    return {
      processMs: this.children.reduce((sum, { pid }) => sum + cpuMs(pid), 0),
      databaseMs: sessions.reduce((sum, { pid }) => sum + cpuMs(pid), 0),
    };
  }

  async stop(): Promise<void> {
    for (const child of this.children) await stop(child);
  }
}

/** The results of a load, and the CPU time of each of its requests. */
interface Measured extends Seen {
  readonly processMs: number;
  readonly databaseMs: number;
}

/**
 * User and system time of a process, which Linux counts in hundredths of a second; 0 without a
 * process.
 */
function cpuMs(pid: number | undefined): number {
  try {
    const [, fields = ''] = readFileSync(`/proc/${String(pid)}/stat`, 'utf8').split(') ');
    const [user, system] = fields.split(' ').slice(11, 13);
    return (Number(user) + Number(system)) * 10;
  } catch {
    return 0; // the process has ended
  }
}

interface Running {
  readonly child: ChildProcess;
  readonly url: string;
}

async function run({ name, program, flags = [], env = {} }: Contender, databaseUrl: string): Promise<Running> {
  const log = join(home, `${name}-${randomUUID()}.log`); // a file, as in production
  const child = spawn(process.execPath, [...flags, program], {
    cwd: home,
    env: {
      PATH: process.env.PATH,
      PORT: '0',
      DATABASE_URL: databaseUrl,
      // Requests are counted, as in production, but never exceed the limit.
      RATE_LIMIT_PER_MINUTE: '999999999',
      ...env,
    },
    stdio: ['ignore', openSync(log, 'w'), 'inherit'],
  });
  process.once('exit', () => child.kill('SIGKILL'));
  return { child, url: await address(log, child) };
}

async function stop(child: ChildProcess): Promise<void> {
  const closed = once(child, 'close');
  child.kill('SIGTERM');
  await closed;
}

async function address(log: string, child: ChildProcess): Promise<string> {
  while (child.exitCode === null) {
    const url = /Listening on (http:\/\/[^"\s]+)/.exec(readFileSync(log, 'utf8'))?.[1];
    if (url !== undefined) return url;
    await sleep(5);
  }
  throw new Error(`The server did not start: ${readFileSync(log, 'utf8')}`);
}

const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return (
    ((sorted[Math.floor((sorted.length - 1) / 2)] ?? NaN) + (sorted[Math.ceil((sorted.length - 1) / 2)] ?? NaN)) / 2
  );
};

const home = realpathSync(mkdtempSync(join(tmpdir(), 'users-api-bench-')));
chmodSync(home, 0o755);
const database = await openEmbeddedPostgres({ dataDir: home, owner: true, log: () => undefined });
process.once('exit', () => {
  rmSync(home, { recursive: true, force: true });
});

/** Resident memory of each server before its load, in MB. */
const idle = new Map<Server, number>();

const seconds = Number(options.seconds);
const tasks: readonly Task[] = options.ledger
  ? LEDGER
  : METHODS.filter((method) => options.only === undefined || method === options.only.toUpperCase()).map((method) => ({
      title: `${method} /v1/users/me`,
      kind: method,
    }));
console.log(
  `Node ${process.version}, ${String(cpus().length)} × ${cpus()[0]?.model ?? '?'}, ${new Date().toISOString().slice(0, 10)}`,
);

if (options.profile) await profile();
else if (options.growth !== undefined) await measureGrowth(database.url, Number(options.growth));
else if (options.move !== undefined) await measureMove(database.url, Number(options.move));
else if (options.verify) await compareKinds(VERIFICATIONS);
else if (options.holds) await compareKinds(HOLDINGS);
else if (options.users !== undefined) {
  const users = Number(options.users);
  await compare([
    { name: 'small', ...OURS },
    { name: 'large', ...OURS, users },
  ]);
} else if (options.instances !== undefined) {
  const instances = Number(options.instances);
  await compare([
    { name: 'one', ...OURS },
    { name: 'several', ...OURS, instances },
  ]);
} else if (options.batches) {
  await compare([
    { name: 'alone', ...UNBUNDLED, flags: [...UNBUNDLED.flags, '--import', join(import.meta.dirname, 'alone.js')] },
    { name: 'batches', ...UNBUNDLED },
  ]);
} else if (options.traces) {
  const collector = await startCollector();
  await compare([
    { name: 'untraced', ...OURS },
    { name: 'traced', ...OURS, env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url } },
  ]);
  console.log(`The collector was given ${(collector.received() / 2 ** 20).toFixed(0)} MB of spans.`);
} else if (options.against !== undefined) {
  await compare([
    { name: 'before', ...buildRevision(options.against), migratesItself: true },
    { name: 'now', ...OURS },
    { name: 'bare', program: BARE },
  ]);
} else if (options.ledger) {
  await compare([
    { name: 'bare', program: BARE },
    { name: 'ours', ...OURS },
    { name: 'two', ...OURS, instances: 2 },
  ]);
} else {
  await compare([
    { name: 'bare', program: BARE },
    { name: 'ours', ...OURS },
    ...(options['no-naive'] ? [] : [{ name: 'naive', program: join(import.meta.dirname, 'naive.js') }]),
  ]);
}
process.exit(0);

/** A collector that receives traces on the same CPU cores, and counts their bytes. */
async function startCollector(): Promise<{ readonly url: string; readonly received: () => number }> {
  let received = 0;
  const server = createServer((request, response) => {
    request.on('data', (chunk: Buffer) => (received += chunk.length));
    request.on('end', () => response.end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${String(port)}`, received: () => received };
}

/** Compares contenders with the first of them. */
async function compare(contenders: readonly Contender[]): Promise<void> {
  const servers = await startAll(contenders);
  for (const task of tasks)
    await measure(
      task.title,
      servers.map((server) => ({ name: server.name, server, task })),
    );
  const large = servers.find(({ name }) => name === 'large');
  if (large) await lists(large);
  for (const server of servers) await server.stop();
}

/** Kinds of requests that are compared with the first kind. */
interface Kinds {
  readonly title: string;
  readonly kinds: readonly Load['kind'][];
  readonly accounts?: number;
}

/** Compares kinds of requests to one server, within each group with its first kind. */
async function compareKinds(groups: readonly Kinds[]): Promise<void> {
  const [server] = await startAll([{ name: 'ours', ...OURS }]);
  if (!server) return;
  for (const { title, kinds, accounts } of groups)
    await measure(
      title,
      kinds.map((kind) => ({ name: kind, server, task: { title: `${title}: ${kind}`, kind, accounts } })),
    );
  await server.stop();
}

async function startAll(contenders: readonly Contender[]): Promise<readonly Server[]> {
  const servers: Server[] = [];
  for (const contender of contenders) servers.push(await Server.start(contender));
  for (const { name, startMs } of servers) console.log(`${name}: first 200 ${startMs.toFixed(0)} ms after its start`);
  await sleep(5_000);
  for (const server of servers) idle.set(server, server.memory());
  return servers;
}

/** A measurement that alternates with others. */
interface Series {
  readonly name: string;
  readonly server: Server;
  readonly task: Task;
}

/** Measures all series in alternating rounds, and prints each compared with the first. */
async function measure(title: string, series: readonly Series[]): Promise<void> {
  const rates = new Map<string, number>(); // units in a second
  for (const { name, server, task } of series) {
    await server.load(task, 4_000, `${task.title}, warm`);
    const { perSecond } = await server.load(task, 4_000, `${task.title}, warmer`);
    rates.set(name, Math.ceil(perSecond / CONNECTIONS) * CONNECTIONS);
  }
  const seen = new Map<string, Measured[]>(series.map(({ name }) => [name, []]));
  for (let round = 0; round < Number(options.rounds); round += 1) {
    // Each series starts a round equally often.
    const turn = series.map((_, index) => series[(index + round) % series.length]);
    for (const one of turn) {
      if (!one) continue;
      const { name, server, task } = one;
      const rate = rates.get(name) ?? 0;
      const amount = rate * (seconds + WARM_UP_SECONDS);
      const run = `${task.title}, round ${String(round)}`;
      seen.get(name)?.push(await server.load(task, amount, run, rate * WARM_UP_SECONDS));
    }
  }
  console.log(`\n${title}, ${String(CONNECTIONS)} connections, ${options.rounds} rounds: median (least to most)`);
  const first = series[0]?.name ?? '';
  const reference = seen.get(first) ?? [];
  console.table(
    Object.fromEntries(
      series.map(({ name, server }) => {
        const rounds = seen.get(name) ?? [];
        const spread = (pick: (seen: Measured) => number, digits: number): string => {
          const values = rounds.map(pick);
          return `${median(values).toFixed(digits)} (${Math.min(...values).toFixed(digits)} to ${Math.max(...values).toFixed(digits)})`;
        };
        const ratio = (pick: (seen: Measured) => number): string => {
          const ratios = rounds.map((one, round) => pick(one) / (reference[round] ? pick(reference[round]) : NaN));
          return `${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)})`;
        };
        return [
          name,
          {
            'requests/s': spread(({ perSecond }) => perSecond, 0),
            'p50 ms': spread(({ p50 }) => p50, 1),
            'p99 ms': spread(({ p99 }) => p99, 1),
            [`times ${first}`]: ratio(({ perSecond }) => perSecond),
            [`p99 times ${first}`]: ratio(({ p99 }) => p99),
            'CPU ms': spread(({ processMs }) => processMs, 2),
            'CPU ms of the database': spread(({ databaseMs }) => databaseMs, 2),
            'idle MB': (idle.get(server) ?? NaN).toFixed(0),
            MB: server.memory().toFixed(0),
          },
        ];
      }),
    ),
  );
}

/** Measures pages of the lists of a large database, each requested 50 times. */
async function lists({ urls: [url = ''], keys: [key = ''], databaseUrl }: Server): Promise<void> {
  await query(databaseUrl, `UPDATE users SET is_admin = true WHERE email = 'caller-1@example.com'`);
  const headers = { 'x-api-key': key };
  const middle = `after=${String(Date.now() - 3_600_000_000)}_ffffffff-ffff-4fff-bfff-ffffffffffff&page=2`;
  const today = new Date().toISOString().slice(0, 10);
  const paths = [
    '/v1/users',
    '/v1/users?page=500',
    `/v1/users?${middle}`,
    '/v1/users?status=INACTIVE',
    '/v1/users?email=user-77@example.com',
    '/v1/users?created_after=2020-01-01T00:00:00Z&created_before=2100-01-01T00:00:00Z',
    '/v1/users?is_admin=true',
    '/v1/users?is_admin=false&status=INACTIVE',
    '/v1/users?search=user-7777@', // one
    '/v1/users?search=Zubrapri', // a surname
    '/v1/users?search=bravul', // a part of many surnames
    '/v1/users?search=grace', // every twentieth user
    '/v1/users?search=example.com', // every user matches
    '/v1/users?search=@exa&items_per_page=100&page=90',
    '/v1/users?search=Heavy%20Load', // no user matches
    '/v1/users?search=%40%2E%2D', // no trigram
    '/v1/users?search=grace&status=INACTIVE',
    '/v1/users?search=grace&is_admin=true',
    `/v1/users?search=bravul&created_before=${new Date(Date.now() - 86_400_000).toISOString()}`,
    '/v1/audit-events',
    `/v1/audit-events?${middle}`,
    '/v1/audit-events?action=user.created',
    `/v1/audit-events?user_id=${HEAVY_USER}`,
    `/v1/audit-events?user_id=${HEAVY_USER}&action=user.created`,
    `/v1/billing/credit-history?user_id=${HEAVY_USER}`,
    `/v1/audit-events?user_id=${HEAVY_USER}&exclude_action=user.updated`,
    '/v1/audit-events?exclude_action=user.created',
    '/v1/audit-events?start_date=2000-01-01&end_date=2000-12-31',
    `/v1/audit-events?start_date=${today}&end_date=${today}`,
    `/v1/audit-events?actor_user_id=${HEAVY_USER}`,
    `/v1/audit-events?actor_key_id=${HEAVY_USER}`,
    `/v1/audit-events?api_key_id=${HEAVY_USER}`,
    `/v1/audit-events?request_id=${timeOrderedUuid()}`,
    `/v1/audit-events?request_id=chosen&user_id=${HEAVY_USER}`,
    `/v1/audit-events?request_id=chosen&start_date=${today}&end_date=${today}`,
    `/v1/billing/credit-history?user_id=${HEAVY_USER}&${middle}`,
    `/v1/billing/credit-history?user_id=${HEAVY_USER}&transaction_type=STRIPE_CHECKOUT`,
    `/v1/billing/credit-history?user_id=${HEAVY_USER}&transaction_type=MANUAL_ADJUSTMENT`,
    `/v1/billing/credit-history?user_id=${HEAVY_USER}&transaction_id=fill-77`,
    '/v1/api-keys',
  ];
  const rows: Record<string, object> = {};
  for (const path of paths) {
    const durations: number[] = [];
    const failed: number[] = [];
    for (let time = 0; time < 50; time += 1) {
      const start = performance.now();
      const answer = await fetch(url + path, { headers });
      await answer.text();
      durations.push(performance.now() - start);
      if (!answer.ok) failed.push(answer.status);
    }
    const [first = NaN] = durations;
    durations.sort((a, b) => a - b);
    rows[path] = {
      'first ms': first.toFixed(1),
      'p50 ms': median(durations).toFixed(1),
      'most ms': durations.at(-1)?.toFixed(1),
      failed: [...new Set(failed)].join(),
    };
  }
  console.table(rows);
}

async function profile(): Promise<void> {
  const server = await Server.start({
    name: 'ours',
    ...UNBUNDLED,
    flags: [...UNBUNDLED.flags, '--cpu-prof', `--cpu-prof-dir=${home}`],
  });
  for (const task of tasks) await server.load(task, 4_000, `${task.title}, warm`);
  for (const task of tasks) {
    const { perSecond } = await server.load(task, 20_000, `${task.title}, profiled`);
    console.log(`${task.title}: ${perSecond.toFixed(0)} requests/s under the profiler`);
  }
  await server.stop();
  for (const file of readdirSync(home).filter((name) => name.endsWith('.cpuprofile'))) {
    summarize(readFileSync(join(home, file), 'utf8'));
  }
}

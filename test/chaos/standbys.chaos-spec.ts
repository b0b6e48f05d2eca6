import { randomUUID } from 'node:crypto';
import { generateApiKey } from '../../src/common/api-key-format.js';
import { Administrator } from '../support/administrator.js';
import { cpuMsOf, DatabaseServer } from '../support/database-server.js';
import { Programs, type RunningServer } from '../support/server-process.js';

const SECONDS = Number(process.env.CHAOS_SECONDS ?? 60);
const CLIENTS = 4;
const CPU_CLIENTS = 16;
const WARM_UP_MS = 3_000;

const NONE = { accepted: 0, refused: 0, stale: 0 };
/** How often it happens depends on the machine. */
const ANY = { accepted: expect.any(Number), refused: expect.any(Number), stale: expect.any(Number) };

interface Figures {
  looks_with_revoked_keys: number;
  accepted: number;
  looks_with_new_keys: number;
  refused: number;
  reads_after_a_change: number;
  stale: number;
}

/** What the primary acknowledges, and whether an instance on a standby shows it at once. */
class Race {
  readonly figures: Figures = {
    looks_with_revoked_keys: 0,
    accepted: 0,
    looks_with_new_keys: 0,
    refused: 0,
    reads_after_a_change: 0,
    stale: 0,
  };

  constructor(
    private readonly primary: RunningServer,
    private readonly standby: RunningServer,
    private readonly administratorKey: string,
  ) {}

  async run(until: number): Promise<void> {
    const email = `${randomUUID()}@example.com`;
    const user = await this.send(this.primary, this.administratorKey, 'POST', 'users', { name: 'Ada', email });
    while (performance.now() < until) await this.round(String(user.body.id));
  }

  private async round(userId: string): Promise<void> {
    const { figures } = this;
    const name = randomUUID();
    const key = { name, expires_at: '2099-01-01T00:00:00Z' };
    const made = await this.send(this.primary, this.administratorKey, 'POST', `users/${userId}/api-keys`, key);
    const secret = String(made.body.secret);
    figures.looks_with_new_keys += 1;
    if ((await this.read(secret)).status === 401) figures.refused += 1;

    await this.send(this.primary, secret, 'PATCH', 'users/me', { name });
    figures.reads_after_a_change += 1;
    const shown = await this.read(secret);
    if (shown.status === 200 && shown.body.name !== name) figures.stale += 1;

    await this.send(this.primary, secret, 'DELETE', 'api-keys/current');
    figures.looks_with_revoked_keys += 1;
    if ((await this.read(secret)).status === 200) figures.accepted += 1;
  }

  private read(key: string): ReturnType<Race['send']> {
    return this.send(this.standby, key, 'GET', 'users/me');
  }

  /** Repeats what is 503, as a caller does. */
  private async send(
    { url }: RunningServer,
    key: string,
    method: string,
    path: string,
    body?: object,
  ): Promise<{ readonly status: number; readonly body: Readonly<Record<string, unknown>> }> {
    for (;;) {
      const response = await fetch(`${url}/v1/${path}`, {
        method,
        headers: { 'x-api-key': key, 'content-type': 'application/json' },
        ...(body && { body: JSON.stringify(body) }),
      });
      const { status } = response;
      const answer = (await response.json()) as Readonly<Record<string, unknown>>;
      if (status !== 503) return { status, body: answer };
    }
  }
}

let primary: DatabaseServer;
let standby: DatabaseServer;
let programs: Programs;
let servers: readonly [RunningServer, RunningServer];
const key = generateApiKey();

beforeAll(async () => {
  programs = await Programs.inEmptyDirectory();
  primary = await DatabaseServer.start();
  standby = await primary.startStandby();
  const env = { BOOTSTRAP_ADMIN_KEY: key, RATE_LIMIT_PER_MINUTE: '0' };
  const first = await programs.startServer({ ...env, DATABASE_URL: primary.url });
  const [{ lsn } = { lsn: '' }] = await primary.sql<{ lsn: string }>('SELECT pg_current_wal_lsn() AS lsn');
  const caughtUp = `SELECT pg_last_wal_replay_lsn() >= '${lsn}' AS done`;
  while (!(await standby.sql<{ done: boolean }>(caughtUp))[0]?.done);
  servers = [first, await programs.startServer({ ...env, DATABASE_URL: standby.url, MIGRATIONS_RUN: 'false' })];
});
afterAll(async () => {
  await programs.dispose();
  await standby.dispose();
  await primary.dispose();
});

describe('An instance that reads from a standby, where the primary commits with synchronous_commit =', () => {
  it.each([
    ['local', '', 'may accept revoked keys, and says at /readyz that it is not ready'],
    ['on', '*', 'may accept revoked keys, since the standby has written changes but not applied them'],
    ['remote_apply', '*', 'accepts no revoked key, knows every new one and shows every change'],
  ])('%s (standbys: "%s"): %s', async (commit, standbys) => {
    await primary.sql(`ALTER SYSTEM SET synchronous_standby_names = '${standbys}'`);
    await primary.sql(`ALTER SYSTEM SET synchronous_commit = '${commit}'`);
    await primary.sql('SELECT pg_reload_conf()');
    const isApplied = `SELECT (sync_state = 'sync') = ${String(standbys !== '')} AS done FROM pg_stat_replication`;
    while (!(await primary.sql<{ done: boolean }>(isApplied))[0]?.done);

    const race = new Race(...servers, key);
    const until = performance.now() + (SECONDS * 1000) / 3;
    await Promise.all(Array.from({ length: CLIENTS }, () => race.run(until)));
    const { figures } = race;
    process.stdout.write(`${JSON.stringify({ synchronous_commit: commit, ...figures })}\n`);

    expect((await fetch(`${servers[1].url}/readyz`)).status).toBe(503);
    expect(figures.looks_with_revoked_keys).toBeGreaterThan(0);
    const { accepted, refused, stale } = figures;
    expect({ accepted, refused, stale }).toEqual(commit === 'remote_apply' ? NONE : ANY);
  });
});

describe('The CPU time of a request', () => {
  it.each([
    ['GET', undefined],
    ['PATCH', 'x'],
  ])('is mostly that of Node.js, so that standbys would relieve what is not the limit: %s', async (method, name) => {
    const [server] = servers;
    await primary.sql('ALTER SYSTEM RESET synchronous_standby_names');
    await primary.sql('ALTER SYSTEM RESET synchronous_commit');
    await primary.sql('SELECT pg_reload_conf()');
    const administrator = new Administrator(server.url, key);
    const callers = await Promise.all(
      Array.from({ length: CPU_CLIENTS }, () => administrator.makeCaller(randomUUID())),
    );
    let requests = 0;
    const load = async (until: number): Promise<void> => {
      const client = async (secret: string): Promise<void> => {
        while (performance.now() < until) {
          requests += 1;
          const response = await fetch(`${server.url}/v1/users/me`, {
            method,
            headers: { 'x-api-key': secret, 'content-type': 'application/json' },
            ...(name !== undefined && { body: JSON.stringify({ name: `${name} ${String(requests)}` }) }),
          });
          await response.arrayBuffer();
          expect(response.status).toBe(200);
        }
      };
      await Promise.all(callers.map(({ secret }) => client(secret)));
    };
    const used = async (): Promise<readonly [number, number]> => [await cpuMsOf(server.pid), await primary.cpuMs()];

    await load(performance.now() + WARM_UP_MS);
    requests = 0;
    const [node, postgres] = await used();
    await load(performance.now() + (SECONDS * 1000) / 3);
    const [nodeAfter, postgresAfter] = await used();
    const figures = {
      method,
      requests,
      requests_per_second: Math.round(requests / (SECONDS / 3)),
      node_us: Math.round(((nodeAfter - node) * 1000) / requests),
      postgresql_us: Math.round(((postgresAfter - postgres) * 1000) / requests),
    };
    process.stdout.write(`${JSON.stringify(figures)}\n`);

    expect(figures.postgresql_us).toBeGreaterThan(0);
    expect(figures.postgresql_us).toBeLessThan(figures.node_us);
  });
});

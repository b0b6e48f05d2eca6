import { randomInt, randomUUID } from 'node:crypto';
import { chmod, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { generateApiKey } from '../../src/common/api-key-format.js';
import { freePort } from '../support/ports.js';
import { Programs, type RunningServer } from '../support/server-process.js';

const CLIENTS = 32;
const USERS = 8;
const SECONDS = Number(process.env.CHAOS_SECONDS ?? 60);

interface Entry {
  readonly id: string;
  readonly credits: number;
  readonly transaction_id: string;
  readonly balance_after: number;
}

interface Hold {
  readonly id: string;
  readonly status: string;
  readonly captured: number | null;
  readonly transaction_id: string;
}

/** What happened, for whoever runs this. */
const figures = {
  requests: 0,
  acknowledged: 0,
  holds: 0,
  captures: 0,
  voids: 0,
  refused: 0,
  retried: 0,
  serverKills: 0,
  databaseKills: 0,
};

describe('Credits under kill -9 of the server and of its database', () => {
  it('keep every acknowledged entry and hold exactly once, no balance below 0, and nothing for reconcile to find', async () => {
    const programs = await Programs.inEmptyDirectory();
    await chmod(programs.cwd, 0o755);
    const key = generateApiKey();
    const port = await freePort();
    const env = { PORT: String(port), BOOTSTRAP_ADMIN_KEY: key };
    let server: RunningServer = await programs.startServer(env);
    const api = (path: string, body?: object, method = body ? 'POST' : 'GET') =>
      fetch(`${server.url}/v1/${path}`, {
        method,
        headers: { 'x-api-key': key, 'content-type': 'application/json' },
        ...(body && { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(10_000),
      });
    const users = await Promise.all(
      Array.from({ length: USERS }, async () => {
        const response = await api('users', { name: 'U', email: `${randomUUID()}@example.com` });
        return ((await response.json()) as { id: string }).id;
      }),
    );

    const acknowledged = new Map<string, { user: string; entry: Entry }>();
    const repeated: { entry: Entry; again: Entry | null }[] = [];
    /** Holds as they were acknowledged last. */
    const acknowledgedHolds = new Map<string, Pick<Hold, 'status' | 'captured' | 'transaction_id'>>();
    const until = Date.now() + SECONDS * 1000;

    /**
     * One request, repeated until it is answered for good, as a client with an idempotent request
     * would.
     *
     * @returns null where the credits did not suffice
     */
    const send = async <T>(path: string, body?: object, method?: string): Promise<T | null> => {
      for (;;) {
        figures.requests += 1;
        try {
          const response = await api(path, body, method);
          const text = await response.text();
          if (response.status === 200 || response.status === 201) return JSON.parse(text) as T;
          if (response.status === 402) return null;
          if (response.status !== 503) throw new Error(`unexpected answer ${String(response.status)} ${text}`);
        } catch (error) {
          if ((error as Error).message.startsWith('unexpected')) throw error;
        }
        figures.retried += 1;
        await sleep(randomInt(20, 200));
      }
    };
    const move = (path: string, body: object): Promise<Entry | null> => send<Entry>(path, body);
    /** A hold that outlives the test, and then a capture of some of it, a void, or neither. */
    const work = async (user: string): Promise<void> => {
      const amount = randomInt(1, 6);
      const body = { user_id: user, amount, transaction_id: randomUUID(), expires_in_seconds: 86_400 };
      const hold = await send<Hold>('billing/holds', body);
      if (!hold) {
        figures.refused += 1;
        return;
      }
      figures.holds += 1;
      const { id, transaction_id } = hold;
      acknowledgedHolds.set(id, { status: 'OPEN', captured: null, transaction_id });
      const fate = randomInt(8);
      if (fate < 4) {
        const captured = randomInt(1, amount + 1);
        const entry = await move(`billing/holds/${id}/capture`, { amount: captured });
        if (!entry) throw new Error('A capture was refused for credits');
        figures.captures += 1;
        acknowledged.set(transaction_id, { user, entry });
        acknowledgedHolds.set(id, { status: 'CAPTURED', captured, transaction_id });
        if (randomInt(5) === 0)
          repeated.push({ entry, again: await move(`billing/holds/${id}/capture`, { amount: captured }) });
      } else if (fate < 7) {
        const voided = await send<Hold>(`billing/holds/${id}`, undefined, 'DELETE');
        figures.voids += 1;
        acknowledgedHolds.set(id, { status: voided?.status ?? '', captured: null, transaction_id });
      }
    };
    const client = async (): Promise<void> => {
      while (Date.now() < until) {
        const user = users[randomInt(USERS)] ?? '';
        if (randomInt(3) === 0) {
          await work(user);
          continue;
        }
        const path = randomInt(2) === 0 ? 'billing/credits-add' : 'billing/credits-deduct';
        const body = { user_id: user, amount: randomInt(1, 6), transaction_id: randomUUID() };
        const entry = await move(path, body);
        if (!entry) figures.refused += 1;
        else {
          figures.acknowledged += 1;
          acknowledged.set(entry.transaction_id, { user, entry });
          if (randomInt(5) === 0) repeated.push({ entry, again: await move(path, body) });
        }
      }
    };
    const chaos = async (): Promise<void> => {
      while (Date.now() < until) {
        await sleep(randomInt(500, 4000));
        if (randomInt(2) === 0) {
          figures.serverKills += 1;
          await server.end('SIGKILL');
          server = await programs.startServer(env);
        } else {
          figures.databaseKills += 1;
          const pid = await readFile(join(programs.cwd, '.data/postgres-18/postmaster.pid'), 'utf8').catch(() => '');
          if (pid) process.kill(Number(pid.split('\n')[0]), 'SIGKILL');
        }
      }
    };

    await Promise.all([chaos(), ...Array.from({ length: CLIENTS }, client)]);

    while ((await fetch(`${server.url}/readyz`)).status !== 200) await sleep(50); // the last kill may have been a moment ago
    /** All rows of a list. */
    const rowsOf = async <T>(path: string): Promise<T[]> => {
      const rows: T[] = [];
      let next: string | undefined = path;
      while (next !== undefined) {
        const response: Response = await api(next);
        rows.push(...((await response.json()) as { data: T[] }).data);
        next = /^<\/v1\/([^>]+)>/.exec(response.headers.get('link') ?? '')?.[1];
      }
      return rows;
    };
    const stored = new Map<string, { user: string; entry: Entry }>();
    const storedHolds = new Map<string, Pick<Hold, 'status' | 'captured' | 'transaction_id'>>();
    for (const user of users) {
      for (const entry of await rowsOf<Entry>(`billing/credit-history?user_id=${user}&items_per_page=100`)) {
        expect(stored.has(entry.transaction_id)).toBe(false);
        expect(entry.balance_after).toBeGreaterThanOrEqual(0);
        stored.set(entry.transaction_id, { user, entry });
      }
      for (const { id, status, captured, transaction_id } of await rowsOf<Hold>(
        `billing/holds?user_id=${user}&items_per_page=100`,
      ))
        storedHolds.set(id, { status, captured, transaction_id });
    }
    await server.end('SIGTERM');
    const proof = await programs.cli(['credits', 'reconcile']);
    await programs.dispose();
    process.stdout.write(
      `${JSON.stringify({ seconds: SECONDS, clients: CLIENTS, ...figures, stored: stored.size, stored_holds: storedHolds.size })}\n`,
    );

    expect(stored).toEqual(acknowledged);
    expect(storedHolds).toEqual(acknowledgedHolds);
    expect([...storedHolds.values()].map(({ status }) => status)).toEqual(
      expect.arrayContaining(['OPEN', 'CAPTURED', 'VOIDED']),
    );
    expect(repeated.length).toBeGreaterThan(0);
    expect(repeated.map(({ again }) => again)).toEqual(repeated.map(({ entry }) => entry));
    expect(proof).toMatchObject({ code: 0 });
    expect(figures.serverKills + figures.databaseKills).toBeGreaterThan(0);
  });
});

import { randomUUID } from 'node:crypto';
import { generateApiKey } from '../../src/common/api-key-format.js';
import { Administrator } from '../support/administrator.js';
import { administer } from '../support/database.js';
import { DatabaseServer } from '../support/database-server.js';
import { Programs, type RunningServer } from '../support/server-process.js';

const RACES = Number(process.env.CHAOS_REVOCATIONS ?? 200);
/** Races at the same time, each with a customer of its own. */
const LANES = 8;
/** What every instance is asked after a revocation, at least. */
const LOOKS_AFTERWARDS = 2;

const FAR = '2099-01-01T00:00:00Z';

interface Customer {
  readonly id: string;
}

interface Key {
  readonly name: string;
  readonly secret: string;
}

interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

const figures = {
  races: 0,
  /** Sent before the revocation was answered. */
  allowed_meanwhile: 0,
  refused_meanwhile: 0,
  /** Sent once the revocation was answered. */
  refused_afterwards: 0,
  allowed_afterwards: 0,
  /** Neither: 503. */
  unavailable: 0,
};

/** Counts what a request has shown. @returns whether it has a result */
function count(isAllowed: boolean | null, isRevoked: boolean): boolean {
  if (isAllowed === null) figures.unavailable += 1;
  else figures[`${isAllowed ? 'allowed' : 'refused'}_${isRevoked ? 'afterwards' : 'meanwhile'}`] += 1;
  return isAllowed !== null;
}

describe('A key that is revoked while two instances verify it', () => {
  const administratorKey = generateApiKey();
  let database: DatabaseServer;
  let programs: Programs;
  let servers: readonly RunningServer[];
  beforeAll(async () => {
    database = await DatabaseServer.start();
    programs = await Programs.inEmptyDirectory();
    const env = { DATABASE_URL: database.url, BOOTSTRAP_ADMIN_KEY: administratorKey, RATE_LIMIT_PER_MINUTE: '0' };
    servers = [await programs.startServer(env), await programs.startServer(env)];
  });
  afterAll(async () => {
    await programs.dispose();
    await database.dispose();
  });

  const send = async (
    server: RunningServer,
    key: string,
    method: string,
    path: string,
    body?: object,
  ): Promise<Answer> => {
    const response = await fetch(`${server.url}/v1/${path}`, {
      method,
      headers: { 'x-api-key': key, 'content-type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: text === '' ? {} : (JSON.parse(text) as Answer['body']) };
  };

  /** Whether a charge of the owner is allowed; null where there is no result. */
  const verify = async (server: RunningServer, { secret }: Key, transactionId: string): Promise<boolean | null> => {
    const charge = { amount: 1, transaction_id: transactionId };
    const { status, body } = await send(server, administratorKey, 'POST', 'verify', { key: secret, charge });
    if (status === 503) return null;
    if (status !== 200) throw new Error(`POST /v1/verify: ${String(status)} ${JSON.stringify(body)}`);
    if (body.allowed !== true && body.reason !== 'revoked') throw new Error(JSON.stringify(body));
    return body.allowed === true;
  };

  const forwardAuth = async (server: RunningServer, { secret }: Key): Promise<boolean | null> => {
    const { status, body } = await send(server, secret, 'GET', 'forward-auth');
    if (![200, 401, 503].includes(status))
      throw new Error(`GET /v1/forward-auth: ${String(status)} ${JSON.stringify(body)}`);
    return status === 503 ? null : status === 200;
  };

  /** The ways to revoke a key, each of which is safe to repeat after a 503. */
  const WAYS: readonly ((server: RunningServer, customer: Customer, key: Key) => Promise<Answer>)[] = [
    (server, _, { secret }) => send(server, secret, 'DELETE', 'api-keys/current'),
    (server, { id }, { name }) => send(server, administratorKey, 'DELETE', `users/${id}/api-keys/${name}`),
    (server, _, { secret }) => send(server, administratorKey, 'POST', 'leaked-keys', { keys: [secret] }),
  ];

  async function race(customer: Customer, number: number): Promise<void> {
    const name = randomUUID();
    const path = `users/${customer.id}/api-keys`;
    const { secret } = await new Administrator(servers[0]?.url ?? '', administratorKey).post(path, {
      name,
      expires_at: FAR,
    });
    const key = { name, secret };
    let isRevoked = false;

    const revoke = async (): Promise<void> => {
      const server = servers[number % servers.length];
      const way = WAYS[number % WAYS.length];
      while (server && way && !isRevoked) {
        const { status, body } = await way(server, customer, key);
        // 401: an attempt that was answered with 503 has revoked the key which it was sent with.
        if (![200, 401, 503].includes(status)) throw new Error(`${String(status)} ${JSON.stringify(body)}`);
        isRevoked = status !== 503;
      }
    };
    const look = async (server: RunningServer): Promise<void> => {
      for (let afterwards = 0; afterwards < LOOKS_AFTERWARDS;) {
        const isLate = isRevoked;
        const id = `${isLate ? 'afterwards' : 'meanwhile'} ${randomUUID()}`;
        const results = await Promise.all([verify(server, key, id), forwardAuth(server, key)]);
        const decided = results.filter((isAllowed) => count(isAllowed, isLate));
        if (isLate && decided.length === results.length) afterwards += 1;
      }
    };

    const looks = servers.map((server) => look(server));
    await Promise.all([...looks, revoke()]);
    figures.races += 1;
  }

  it(
    `is refused on both once the revocation is answered, and charges nothing: ${String(RACES)} races`,
    async () => {
      const administrator = new Administrator(servers[0]?.url ?? '', administratorKey);
      let next = 0;
      const lane = async (): Promise<void> => {
        const customer = await administrator.makeCaller(randomUUID());
        await administrator.post('billing/credits-add', {
          user_id: customer.id,
          amount: 1_000_000_000,
          transaction_id: 'gift',
        });
        while (next < RACES) await race(customer, next++);
      };

      await Promise.all(Array.from({ length: LANES }, lane));
      const [entries] = await administer<{ meanwhile: number; afterwards: number }>(
        `SELECT count(*) FILTER (WHERE transaction_id LIKE 'meanwhile %')::int AS meanwhile,
                count(*) FILTER (WHERE transaction_id LIKE 'afterwards %')::int AS afterwards
           FROM credit_entries`,
        database.url,
      );
      const reconciled = await programs.cli(['credits', 'reconcile'], { DATABASE_URL: database.url });

      process.stdout.write(`${JSON.stringify({ ...figures, charged: entries })}\n`);
      expect(figures).toMatchObject({ races: RACES, allowed_afterwards: 0 });
      expect(figures.allowed_meanwhile).toBeGreaterThan(0);
      expect(figures.refused_afterwards).toBeGreaterThanOrEqual(RACES * servers.length * LOOKS_AFTERWARDS * 2);
      expect(entries?.meanwhile).toBeGreaterThan(0);
      expect(entries?.afterwards).toBe(0);
      expect(reconciled.code).toBe(0);
    },
    60_000 + RACES * 1_000,
  );
});

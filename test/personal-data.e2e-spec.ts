import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Ajv } from 'ajv';
import { Client } from 'pg';
import { DataSource } from 'typeorm';
import { CreditsService } from '../src/credits/credits.service.js';
import { EXPORT_PARTS } from '../src/personal-data/export-parts.js';
import { PersonalDataService } from '../src/personal-data/personal-data.service.js';
import { LastAdministratorError, UserNotFoundError } from '../src/users/users.errors.js';
import { COMMAND_LINE } from '../src/audit-trail/actor.js';
import { useTestApp } from './support/app.js';
import type { GivenUser } from './support/given.js';

/** Tables for the search, of the name and the address in `users`. */
const DERIVED = ['renamed_users', 'user_search_texts'];

/** The columns with texts of a user or about one, of which an erasure replaces these … */
const ERASED = {
  users: ['name', 'email'],
  api_keys: ['name'],
  audit_events: ['changes'],
  user_search_texts: ['text'],
};
/** … and keeps these: no text that describes a person. */
const KEPT = {
  users: ['status'],
  api_keys: ['prefix', 'scopes'],
  audit_events: ['action', 'actor', 'actor_account', 'request_id'],
  credit_entries: ['actor', 'actor_account', 'request_id', 'transaction_id', 'transaction_type'],
  credit_holds: ['actor', 'actor_account', 'request_id', 'status', 'transaction_id', 'transaction_type'],
  migrations: ['name'],
};

const FUTURE = '2100-01-01T00:00:00.000Z';

interface Exported {
  readonly user: object;
  readonly api_keys: { readonly name: string }[];
  readonly superseded_secrets: object[];
  readonly credit_entries: { readonly transaction_id: string }[];
  readonly credit_entries_made: object[];
  readonly credit_holds: { readonly expires_at: string }[];
  readonly credit_holds_made: object[];
  readonly audit_events: { readonly action: string; readonly changes: object }[];
  readonly audit_events_made: { readonly action: string }[];
}

/** A user with everything that is stored about users. */
async function storedUser(
  app: ReturnType<typeof useTestApp>,
  isAdmin = false,
): Promise<{ ada: GivenUser; texts: string[] }> {
  const admin = await app.given.user({ isAdmin: true });
  const [first, second] = [`Ada ${randomUUID()}`, `Augusta ${randomUUID()}`];
  const [email, corrected] = [`ada.${randomUUID()}@example.com`, `Augusta.${randomUUID()}@Example.org`];
  const [laptop, desktop] = [`ada-${randomUUID()}`, `augusta-${randomUUID()}`];
  const ada = await app.given.user({ name: first, email, isAdmin });
  const as = app.as(ada);
  await as.patch('/v1/users/me').send({ name: second }).expect(200);
  await app.as(admin).patch(`/v1/users/${ada.id}`).send({ email: corrected, rate_limit_per_minute: 600 }).expect(200);
  await as
    .post('/v1/api-keys')
    .send({ name: laptop, expires_at: FUTURE, scopes: ['jobs:write'] })
    .expect(201);
  await as.patch(`/v1/api-keys/${laptop}`).send({ name: desktop }).expect(200);
  for (const overlap_seconds of [60, 0])
    await as.post(`/v1/api-keys/${desktop}/rotate`).send({ expires_at: FUTURE, overlap_seconds }).expect(201);
  const credits = { user_id: ada.id, amount: 7 };
  await app
    .as(admin)
    .post('/v1/billing/credits-add')
    .send({ ...credits, transaction_id: 'a' })
    .expect(200);
  await app
    .as(admin)
    .post('/v1/billing/credits-deduct')
    .send({ ...credits, amount: 2, transaction_id: 'b' })
    .expect(200);
  for (const [transaction_id, amount] of [
    ['c', 1],
    ['d', 2],
  ] as const)
    await app
      .as(admin)
      .post('/v1/billing/holds')
      .send({ ...credits, amount, transaction_id })
      .expect(201);
  await app.given.sql(
    `UPDATE credit_holds SET created_at = created_at - interval '1 day', expires_at = expires_at - interval '1 day'
      WHERE user_id = $1 AND transaction_id = 'c'`,
    [ada.id],
  );
  return { ada, texts: [first, second, email, corrected, laptop, desktop] };
}

describe('The export of a user', () => {
  const app = useTestApp();
  const exported = async (id: string): Promise<Exported> => {
    let text = '';
    for await (const part of app.nest.get(PersonalDataService, { strict: false }).export(id)) text += part;
    return JSON.parse(text) as Exported;
  };

  it('has everything, as its schema says, and nothing that leads to a secret or to others', async () => {
    const { ada, texts } = await storedUser(app, true);
    const bob = await app.given.user({ name: 'Bob the other' });
    await app.as(ada).patch(`/v1/users/${bob.id}`).send({ name: 'Robert the other' }).expect(200);
    await app
      .as(ada)
      .post('/v1/billing/credits-add')
      .send({ user_id: bob.id, amount: 1, transaction_id: 'secret-of-bob' })
      .expect(200);
    await app
      .as(ada)
      .post('/v1/billing/holds')
      .send({ user_id: bob.id, amount: 1, transaction_id: 'secret-of-bob-too' })
      .expect(201);
    await app
      .as(ada)
      .post('/v1/billing/credits-add')
      .send({ user_id: ada.id, amount: 3, transaction_id: 'own' })
      .expect(200);
    await app
      .as(ada)
      .post('/v1/billing/holds')
      .send({ user_id: ada.id, amount: 3, transaction_id: 'own-too' })
      .expect(201);
    await app.given.sql(
      `INSERT INTO credit_holds (user_id, amount, status, created_at, expires_at, settled_at, captured, transaction_id, transaction_type, actor)
       VALUES ($1, 4, 'CAPTURED', '2026-01-01T00:00:00Z', '2026-01-03T00:00:00Z', '2026-01-02T00:00:00Z', 1, 'z', 'JOB', 'APPLICATION')`,
      [ada.id],
    );
    await app.given.sql(
      `INSERT INTO audit_events (action, actor, actor_user_id, changes) VALUES ('users.imported', 'API_KEY', $1, '{"users": {"after": 2}}')`,
      [ada.id],
    );

    const document = await exported(ada.id);

    const schema = JSON.parse(await readFile('docs/user-export.schema.json', 'utf8')) as object;
    const ajv = new Ajv({ allErrors: true });
    ajv.validate(schema, document);
    expect(ajv.errors).toBeNull();
    const text = JSON.stringify(document);
    for (const one of texts.slice(1)) expect(text).toContain(one);
    expect(text).not.toMatch(/digest|the other|secret-of-bob/);
    expect(document.user).toMatchObject({
      id: ada.id,
      credits_balance: 8,
      credits_held: 5,
      version: 6,
      is_admin: true,
    });
    expect(document.api_keys.map(({ name }) => name)).toEqual(['first-key', texts[5]]);
    expect(document.superseded_secrets).toHaveLength(2);
    expect(document.credit_entries).toEqual([
      expect.objectContaining({ credits: 7, balance_after: 7 }),
      expect.objectContaining({ credits: -2, balance_after: 5 }),
      expect.objectContaining({ credits: 3, balance_after: 8 }),
    ]);
    expect(document.credit_entries_made).toEqual([expect.objectContaining({ user_id: bob.id })]);
    expect(document.credit_holds).toEqual([
      expect.objectContaining({ amount: 4, status: 'CAPTURED', settled_at: '2026-01-02T00:00:00.000Z', captured: 1 }),
      expect.objectContaining({ amount: 1, status: 'EXPIRED', settled_at: document.credit_holds[1]?.expires_at }),
      expect.objectContaining({ amount: 2, status: 'OPEN', settled_at: null, captured: null }),
      expect.objectContaining({ amount: 3, status: 'OPEN', settled_at: null, captured: null }),
    ]);
    expect(document.credit_holds_made).toEqual([expect.objectContaining({ user_id: bob.id })]);
    expect(document.audit_events.map(({ action }) => action)).toEqual([
      ...['user.created', 'api_key.created', 'user.updated', 'user.updated'],
      ...['api_key.created', 'api_key.updated', 'api_key.rotated', 'api_key.rotated'],
    ]);
    expect(document.audit_events_made).toEqual([
      expect.objectContaining({ action: 'user.updated', user_id: bob.id, changed: ['name'] }),
      expect.objectContaining({ action: 'users.imported', user_id: null, changed: ['users'] }),
    ]);
  });

  it('has each row once, however many there are, and all of one moment', async () => {
    const ada = await app.given.user();
    const entries = 2_500;
    await app.given.sql(
      `INSERT INTO credit_entries (user_id, credits, balance_after, transaction_id, transaction_type, actor, created_at)
       SELECT $1, 1, n, 'entry-' || n, 'TEST', 'APPLICATION', now() FROM generate_series(1, $2::int) AS n`,
      [ada.id, entries],
    );
    let text = '';
    for await (const part of app.nest.get(PersonalDataService, { strict: false }).export(ada.id)) {
      if (text === '') await app.as(ada).patch('/v1/users/me').send({ name: 'Later' }).expect(200);
      text += part;
    }

    const document = JSON.parse(text) as Exported;

    expect(new Set(document.credit_entries.map(({ transaction_id: id }) => id)).size).toBe(entries);
    expect(document.credit_entries).toHaveLength(entries);
    expect(text).not.toContain('Later');
  });

  it('throws UserNotFoundError for an unknown id, and gives its connection back when it is left early', async () => {
    await expect(exported(randomUUID())).rejects.toThrow(UserNotFoundError);
    const ada = await app.given.user();
    for (let times = 0; times < 30; times += 1)
      for await (const part of app.nest.get(PersonalDataService, { strict: false }).export(ada.id)) {
        expect(part).toContain(ada.id);
        break;
      }
    await app.as(ada).get('/v1/users/me').expect(200);
  });

  // A table or a column that is added later has to be exported, or withheld for a reason.
  it('knows every column of the database that names a user, and every column of these tables', async () => {
    const columns = (await app.rows(
      `SELECT table_name AS "table", column_name AS "column" FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name IN (SELECT relname FROM pg_class WHERE relkind IN ('r', 'p'))`,
    )) as { table: string; column: string }[];
    const parts = Object.values(EXPORT_PARTS);
    const naming = columns
      .filter(({ table, column }) => ['user_id', 'actor_user_id'].includes(column) && !DERIVED.includes(table))
      .map(({ table, column }) => `${table}.${column}`);
    const tables = new Set(parts.map(({ table }) => table));

    expect(parts.map(({ table, by }) => `${table}.${by}`).sort()).toEqual(
      [...naming, 'users.id', 'superseded_secrets.api_key_id'].sort(),
    );
    for (const { table, columns: shown, integers = [], computed = {}, withheld = [] } of parts)
      expect({
        table,
        columns: [...shown, ...integers, ...Object.keys(computed), ...withheld]
          .filter((name) => name !== 'changed')
          .sort(),
      }).toEqual({
        table,
        columns: columns
          .filter((one) => one.table === table)
          .map(({ column }) => column)
          .sort(),
      });
    expect([...new Set(columns.map(({ table }) => table))].filter((table) => !tables.has(table)).sort()).toEqual([
      'migrations',
      ...DERIVED,
    ]);
  });
});

describe('The erasure of a user', () => {
  const app = useTestApp();
  const erase = (id: string): Promise<boolean> =>
    app.nest.get(PersonalDataService, { strict: false }).erase(id, COMMAND_LINE);
  /** Every text that is stored, in any table. */
  const dump = async (): Promise<string> => {
    const tables = (await app.rows(
      `SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')`,
    )) as { name: string }[];
    return JSON.stringify(
      await Promise.all(tables.map(({ name }) => app.rows(`SELECT t::text FROM ${name} t ORDER BY 1`))),
    ).toLowerCase();
  };
  const triggers = (): Promise<unknown[]> =>
    app.rows(`SELECT tgname AS name, tgenabled AS enabled FROM pg_trigger WHERE tgrelid = 'audit_events'::regclass`);
  const ENABLED = [{ name: 'tr_audit_events_append_only', enabled: 'O' }];

  // A column that is added later has to be replaced by `erase_user`, or kept for a reason.
  it('knows every column with a text, as one that it replaces or one that it keeps', async () => {
    const columns = (await app.rows(
      `SELECT table_name || '.' || column_name AS name FROM information_schema.columns
        WHERE table_schema = 'public' AND data_type IN ('text', 'character varying', 'character', 'json', 'jsonb', 'ARRAY')`,
    )) as { name: string }[];
    const known = [ERASED, KEPT].flatMap((tables) =>
      Object.entries(tables).flatMap(([table, names]) => names.map((name) => `${table}.${name}`)),
    );

    expect(columns.map(({ name }) => name).sort()).toEqual(known.sort());
  });

  it('leaves no name, address or name of a key in any table, ends the keys, and is an event', async () => {
    const admin = await app.given.user({ isAdmin: true });
    const { ada, texts } = await storedUser(app);
    const { ada: eve } = await storedUser(app);
    const [row = {}] = (await app.rows(`SELECT ${ERASED.users.join()} FROM users WHERE id = $1`, [ada.id])) as object[];
    expect(texts).toEqual(expect.arrayContaining(Object.values(row))); // one of each column
    const others = (): Promise<unknown[]> =>
      app.rows(`SELECT * FROM audit_events WHERE user_id = $1 ORDER BY id`, [eve.id]);
    const before = await others();
    const events = await app.rows(`SELECT id, action, created_at FROM audit_events WHERE user_id = $1 ORDER BY id`, [
      ada.id,
    ]);
    const stored = await app.stored(ada);
    for (const text of texts) expect(await dump()).toContain(text.toLowerCase());

    expect(await erase(ada.id)).toBe(true);

    const remaining = await dump();
    for (const text of texts) expect(remaining).not.toContain(text.toLowerCase());
    const user = (await app.as(admin).get(`/v1/users/${ada.id}`).expect(200)).body as { updated_at: string };
    expect(user).toMatchObject({
      name: 'Erased',
      email: `erased-${ada.id}@erased.invalid`,
      status: 'INACTIVE',
      is_admin: false,
      credits_balance: 5,
    });
    expect(Date.parse(user.updated_at)).toBeGreaterThan(stored.updatedAt.getTime());
    expect((await app.stored(ada)).version).toBe(String(Number(stored.version) + 1));
    await app.as(ada).get('/v1/users/me').expect(401);
    const keys = (await app.as(admin).get(`/v1/users/${ada.id}/api-keys`).expect(200)).body as {
      data: { id: string }[];
    };
    expect(keys.data).toEqual(
      keys.data.map(({ id }): unknown => expect.objectContaining({ name: `erased-${id}`, status: 'REVOKED' })),
    );
    const { body } = await app.as(admin).get(`/v1/audit-events?user_id=${ada.id}&items_per_page=100`).expect(200);
    const trail = (body as { data: { id: string; action: string; changes: object }[] }).data.reverse();
    expect(trail.slice(0, events.length).map(({ id }) => id)).toEqual((events as { id: string }[]).map(({ id }) => id));
    expect(trail.slice(events.length).map(({ action }) => action)).toEqual([
      'api_key.revoked',
      'api_key.revoked',
      'user.erased',
    ]);
    expect(trail.at(-1)).toMatchObject({
      actor: 'COMMAND_LINE',
      changes: {
        status: { before: 'ACTIVE', after: 'INACTIVE' },
        api_keys: { after: 2 },
        audit_events: { after: 6 },
      },
    });
    expect(trail[2]?.changes).toEqual({ name: { before: 'Erased', after: 'Erased' } });
    expect(await others()).toEqual(before);
    expect(await triggers()).toEqual(ENABLED);
  });

  it('takes the role of an administrator away, and leaves keys that had ended as they ended', async () => {
    await app.given.user({ isAdmin: true });
    const ada = await app.given.user({ isAdmin: true });
    for (const name of ['revoked', 'expired'])
      await app.as(ada).post('/v1/api-keys').send({ name, expires_at: FUTURE }).expect(201);
    await app.as(ada).delete('/v1/api-keys/revoked').expect(200);
    await app.given.sql(
      `UPDATE api_keys SET created_at = created_at - interval '2 days', expires_at = created_at - interval '1 day'
        WHERE user_id = $1 AND name = 'expired'`,
      [ada.id],
    );
    const ended = (await app.rows(
      `SELECT id, revoked_at FROM api_keys WHERE user_id = $1 AND name IN ('revoked', 'expired') ORDER BY id`,
      [ada.id],
    )) as { id: string }[];

    await erase(ada.id);

    const ids = ended.map(({ id }) => id);
    const events = await app.rows(
      `SELECT action, changes FROM audit_events WHERE user_id = $1 AND actor = 'COMMAND_LINE' ORDER BY id`,
      [ada.id],
    );
    expect(await app.rows(`SELECT id, revoked_at FROM api_keys WHERE id = ANY ($1) ORDER BY id`, [ids])).toEqual(ended);
    expect(await app.stored(ada)).toMatchObject({ isAdmin: false, status: 'INACTIVE' });
    expect(events).toEqual([
      { action: 'api_key.revoked', changes: { revoked_at: { after: expect.any(String) } } },
      {
        action: 'user.erased',
        changes: expect.objectContaining({ is_admin: { before: true, after: false }, api_keys: { after: 3 } }),
      },
    ]);
  });

  it('changes nothing when it is repeated, and leaves a ledger that adds up and goes on', async () => {
    const { ada } = await storedUser(app);
    await erase(ada.id);
    const everything = await dump();

    expect(await erase(ada.id)).toBe(false);

    expect(await dump()).toBe(everything);
    const credits = app.nest.get(CreditsService);
    expect(await credits.reconcile()).toEqual([]);
    await credits.spend({ userId: ada.id, amount: 3, transactionId: 'refund' }); // 2 are held still
    expect(await credits.reconcile()).toEqual([]);
  });

  it('has names of its own where another user or another key has them', async () => {
    const { ada } = await storedUser(app);
    const address = `erased-${ada.id}@erased.invalid`;
    const eve = await app.given.user({ email: address.toUpperCase() });
    await app.given.sql('UPDATE users SET email = $2 WHERE id = $1', [ada.id, `erased-${ada.id}.ada@erased.invalid`]);
    const [{ id: first }, { id: second }] = (await app.rows('SELECT id FROM api_keys WHERE user_id = $1 ORDER BY id', [
      ada.id,
    ])) as [{ id: string }, { id: string }];
    for (const [id, name] of [
      [first, 'elsewhere'],
      [second, `erased-${first}`],
      [first, `erased-${second}`],
    ] as const)
      await app.given.sql('UPDATE api_keys SET name = $2 WHERE id = $1', [id, name]);

    expect(await erase(ada.id)).toBe(true);
    const { email } = await app.stored(ada);
    expect(await erase(ada.id)).toBe(false);

    expect(email).toMatch(new RegExp(`^erased-${ada.id}-[0-9a-f-]{36}@erased\\.invalid$`));
    expect((await app.stored(ada)).email).toBe(email);
    expect((await app.stored(eve)).email).toBe(address.toUpperCase());
    expect(await app.rows('SELECT name FROM api_keys WHERE user_id = $1 ORDER BY id', [ada.id])).toEqual([
      { name: `erased-${first}` },
      { name: `erased-${second}` },
    ]);
  });

  it('is of two at once done by one', async () => {
    const { ada } = await storedUser(app);

    const erased = await Promise.all([erase(ada.id), erase(ada.id)]);

    expect(erased.sort()).toEqual([false, true]);
    expect(
      await app.rows(`SELECT FROM audit_events WHERE user_id = $1 AND action = 'user.erased'`, [ada.id]),
    ).toHaveLength(1);
  });

  it('goes on beside changes of the same user and its keys, none of which leaves a name behind', async () => {
    const admin = await app.given.user({ isAdmin: true });
    for (let turn = 0; turn < 5; turn += 1) {
      const { ada } = await storedUser(app);
      const marker = `Marker ${randomUUID()}`;

      await Promise.all([
        ...Array.from({ length: 8 }, (_, number) =>
          app
            .as(admin)
            .patch(`/v1/users/${ada.id}`)
            .send({ name: `${marker} ${String(number)}` }),
        ),
        erase(ada.id),
        app
          .as(admin)
          .patch(`/v1/users/${ada.id}/api-keys/first-key`)
          .send({ name: `key-${String(turn)}` }),
      ]);
      await erase(ada.id); // a change that came later is erased by repeating

      expect(await dump()).not.toContain(marker.toLowerCase());
      expect(await triggers()).toEqual(ENABLED);
    }
  });

  it('refuses the last active administrator and unknown users, and then has changed nothing', async () => {
    const ada = await app.given.user({ isAdmin: true });
    await app.given.sql('UPDATE users SET is_admin = false WHERE id <> $1', [ada.id]);
    const everything = await dump();

    await expect(erase(ada.id)).rejects.toThrow(LastAdministratorError);
    await expect(erase(randomUUID())).rejects.toThrow(UserNotFoundError);

    expect(await dump()).toBe(everything);
    expect(await triggers()).toEqual(ENABLED);
  });

  it('is rolled back as a whole when the connection ends in the middle', async () => {
    const { ada } = await storedUser(app);
    const everything = await dump();
    const client = new Client({ connectionString: (app.nest.get(DataSource).options as { url: string }).url });
    client.on('error', () => undefined);
    await client.connect();
    await client.query('BEGIN');
    await client.query('SELECT erase_user($1)', [ada.id]);
    await client.query('SELECT pg_terminate_backend(pg_backend_pid())').catch(() => undefined);

    expect(await dump()).toBe(everything);
    expect(await triggers()).toEqual(ENABLED);
    await expect(app.given.sql('DELETE FROM audit_events')).rejects.toMatchObject({ code: '23001' });
  });
});

import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { DataSource } from 'typeorm';
import {
  ApiKeyNotFoundError,
  ApiKeySecretTakenError,
  ApiKeysService,
  CreditsService,
  DomainError,
  InvalidActorError,
  InvalidOverlapError,
  UsersService,
} from '../src/index.js';
import { generateApiKey } from '../src/common/api-key-format.js';
import { useTestApp } from './support/app.js';
import type { GivenUser } from './support/given.js';

const FUTURE = new Date('2099-01-01T00:00:00.000Z');
const WEEK_SECONDS = 604_800;

/**
 * Values that no field takes, or few do. TypeScript does not hold everywhere: options come from
 * files, bodies from requests.
 */
const KNOWN: readonly unknown[] = [
  ...[null, true, '', ' ', '\0', 'a\0b', '\ud800', 'a\u202eb', 'x'.repeat(300), '0001-01-01', '2026-02-30', 'NULL'],
  ...[-1, -0, 0.5, 1.5, NaN, Infinity, 2 ** 31, 2 ** 53, 1e21, '1', '01', '-1', '1e3', '9223372036854775808', 2n],
  ...[new Date(NaN), new Date(8.64e15), new Date(-8.64e15), new Date(0), '2099-01-01T00:00:00Z', '{}', 'a@b@c.example'],
  ...[[], ['x'], [null], ['1', '\0'], {}, Object.create(null), { toString: () => 'x' }, Symbol('x'), () => 'x'],
  ...[Buffer.from('x'), [randomUUID()], `${randomUUID()}\n`, `${'a'.repeat(64)}@${'b.'.repeat(120)}example`],
];
const hostile = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...KNOWN) },
  fc.anything({ withNullPrototype: true, withDate: true, withBigInt: true }),
  fc.string({ unit: 'binary' }),
  fc.double(),
  fc.date({ noInvalidDate: false }),
);

/** Every field that a method takes, whose type a hostile value does not have. */
type Fields = Record<
  | ('id' | 'userId' | 'name' | 'newName' | 'email' | 'isAdmin' | 'status' | 'ifVersions' | 'expiresAt' | 'secret')
  | ('overlapSeconds' | 'amount' | 'transactionId' | 'transactionType' | 'startDate' | 'endDate')
  | ('limit' | 'offset' | 'after' | 'type' | 'keyId' | 'requestId' | 'unlessVersions'),
  never
>;
type Method = readonly [fields: () => Record<string, unknown>, call: (fields: Fields) => Promise<unknown>];

describe('The exported services', () => {
  const app = useTestApp();
  let ada: GivenUser;
  beforeEach(async () => {
    ada = await app.given.user();
  });

  const users = (): UsersService => app.nest.get(UsersService);
  const keys = (): ApiKeysService => app.nest.get(ApiKeysService);
  const credits = (): CreditsService => app.nest.get(CreditsService);

  const slice = { limit: 10, offset: 0, after: null };
  const newUser = () => ({ name: 'Bob', email: `${randomUUID()}@example.com`, isAdmin: false });
  const movement = (transactionType: string) => ({
    ...{ userId: ada.id, amount: 1, transactionId: randomUUID(), transactionType },
  });

  /**
   * Each method, with fields that it takes; the property puts a hostile value in the place of one.
   */
  const METHODS: Readonly<Record<string, Method>> = {
    'users.getById': [() => ({ id: ada.id }), ({ id }) => users().getById(id)],
    'users.findByEmail': [() => ({ email: ada.row.email }), ({ email }) => users().findByEmail(email)],
    'users.list': [
      () => ({ status: 'ACTIVE', email: ada.row.email, ...slice }),
      ({ status, email, ...of }) => users().list({ status, email }, of),
    ],
    'users.create': [newUser, (request) => users().create(request)],
    'users.createMissing': [
      newUser,
      (request) => users().createMissing([{ name: 'First', email: `${randomUUID()}@example.com` }, request]),
    ],
    'users.updateProfile': [
      () => ({ id: ada.id, name: 'New', ifVersions: ['1'] }),
      ({ id, name, ...options }) => users().updateProfile(id, { name }, options),
    ],
    'users.change': [
      () => ({ id: ada.id, name: 'New', status: 'INACTIVE', ifVersions: ['1'], unlessVersions: ['2'] }),
      ({ id, name, status, ...options }) => users().change(id, { name, status }, options),
    ],
    'users.change, for an actor': [
      () => ({ type: 'API_KEY', userId: ada.id, keyId: ada.id, requestId: 'a' }),
      (by) => users().change(ada.id, { name: 'New' }, { by }),
    ],
    'keys.create': [
      () => ({ userId: ada.id, name: randomUUID(), expiresAt: FUTURE, secret: generateApiKey() }),
      (request) => keys().create(request),
    ],
    'keys.create, for an actor': [
      () => ({ type: 'COMMAND_LINE', userId: null, keyId: null, requestId: null }),
      (by) => keys().create({ userId: ada.id, name: randomUUID(), expiresAt: FUTURE }, { by }),
    ],
    'keys.getByName': [
      () => ({ userId: ada.id, name: 'first-key' }),
      ({ userId, name }) => keys().getByName(userId, name),
    ],
    'keys.getById': [() => ({ userId: ada.id, id: ada.id }), ({ userId, id }) => keys().getById(userId, id)],
    'keys.list': [() => ({ userId: ada.id, ...slice }), ({ userId, ...of }) => keys().list(userId, of)],
    'keys.update': [
      () => ({ userId: ada.id, name: 'first-key', newName: 'other', expiresAt: FUTURE }),
      ({ userId, name, newName, expiresAt }) => keys().update(userId, name, { name: newName, expiresAt }),
    ],
    'keys.revoke': [() => ({ userId: ada.id, name: 'first-key' }), ({ userId, name }) => keys().revoke(userId, name)],
    'keys.revokeById': [() => ({ userId: ada.id, id: ada.id }), ({ userId, id }) => keys().revokeById(userId, id)],
    'keys.rotate': [
      () => ({ userId: ada.id, name: 'first-key', expiresAt: FUTURE, overlapSeconds: 1 }),
      ({ userId, name, ...rotation }) => keys().rotate(userId, name, rotation),
    ],
    'credits.add': [() => movement('STRIPE_CHECKOUT'), (request) => credits().add(request)],
    'credits.spend': [() => movement('FINE_TUNING_JOB'), (request) => credits().spend(request)],
    'credits.add, for an actor': [
      () => ({ type: 'APPLICATION', userId: null, keyId: null, requestId: 'a' }),
      (by) => credits().add({ userId: ada.id, amount: 1, transactionId: randomUUID() }, { by }),
    ],
    'credits.history': [
      () => ({ userId: ada.id, startDate: '2026-01-01', endDate: '2099-01-01', ...slice }),
      ({ userId, startDate, endDate, ...of }) => credits().history(userId, { startDate, endDate }, of),
    ],
  };

  const refusalOf = (work: () => Promise<unknown>): Promise<unknown> =>
    Promise.resolve()
      .then(work)
      .then(
        () => null,
        (error: unknown) => error,
      );

  /** How many rows there are, and those of Ada. */
  const stored = (): Promise<unknown> =>
    app.rows(
      `SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM api_keys), (SELECT count(*) FROM superseded_secrets),
              (SELECT count(*) FROM audit_events), (SELECT count(*) FROM credit_entries), users,
              (SELECT json_agg(k ORDER BY id) FROM api_keys k WHERE user_id = users.id)
         FROM users WHERE id = $1`,
      [ada.id],
    );

  it.each(Object.entries(METHODS))(
    'refuse what %s does not take, by a named error, and write nothing then',
    async (_, [fieldsOf, call]) => {
      await fc.assert(
        fc.asyncProperty(fc.constantFrom(...Object.keys(fieldsOf())), hostile, async (field, value) => {
          const before = await stored();

          const refusal = await refusalOf(() => call({ ...fieldsOf(), [field]: value } as Fields));

          if (refusal === null) {
            ada = await app.given.user(); // a value that the field takes
            return;
          }
          expect(refusal).toBeInstanceOf(DomainError);
          // 402 and 412 are for values that are right, and that a user without credits and of
          // version 1 does not meet.
          const kinds = ['invalid', 'not_found', 'payment_required', 'precondition_failed'];
          expect(kinds).toContain((refusal as DomainError).kind);
          expect(await stored()).toEqual(before);
        }),
        { numRuns: 80 },
      );
    },
  );

  it.each([WEEK_SECONDS + 1, 1e9, -1, 1.5, NaN, '60', null])(
    'refuse to rotate a key with an overlap of %p seconds, and its secret stays as it is',
    async (overlapSeconds) => {
      const rotation = { expiresAt: FUTURE, overlapSeconds: overlapSeconds as number };

      const refusal = await refusalOf(() => keys().rotate(ada.id, 'first-key', rotation));

      expect(refusal).toBeInstanceOf(InvalidOverlapError);
      expect((refusal as Error).message).toBe('overlap_seconds must be an integer from 0 to 604800');
      expect((await app.as(ada).get('/v1/users/me')).status).toBe(200);
    },
  );

  it('take each overlap from a week to none, and none that follows prolongs an earlier one', async () => {
    for (const overlapSeconds of [WEEK_SECONDS, 1, 0])
      await expect(keys().rotate(ada.id, 'first-key', { expiresAt: FUTURE, overlapSeconds })).resolves.toBeDefined();

    expect((await app.as(ada).get('/v1/users/me')).status).toBe(401);
  });

  it('refuse a secret that is that of another key', async () => {
    const request = { userId: ada.id, name: 'second', expiresAt: FUTURE, secret: ada.key };

    await expect(keys().create(request)).rejects.toThrow(ApiKeySecretTakenError);
  });

  // Such a key was created, but could neither authenticate nor be rotated.
  it('refuse a secret that a rotation has replaced', async () => {
    await keys().rotate(ada.id, 'first-key', { expiresAt: FUTURE, overlapSeconds: 0 });
    const request = { userId: ada.id, name: 'second', expiresAt: FUTURE, secret: ada.key };

    await expect(keys().create(request)).rejects.toThrow(ApiKeySecretTakenError);
    await expect(keys().getByName(ada.id, 'second')).rejects.toThrow(ApiKeyNotFoundError);
  });

  // In the queue it would wait for the creation ahead of it, which waits for the lock of this
  // transaction.
  it('make a key in the caller’s transaction without waiting for the changes that are queued', async () => {
    const key = (name: string) => ({ userId: ada.id, name, expiresAt: FUTURE });
    let queued: Promise<unknown> | undefined;

    const { key: second } = await app.nest.get(DataSource).transaction(async (manager) => {
      await keys().create(key('first'), { manager });
      queued = keys().create(key('queued'));
      return keys().create(key('second'), { manager });
    });

    expect(second.name).toBe('second');
    expect(await queued).toMatchObject({ key: { name: 'queued' } });
  });

  it('take an expiry up to the last instant of the year 9999, and none that RFC 3339 cannot write', async () => {
    const last = new Date('9999-12-31T23:59:59.999Z');

    const { key } = await keys().create({ userId: ada.id, name: 'last', expiresAt: last });
    const later = keys().create({ userId: ada.id, name: 'later', expiresAt: new Date(last.getTime() + 1) });

    expect(key.expiresAt).toEqual(last);
    await expect(later).rejects.toThrow('expires_at must be an instant, before the year 10000');
  });

  it.each(['a\0b', '\ud800', 'x'.repeat(129)])(
    'refuse the id of a request that the audit trail cannot hold, and write nothing: %j',
    async (requestId) => {
      const by = { type: 'APPLICATION', userId: null, keyId: null, requestId } as const;
      const before = await stored();

      const refusal = await refusalOf(() => users().change(ada.id, { name: 'New' }, { by }));

      expect(refusal).toBeInstanceOf(InvalidActorError);
      expect(await stored()).toEqual(before);
    },
  );

  it('refuse an address of more than 254 characters, as HTTP does', async () => {
    const admin = await app.given.user({ isAdmin: true });
    const domain = [60, 60, 60, 8].map((length) => 'b'.repeat(length)).join('.');
    const address = (length: number): string => `${'a'.repeat(length - domain.length - 5)}@${domain}.com`;

    const statuses: number[] = [];
    for (const length of [254, 255, 260])
      statuses.push(
        (
          await app
            .as(admin)
            .post('/v1/users')
            .send({ name: 'A', email: address(length) })
        ).status,
      );

    expect(statuses).toEqual([201, 400, 400]);
    await expect(users().create({ name: 'A', email: address(255) })).rejects.toThrow('email must be an e-mail address');
  });
});

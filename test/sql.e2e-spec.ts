import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DataSource } from 'typeorm';
import { ApiKeysService } from '../src/api-keys/api-keys.service.js';
import { KeyUsage } from '../src/api-keys/key-usage.service.js';
import { AuditArchive } from '../src/audit/audit-archive.js';
import { COMMAND_LINE } from '../src/audit-trail/actor.js';
import { CreditsService } from '../src/credits/credits.service.js';
import { OnboardingService } from '../src/onboarding/onboarding.service.js';
import { PersonalDataService } from '../src/personal-data/personal-data.service.js';
import { UserSearchTexts } from '../src/users/user-search-texts.service.js';
import { UsersService } from '../src/users/users.service.js';
import { useTestApp } from './support/app.js';
import { type Sent, statementsOf } from './support/explain.js';
import type { GivenUser } from './support/given.js';

const DIRECTORY = 'test/sql';
const REQUEST_ID = '0198c5a2-7b1e-7d21-a3f4-9d8e7c6b5a40';
const FUTURE = '2099-01-01T00:00:00.000Z';

/*
 * test/sql has the SQL that is really sent, for reviewers: one file for each operation of the
 * document, and for each operation of the services that no route has. UPDATE_SQL=true writes it
 * anew.
 */
describe('The SQL of', () => {
  const app = useTestApp();
  let admin: GivenUser;
  let ada: GivenUser;
  beforeEach(async () => {
    admin = await app.given.user({ isAdmin: true });
    ada = await app.given.user();
  });
  const credits = (): object => ({ user_id: ada.id, amount: 5, transaction_id: randomUUID() });
  let heldId: string;
  const key = (): object => ({ name: `key-${randomUUID()}`, expires_at: FUTURE });

  const ROUTES: Readonly<Record<string, () => PromiseLike<unknown>>> = {
    readyz: () => app.anyone().get('/readyz'),
    getMe: () => app.as(ada).get('/v1/users/me'),
    updateMe: () => app.as(ada).patch('/v1/users/me').send({ name: 'New' }),
    createApiKey: () => app.as(ada).post('/v1/api-keys').send(key()),
    listApiKeys: () => app.as(ada).get('/v1/api-keys'),
    getCurrentApiKey: () => app.as(ada).get('/v1/api-keys/current'),
    revokeCurrentApiKey: () => app.as(ada).delete('/v1/api-keys/current'),
    getApiKey: () => app.as(ada).get('/v1/api-keys/first-key'),
    updateApiKey: () => app.as(ada).patch('/v1/api-keys/first-key').send({ expires_at: FUTURE }),
    revokeApiKey: () => app.as(ada).delete('/v1/api-keys/first-key'),
    rotateApiKey: () => app.as(ada).post('/v1/api-keys/first-key/rotate').send({ expires_at: FUTURE }),
    listCreditHistory: async () => {
      await app.as(ada).get(`/v1/billing/credit-history?api_key_id=${ada.id}`);
      await app.as(ada).get('/v1/billing/credit-history?transaction_type=TEST&start_date=2026-01-01');
      await app.as(ada).get('/v1/billing/credit-history?transaction_id=one');
    },
    createUser: () =>
      app
        .as(admin)
        .post('/v1/users')
        .send({ name: 'New', email: `${randomUUID()}@example.com` }),
    listUsers: async () => {
      await app.as(admin).get('/v1/users?status=ACTIVE&page=2&items_per_page=1');
      await app.as(admin).get('/v1/users?is_admin=true&created_after=2026-01-01T00:00:00Z');
    },
    getUser: () => app.as(admin).get(`/v1/users/${ada.id}`),
    updateUser: () => app.as(admin).patch(`/v1/users/${ada.id}`).send({ status: 'INACTIVE' }),
    deactivateUser: () => app.as(admin).delete(`/v1/users/${ada.id}`),
    createApiKeyForUser: () => app.as(admin).post(`/v1/users/${ada.id}/api-keys`).send(key()),
    listApiKeysOfUser: () => app.as(admin).get(`/v1/users/${ada.id}/api-keys`),
    getApiKeyOfUser: () => app.as(admin).get(`/v1/users/${ada.id}/api-keys/first-key`),
    updateApiKeyOfUser: () =>
      app.as(admin).patch(`/v1/users/${ada.id}/api-keys/first-key`).send({ expires_at: FUTURE }),
    revokeApiKeyOfUser: () => app.as(admin).delete(`/v1/users/${ada.id}/api-keys/first-key`),
    rotateApiKeyOfUser: () =>
      app.as(admin).post(`/v1/users/${ada.id}/api-keys/first-key/rotate`).send({ expires_at: FUTURE }),
    revokeLeakedKeys: () =>
      app
        .as(admin)
        .post('/v1/leaked-keys')
        .send({ keys: [ada.key] }),
    verify: () =>
      app
        .as(admin)
        .post('/v1/verify')
        .send({ key: ada.key, charge: { amount: 1, transaction_id: randomUUID() } }),
    forwardAuth: () => app.as(ada).get('/v1/forward-auth?scope=jobs:write'),
    listAuditEvents: async () => {
      await app.as(admin).get('/v1/audit-events');
      await app.as(admin).get(`/v1/audit-events?actor_key_id=${ada.id}`);
      await app.as(admin).get(`/v1/audit-events?api_key_id=${ada.id}&end_date=2026-01-01`);
      await app.as(admin).get(`/v1/audit-events?request_id=${REQUEST_ID}&exclude_action=user.created`);
    },
    addCredits: () => app.as(admin).post('/v1/billing/credits-add').send(credits()),
    deductCredits: () =>
      app
        .as(admin)
        .post('/v1/billing/credits-deduct')
        .send({ ...credits(), amount: 1 }),
    getBalance: () => app.as(ada).get('/v1/billing/balance'),
    getBalanceOfUser: () => app.as(admin).get(`/v1/users/${ada.id}/balance`),
    createHold: () => app.as(admin).post('/v1/billing/holds').send(credits()),
    listHolds: () => app.as(admin).get(`/v1/billing/holds?user_id=${ada.id}&status=EXPIRED`),
    getHold: () => app.as(admin).get(`/v1/billing/holds/${heldId}`),
    captureHold: () => app.as(admin).post(`/v1/billing/holds/${heldId}/capture`).send({ amount: 1 }),
    voidHold: () => app.as(admin).delete(`/v1/billing/holds/${heldId}`),
  };

  const SERVICES: Readonly<Record<string, () => PromiseLike<unknown>>> = {
    'service-create-user-with-key': () =>
      app.nest.get(OnboardingService).createUserWithKey({ name: 'New', email: `${randomUUID()}@example.com` }),
    'service-import-users': () =>
      app.nest.get(UsersService).createMissing([{ name: 'New', email: `${randomUUID()}@example.com` }]),
    'service-record-import': () => app.nest.get(UsersService).recordImport(2),
    'service-replace-search-texts': () => app.nest.get(UserSearchTexts, { strict: false }).replace(),
    'service-search-users': () =>
      app.nest.get(UsersService).list({ search: 'ada' }, { limit: 20, offset: 0, after: null }),
    'service-find-user-by-email': () => app.nest.get(UsersService).findByEmail('ada@example.com'),
    'service-find-users-by-key': () =>
      app.nest.get(UsersService).list({ apiKeyPrefix: 'ua_00000' }, { limit: 20, offset: 0, after: null }),
    'service-record-key-usage': async () => {
      await app.as(ada).get('/v1/users/me');
      await app.nest.get(KeyUsage, { strict: false }).flush();
    },
    'service-count-expiring-keys': () => app.nest.get(ApiKeysService).countExpiring(),
    'service-reconcile-credits': () => app.nest.get(CreditsService).reconcile(),
    'service-release-expired-holds': () => app.nest.get(CreditsService).releaseExpiredHolds(),
    'service-spend-after-expired-holds': () =>
      app.nest.get(CreditsService).spend({ userId: ada.id, amount: 1, transactionId: randomUUID() }),
    'service-export-user': async () => {
      for await (const part of app.nest.get(PersonalDataService, { strict: false }).export(ada.id))
        expect(part).not.toBe('');
    },
    'service-erase-user': () => app.nest.get(PersonalDataService, { strict: false }).erase(ada.id, COMMAND_LINE),
    'service-archive-audit-events': async () => {
      const archive = app.nest.get(AuditArchive, { strict: false });
      const day = new Date('2000-01-01T00:00:00.000Z');
      await archive.exclusively(async () => {
        await archive.findOldest(day, { createdAt: day, id: ada.id });
        const events = { file: 'events.jsonl', before: day, count: 0, first: day, last: day, sha256: '' };
        const { id } = await archive.record(events, COMMAND_LINE);
        await archive.remove(id, []);
      });
    },
  };

  it('every operation of the document is here', async () => {
    const { paths } = (await app.anyone().get('/docs-json')).body as {
      paths: Record<string, Record<string, { operationId: string }>>;
    };
    const operations = Object.values(paths).flatMap((methods) =>
      Object.values(methods).map(({ operationId }) => operationId),
    );

    expect(operations.filter((id) => id !== 'livez').sort()).toEqual(Object.keys(ROUTES).sort());
  });

  it('no other file is there', async () => {
    const files = (await readdir(DIRECTORY)).map((file) => file.replace('.sql', ''));

    expect(files.sort()).toEqual([...Object.keys(ROUTES), ...Object.keys(SERVICES)].sort());
  });

  it.each(Object.entries({ ...ROUTES, ...SERVICES }))('%s is that of its file', async (name, work) => {
    await app.nest.get(CreditsService).add({ userId: ada.id, amount: 10, transactionId: randomUUID() });
    const held = { userId: ada.id, amount: 2, transactionId: randomUUID() };
    heldId = (await app.nest.get(CreditsService).hold(held)).hold.id;

    if (name.endsWith('-expired-holds'))
      await app.given.sql(
        `UPDATE credit_holds SET created_at = created_at - interval '1 day', expires_at = expires_at - interval '1 day' WHERE id = $1`,
        [heldId],
      );

    const sent = await statementsOf(app.nest.get(DataSource), async () => {
      await work();
    });

    const text = sent.map((statement) => describeStatement(statement, name)).join('\n');
    const file = join(DIRECTORY, `${name}.sql`);
    if (process.env.UPDATE_SQL === 'true') {
      await mkdir(DIRECTORY, { recursive: true });
      await writeFile(file, text);
    }
    expect(text).toBe(await readFile(file, 'utf8'));
  });
});

/** Statements that several operations send, and the file that writes each of them out. */
const WRITTEN_IN: Readonly<Record<string, string>> = { find_secrets: 'getMe', move_unlocked_credits: 'addCredits' };

function describeStatement({ name, text }: Sent, file: string): string {
  const head = name === undefined ? '' : `-- prepared: ${name}\n`;
  const written = WRITTEN_IN[name ?? ''] ?? file;
  return written === file ? `${head}${text};\n` : `-- prepared: ${String(name)}, see ${written}.sql\n`;
}

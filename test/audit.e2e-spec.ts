import { auditDiff } from '../src/audit-trail/with-audit.js';
import { DataSource } from 'typeorm';
import { COMMAND_LINE } from '../src/audit-trail/actor.js';
import { timeOrderedUuid } from '../src/common/time-ordered-uuid.js';
import { UsersService } from '../src/users/users.service.js';
import { useTestApp } from './support/app.js';
import { explain } from './support/explain.js';
import type { GivenUser } from './support/given.js';

const FUTURE = '2100-01-01T00:00:00.000Z';

interface AuditEvent {
  readonly action: string;
  readonly user_id: string;
  readonly request_id: string | null;
}

describe('The audit trail', () => {
  const app = useTestApp();
  const administrator = () => app.given.user({ isAdmin: true });
  const eventsOf = async (user: GivenUser, query = ''): Promise<AuditEvent[]> => {
    const admin = await administrator();
    const response = await app.as(admin).get(`/v1/audit-events?user_id=${user.id}&items_per_page=100${query}`);
    return (response.body as { data: AuditEvent[] }).data;
  };

  it('has one event for every change of a user or a key: who, what, before and after, when and by which request', async () => {
    const admin = await administrator();
    const ada = await app.given.user({ name: 'Ada' });
    const [adaKey, adminKey] = await Promise.all(
      [ada, admin].map(async (user) => ((await app.as(user).get('/v1/api-keys/current')).body as { id: string }).id),
    );
    const made = (
      await app.as(ada).post('/v1/api-keys').set('X-Request-Id', 'r2').send({ name: 'laptop', expires_at: FUTURE })
    ).body as { id: string; prefix: string };
    await app.as(ada).patch('/v1/users/me').set('X-Request-Id', 'r1').send({ name: 'Ada L.' });
    await app.as(ada).patch('/v1/api-keys/laptop').set('X-Request-Id', 'r3').send({ name: 'desktop' });
    const rotated = (
      await app
        .as(ada)
        .post('/v1/api-keys/desktop/rotate')
        .set('X-Request-Id', 'r4')
        .send({ expires_at: '2099-01-01T00:00:00Z' })
    ).body as { prefix: string };
    await app.as(ada).delete('/v1/api-keys/desktop').set('X-Request-Id', 'r5');
    await app.as(admin).patch(`/v1/users/${ada.id}`).set('X-Request-Id', 'r6').send({ status: 'INACTIVE' });

    const events = await eventsOf(ada);

    const common = {
      id: expect.any(String),
      created_at: expect.stringMatching(/Z$/),
      user_id: ada.id,
      actor_account: null,
    };
    const byAda = { ...common, actor: 'API_KEY', actor_user_id: ada.id, actor_key_id: adaKey };
    const byAdmin = { ...common, actor: 'API_KEY', actor_user_id: admin.id, actor_key_id: adminKey };
    const byTest = { ...common, actor: 'APPLICATION', actor_user_id: null, actor_key_id: null, request_id: null };
    const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as string;
    expect(events.reverse().sort((a, b) => ((a.request_id ?? '') < (b.request_id ?? '') ? -1 : 1))).toEqual([
      {
        ...byTest,
        action: 'user.created',
        api_key_id: null,
        changes: {
          name: { after: 'Ada' },
          email: { after: ada.row.email },
          status: { after: 'ACTIVE' },
          is_admin: { after: false },
          rate_limit_per_minute: { after: null },
        },
      },
      {
        ...byTest,
        action: 'api_key.created',
        api_key_id: adaKey,
        changes: {
          name: { after: 'first-key' },
          prefix: { after: ada.key.slice(0, 8) },
          expires_at: { after: time },
          scopes: { after: '*' },
          rate_limit_per_minute: { after: null },
        },
      },
      {
        ...byAda,
        request_id: 'r1',
        action: 'user.updated',
        api_key_id: null,
        changes: { name: { before: 'Ada', after: 'Ada L.' } },
      },
      {
        ...byAda,
        request_id: 'r2',
        action: 'api_key.created',
        api_key_id: made.id,
        changes: {
          name: { after: 'laptop' },
          prefix: { after: made.prefix },
          expires_at: { after: FUTURE },
          scopes: { after: '*' },
          rate_limit_per_minute: { after: null },
        },
      },
      {
        ...byAda,
        request_id: 'r3',
        action: 'api_key.updated',
        api_key_id: made.id,
        changes: { name: { before: 'laptop', after: 'desktop' } },
      },
      {
        ...byAda,
        request_id: 'r4',
        action: 'api_key.rotated',
        api_key_id: made.id,
        changes: {
          prefix: { before: made.prefix, after: rotated.prefix },
          expires_at: { before: FUTURE, after: '2099-01-01T00:00:00.000Z' },
          overlap_seconds: { after: 0 },
        },
      },
      {
        ...byAda,
        request_id: 'r5',
        action: 'api_key.revoked',
        api_key_id: made.id,
        changes: { revoked_at: { after: time } },
      },
      {
        ...byAdmin,
        request_id: 'r6',
        action: 'user.updated',
        api_key_id: null,
        changes: { status: { before: 'ACTIVE', after: 'INACTIVE' } },
      },
    ]);
  });

  it('has the instant of a change as the updated_at of the user, and so the changes of a user in their order', async () => {
    const ada = await app.given.user();
    await app.given.sql(`UPDATE users SET updated_at = '2100-01-01T00:00:00Z' WHERE id = $1`, [ada.id]);

    for (const name of ['First', 'Second']) await app.as(ada).patch('/v1/users/me').send({ name });

    expect(await eventsOf(ada, '&action=user.updated')).toMatchObject([
      { created_at: '2100-01-01T00:00:00.002Z', changes: { name: { after: 'Second' } } },
      { created_at: '2100-01-01T00:00:00.001Z', changes: { name: { after: 'First' } } },
    ]);
  });

  it('has the whole id of a request, of up to 128 characters', async () => {
    const ada = await app.given.user();
    const longest = 'x'.repeat(128);

    await app.as(ada).patch('/v1/users/me').set('x-request-id', longest).send({ name: 'New' });

    expect(await eventsOf(ada, '&action=user.updated')).toMatchObject([{ request_id: longest }]);
  });

  it('has no event for what changes nothing or is refused', async () => {
    const ada = await app.given.user({ name: 'Ada' });
    const before = await eventsOf(ada);

    await app.as(ada).patch('/v1/users/me').send({});
    await app.as(ada).patch('/v1/users/me').send({ name: ' Ada ' });
    await app.as(ada).patch('/v1/users/me').send({ name: '' });
    await app.as(ada).patch('/v1/users/me').set('If-Match', '"x"').send({ name: 'Eve' });
    await app.as(ada).patch('/v1/api-keys/first-key').send({});
    await app.as(ada).post('/v1/api-keys').send({ name: 'first-key', expires_at: FUTURE });

    expect(await eventsOf(ada)).toEqual(before);
  });

  it('has one event for a revocation that is repeated', async () => {
    const ada = await app.given.user();
    await app.as(ada).post('/v1/api-keys').send({ name: 'laptop', expires_at: FUTURE });

    await Promise.all(Array.from({ length: 5 }, () => app.as(ada).delete('/v1/api-keys/laptop')));

    expect(await eventsOf(ada, '&action=api_key.revoked')).toHaveLength(1);
  });

  it('tells each of many concurrent changes from the value that it really replaced', async () => {
    const ada = await app.given.user({ name: 'Name 0' });
    await Promise.all(
      Array.from({ length: 30 }, (_, turn) =>
        app
          .as(ada)
          .patch('/v1/users/me')
          .send({ name: `Name ${String(turn + 1)}` }),
      ),
    );

    const rows = (await app.rows(
      `SELECT changes->'name'->>'before' AS "before", changes->'name'->>'after' AS "after" FROM audit_events WHERE user_id = $1 AND action = 'user.updated'`,
      [ada.id],
    )) as {
      before: string;
      after: string;
    }[];

    const next = new Map(rows.map(({ before, after }) => [before, after]));
    let name = 'Name 0';
    for (let step = 0; step < 30; step += 1) name = next.get(name) ?? 'the chain is broken';
    expect(rows).toHaveLength(30);
    expect(name).toBe((await app.stored(ada)).name);
  });

  it('holds no secret, nor anything else that leads to one', async () => {
    const ada = await app.given.user();
    const { secret } = (await app.as(ada).post('/v1/api-keys').send({ name: 'laptop', expires_at: FUTURE })).body as {
      secret: string;
    };
    const { secret: second } = (
      await app.as(ada).post('/v1/api-keys/laptop/rotate').send({ expires_at: FUTURE, overlap_seconds: 60 })
    ).body as { secret: string };

    const dump = JSON.stringify(
      await Promise.all(
        ['users', 'api_keys', 'superseded_secrets', 'audit_events'].map((table) =>
          app.rows(`SELECT t::text FROM ${table} t`),
        ),
      ),
    );

    for (const one of [ada.key, secret, second]) expect(dump).not.toContain(one.slice(8, 20));
  });

  it.each(['UPDATE audit_events SET request_id = NULL', 'DELETE FROM audit_events', 'TRUNCATE audit_events'])(
    'is append-only: the database refuses %s',
    async (sql) => {
      await app.given.user();

      await expect(app.given.sql(sql)).rejects.toMatchObject({
        code: '23001',
        message: 'audit_events is append-only',
      });
    },
  );

  it('lists what one key did, to its owner and to others, and nothing that another key did', async () => {
    const admin = await administrator();
    const [ada, other] = [await app.given.user(), await app.given.user({ isAdmin: true })];
    const { id: keyId } = (await app.as(admin).get('/v1/api-keys/current')).body as { id: string };
    const name = (text: string) => ({ name: `Name ${text}` });
    await app.as(admin).patch('/v1/users/me').send(name('own'));
    await app.as(admin).patch(`/v1/users/${ada.id}`).send(name('other'));
    await app.as(admin).post('/v1/api-keys').send({ name: 'made', expires_at: FUTURE });
    await app.as(admin).post(`/v1/users/${ada.id}/api-keys`).send({ name: 'made', expires_at: FUTURE });
    await app.as(other).patch(`/v1/users/${admin.id}`).send(name('by another'));
    await app.as(other).patch('/v1/users/me').send(name('another'));
    const list = async (query: string) => {
      const { body } = await app.as(admin).get(`/v1/audit-events?actor_key_id=${keyId}${query}`).expect(200);
      return (body as { data: AuditEvent[] }).data.map(({ action, user_id }) => [action, user_id]);
    };
    const all = [
      ['api_key.created', ada.id],
      ['api_key.created', admin.id],
      ['user.updated', ada.id],
      ['user.updated', admin.id],
    ];

    expect(await list('')).toEqual(all);
    expect([...(await list('&items_per_page=2')), ...(await list('&items_per_page=2&page=2'))]).toEqual(all);
    expect(await list('&action=user.updated')).toEqual(all.slice(2));
    expect(await list(`&user_id=${ada.id}`)).toEqual([all[0], all[2]]);
    expect(await list(`&user_id=${admin.id}&action=user.updated`)).toEqual([all[3]]);
    expect((await app.as(admin).get('/v1/audit-events?actor_key_id=first-key')).body).toEqual({
      status: 400,
      message: 'actor_key_id must be a UUID',
    });
  });

  describe('filters', () => {
    let admin: GivenUser;
    let ada: GivenUser;
    let adminKey: string;
    let ids: readonly string[];
    const list = async (query: string): Promise<(readonly [string, string | null])[]> => {
      const { body } = await app.as(admin).get(`/v1/audit-events?items_per_page=100&${query}`).expect(200);
      return (body as { data: AuditEvent[] }).data.map(({ action, request_id }) => [action, request_id] as const);
    };
    beforeAll(async () => {
      admin = await administrator();
      ada = await app.given.user();
      adminKey = ((await app.as(admin).get('/v1/api-keys/current')).body as { id: string }).id;
      const own = await app.as(ada).patch('/v1/users/me').send({ name: 'Own change' });
      const other = await app.as(admin).patch(`/v1/users/${ada.id}`).send({ name: 'Changed by another' });
      const made = await app
        .as(admin)
        .post(`/v1/users/${ada.id}/api-keys`)
        .set('X-Request-Id', 'chosen-1')
        .send({ name: 'made', expires_at: FUTURE });
      await app.as(ada).patch('/v1/users/me').set('X-Request-Id', 'chosen-2').send({ name: 'Own again' });
      ids = [own, other].map(({ headers }) => (headers as Record<string, string>)['x-request-id'] ?? '');
      ids = [...ids, (made.body as { id: string }).id];
    });

    it('by the user who made a change, to itself and to others, with any key', async () => {
      const [own, other] = ids;

      expect(await list(`actor_user_id=${admin.id}`)).toEqual([
        ['api_key.created', 'chosen-1'],
        ['user.updated', other],
      ]);
      expect(await list(`actor_user_id=${ada.id}`)).toEqual([
        ['user.updated', 'chosen-2'],
        ['user.updated', own],
      ]);
      expect(await list(`actor_user_id=${admin.id}&actor_key_id=${adminKey}&user_id=${ada.id}`)).toHaveLength(2);
      expect(await list(`actor_user_id=${ada.id}&actor_key_id=${adminKey}`)).toEqual([]);
      expect(await list(`actor_user_id=${ada.id}&exclude_action=user.updated`)).toEqual([]);
      expect(await list(`actor_user_id=${admin.id}&action=user.updated`)).toEqual([['user.updated', other]]);
    });

    it('by the key that changed', async () => {
      const [, , made] = ids;

      expect(await list(`api_key_id=${made ?? ''}`)).toEqual([['api_key.created', 'chosen-1']]);
      expect(await list(`api_key_id=${made ?? ''}&action=api_key.revoked`)).toEqual([]);
      expect(await list(`api_key_id=${made ?? ''}&user_id=${admin.id}`)).toEqual([]);
    });

    it('by the id of the request, which has its time', async () => {
      const [own = '', other = ''] = ids;

      expect(own).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/); // version 7 of RFC 9562
      expect(await list(`request_id=${own}`)).toEqual([['user.updated', own]]);
      expect(await list(`request_id=${other}`)).toEqual([['user.updated', other]]);
      expect(await list(`request_id=${own}&exclude_action=user.updated`)).toEqual([]);
      expect(await list(`request_id=${timeOrderedUuid()}`)).toEqual([]);
    });

    it('by the id of a request whose clock was a minute before or behind that of the database', async () => {
      const time = Date.now() - 3_600_000; // so that none of these events is among the newest
      const made = async (difference: number): Promise<string> => {
        const id = timeOrderedUuid(time);
        await app.given.sql(
          `INSERT INTO audit_events (action, user_id, actor, actor_user_id, changes, request_id, created_at)
           VALUES ('user.updated', $1, 'API_KEY', $1, '{}', $2, $3)`,
          [ada.id, id, new Date(time + difference)],
        );
        return id;
      };

      for (const difference of [-60_000, 60_000]) {
        const id = await made(difference);
        expect(await list(`request_id=${id}`)).toEqual([['user.updated', id]]);
      }
      for (const difference of [-60_001, 60_001])
        expect(await list(`request_id=${await made(difference)}`)).toEqual([]);
    });

    it('by the id of a request of the application, which names no user as the actor', async () => {
      await app.given.sql(
        `INSERT INTO audit_events (action, user_id, actor, changes, request_id)
         VALUES ('user.updated', $1, 'APPLICATION', '{}', 'chosen-3')`,
        [ada.id],
      );

      expect(await list(`request_id=chosen-3&user_id=${ada.id}`)).toEqual([['user.updated', 'chosen-3']]);
    });

    it('by the id that a caller has chosen, with what tells where to look', async () => {
      const today = new Date().toISOString().slice(0, 10);
      const yesterday = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10);
      const key = ((await app.as(ada).get('/v1/api-keys/current')).body as { id: string }).id;
      const found = [['user.updated', 'chosen-2']];
      const [, , made = ''] = ids;

      expect(await list(`request_id=chosen-2&user_id=${ada.id}`)).toEqual(found);
      expect(await list(`request_id=chosen-2&actor_user_id=${ada.id}`)).toEqual(found);
      expect(await list(`request_id=chosen-2&actor_key_id=${key}`)).toEqual(found);
      expect(await list(`request_id=chosen-2&start_date=${yesterday}&end_date=${today}`)).toEqual(found);
      expect(await list('request_id=chosen-1&exclude_action=user.updated')).toEqual([['api_key.created', 'chosen-1']]);
      expect(await list('request_id=chosen-1&action=api_key.created')).toEqual([['api_key.created', 'chosen-1']]);
      expect(await list(`request_id=chosen-1&api_key_id=${made}`)).toEqual([['api_key.created', 'chosen-1']]);
      for (const query of ['', '&start_date=2020-01-01', '&start_date=2020-01-01&end_date=2020-01-03'])
        expect((await app.as(admin).get(`/v1/audit-events?request_id=chosen-2${query}`)).body).toEqual({
          status: 400,
          message: expect.stringMatching(
            /^request_id was chosen by the caller and does not tell its time: add user_id/,
          ),
        });
    });

    it('by inclusive UTC dates', async () => {
      const old = '90000000-0000-4000-8000-000000000000';
      await app.given.sql(
        `INSERT INTO audit_events (action, user_id, actor, changes, request_id, created_at)
         SELECT 'user.updated', $1, 'APPLICATION', '{}', instant, instant::timestamptz
           FROM unnest(ARRAY['2020-01-01T23:59:59.999Z', '2020-01-02T00:00:00Z', '2020-01-02T23:59:59.999Z', '2020-01-03T00:00:00Z']) AS instant`,
        [old],
      );
      const days = async (query: string) => (await list(`user_id=${old}&${query}`)).map(([, instant]) => instant);

      expect(await days('start_date=2020-01-02&end_date=2020-01-02')).toEqual([
        '2020-01-02T23:59:59.999Z',
        '2020-01-02T00:00:00Z',
      ]);
      expect(await days('end_date=2020-01-01')).toEqual(['2020-01-01T23:59:59.999Z']);
      expect(await days('start_date=2020-01-03')).toEqual(['2020-01-03T00:00:00Z']);
      expect(await list('start_date=2020-01-02&end_date=2020-01-02')).toHaveLength(2);
    });

    it.each([
      ['actor_user_id=1', 'actor_user_id must be a UUID'],
      ['actor_key_id=1', 'actor_key_id must be a UUID'],
      ['api_key_id=', 'api_key_id must be a UUID'],
      ['request_id=', 'request_id must have 1 to 128 characters'],
      ['request_id=a%00b', 'request_id must have 1 to 128 characters, and neither NUL nor lone surrogates'],
      [`request_id=${'x'.repeat(129)}`, 'request_id must have 1 to 128 characters'],
      ['exclude_action=user.deleted', expect.stringMatching(/^exclude_action must be one of user.created, /)],
      ['action=user.updated&exclude_action=user.updated', 'action and exclude_action must differ'],
      ['start_date=2026-02-30', expect.stringMatching(/^start_date must be a date/)],
      ['end_date=today', expect.stringMatching(/^start_date must be a date/)],
      ['start_date=2026-02-02&end_date=2026-02-01', expect.stringMatching(/^start_date must be a date/)],
    ])('400 for %s', async (query, message) => {
      expect((await app.as(admin).get(`/v1/audit-events?${query}`)).body).toEqual({ status: 400, message });
    });

    it.each([
      ['actor_user_id=90000000-0000-4000-8000-000000000001&action=api_key.created', 'ix_audit_events_actor_user_id'],
      ['api_key_id=90000000-0000-4000-8000-000000000001', 'ix_audit_events_api_key_id'],
      ['request_id=some&action=api_key.created', 'ix_audit_events_request_id'],
    ])('%s reads an index of its own', async (query, index) => {
      const plans = await explain(app.nest.get(DataSource), () => list(query).then(() => undefined));

      const lists = plans.filter(({ text }) => text.includes('OFFSET'));
      expect(new Set(lists.flatMap(({ indexes }) => indexes))).toEqual(new Set([index]));
    });

    it('leave out the users of an import, which is one event with their number', async () => {
      const users = app.nest.get(UsersService);
      const created = await users.createMissing([
        { name: 'One', email: 'one@imported.example' },
        { name: 'Two', email: 'two@imported.example' },
      ]);
      await users.recordImport(created.length, { by: { ...COMMAND_LINE, account: 'ada' } });

      const today = new Date().toISOString().slice(0, 10);
      const { body } = await app
        .as(admin)
        .get(`/v1/audit-events?exclude_action=user.created_by_import&end_date=${today}&items_per_page=1`);
      const each = await list('action=user.created_by_import');

      expect((body as { data: object[] }).data).toEqual([
        {
          id: expect.any(String),
          created_at: expect.any(String),
          action: 'users.imported',
          user_id: null,
          api_key_id: null,
          actor: 'COMMAND_LINE',
          actor_user_id: null,
          actor_key_id: null,
          request_id: null,
          actor_account: 'ada',
          changes: { users: { after: 2 } },
        },
      ]);
      expect(each).toHaveLength(2);
    });
  });

  it('400 refuses an action or a user_id that cannot be', async () => {
    const admin = await administrator();
    const get = (query: string) => app.as(admin).get(`/v1/audit-events?${query}`);

    expect((await get('user_id=1')).body).toEqual({ status: 400, message: 'user_id must be a UUID' });
    expect((await get('action=user.deleted')).body).toEqual({
      status: 400,
      message: expect.stringMatching(/^action must be one of user.created, /),
    });
  });
});

describe('A changed field that may be null', () => {
  const app = useTestApp();

  it.each([
    ['null', 'null', {}],
    [`'a'`, `'a'`, {}],
    ['null', `'a'`, { company: { before: null, after: 'a' } }],
    [`'a'`, 'null', { company: { before: 'a', after: null } }],
    [`'a'`, `'b'`, { company: { before: 'a', after: 'b' } }],
  ])('from %s to %s is recorded as %j', async (before, after, changes) => {
    const diff = auditDiff({ company: ['before', 'after'], plan: [`'same'`, `'same'`] });

    const rows = await app.rows(
      `SELECT ${diff.text} AS changes FROM (VALUES (${before}::text, ${after}::text)) AS change (before, after)`,
    );

    expect(rows).toEqual([{ changes }]);
  });
});

import { randomUUID } from 'node:crypto';
import { DataSource } from 'typeorm';
import { InvalidInstantError } from '../src/api-keys/api-keys.errors.js';
import { ApiKeysService } from '../src/api-keys/api-keys.service.js';
import { FIRST_KEY_NAME } from '../src/onboarding/onboarding.service.js';
import { useTestApp } from './support/app.js';
import { explain } from './support/explain.js';
import type { GivenUser } from './support/given.js';

interface List {
  readonly data: readonly { id: string; created_at: string; email?: string; status?: string }[];
  readonly pagination: { total_pages: number; current_page: number; items_per_page: number };
}

describe('Every list', () => {
  const app = useTestApp();
  let admin: GivenUser;

  beforeAll(async () => {
    admin = await app.given.user({ isAdmin: true });
    // Many of them in the same millisecond, so that the id has to break ties.
    await app.given.sql(
      `INSERT INTO users (name, email) SELECT 'U', 'bulk-' || n || '@example.com' FROM generate_series(1, 45) AS n`,
    );
    await app.given.sql(
      `INSERT INTO api_keys (user_id, name, expires_at, prefix, secret_digest)
       SELECT $1, 'bulk-' || n, '2100-01-01', 'ua_00000', sha256(n::text::bytea) FROM generate_series(1, 45) AS n`,
      [admin.id],
    );
    await app.given.sql(`UPDATE users SET status = 'INACTIVE' WHERE email ~ '^bulk-[1-9][05]?@'`); // a list is merged from those of each
    for (let turn = 0; turn < 45; turn += 1)
      await app
        .as(admin)
        .patch('/v1/users/me')
        .send({ name: `Turn ${String(turn)}` });
  });

  const get = async (path: string) => {
    const response = await app.as(admin).get(path);
    return { ...(response.body as List), status: response.status, link: response.headers.link };
  };
  const lists = ['/v1/users', '/v1/api-keys', '/v1/audit-events'];

  it.each(lists)('%s has 20 rows a page unless told otherwise, the newest first, ties broken by id', async (path) => {
    const { data, pagination } = await get(path);
    const all = await get(`${path}?items_per_page=100`);

    expect(data).toHaveLength(20);
    expect(pagination).toEqual({ total_pages: Math.ceil(all.data.length / 20), current_page: 1, items_per_page: 20 });
    const order = all.data.map(({ created_at, id }) => `${created_at} ${id}`);
    expect(order).toEqual([...order].sort().reverse());
    expect(all.link).toBeUndefined();
  });

  it.each(lists)('%s gives every row once over its pages, by number and by Link', async (path) => {
    const all = (await get(`${path}?items_per_page=100`)).data.map(({ id }) => id);

    const byNumber: string[] = [];
    for (let page = 1; page <= Math.ceil(all.length / 7); page += 1) {
      byNumber.push(...(await get(`${path}?items_per_page=7&page=${String(page)}`)).data.map(({ id }) => id));
    }
    const byLink: string[] = [];
    let next: string | undefined = `${path}?items_per_page=7`;
    for (let page = 1; next !== undefined; page += 1) {
      const { data, link, pagination }: Awaited<ReturnType<typeof get>> = await get(next);
      expect(pagination.current_page).toBe(page);
      byLink.push(...data.map(({ id }) => id));
      next = /^<(\/v1\/[^>]+)>; rel="next"$/.exec(link ?? '')?.[1];
    }

    expect(byNumber).toEqual(all);
    expect(byLink).toEqual(all);
  });

  it('may be kept by no cache that would give it to another caller', async () => {
    for (const path of [...lists, '/v1/api-keys/current', '/v1/billing/credit-history'])
      expect((await app.as(admin).get(path)).headers).toMatchObject({
        'cache-control': 'private, no-cache',
        vary: 'x-api-key',
      });
  });

  it('ends with a page that is exactly full, which links to no empty one', async () => {
    const all = (await get('/v1/users?items_per_page=100')).data;

    const page = await get(`/v1/users?items_per_page=${String(all.length)}`);

    expect(page.data).toHaveLength(all.length);
    expect(page.link).toBeUndefined();
  });

  it('neither repeats nor skips a surviving row while others are inserted', async () => {
    const before = (await get('/v1/users?items_per_page=100')).data.map(({ id }) => id);

    const walked: string[] = [];
    let next: string | undefined = '/v1/users?items_per_page=5';
    while (next !== undefined) {
      const { data, link }: Awaited<ReturnType<typeof get>> = await get(next);
      walked.push(...data.map(({ id }) => id));
      await Promise.all([app.given.user(), app.given.user(), app.given.user()]);
      next = /^<([^>]+)>/.exec(link ?? '')?.[1];
    }

    expect(new Set(walked).size).toBe(walked.length);
    expect(walked.filter((id) => before.includes(id))).toEqual(before);
  });

  describe('of more than 10,000 rows', () => {
    const busy = '80000000-0000-4000-8000-000000000000';
    beforeAll(async () => {
      // No action has as many; those of one user are older than all others.
      await app.given.sql(
        `INSERT INTO audit_events (action, user_id, actor, changes, created_at)
         SELECT CASE WHEN n > 12000 THEN 'user.' ELSE 'api_key.' END || CASE n % 2 WHEN 0 THEN 'updated' ELSE 'created' END,
                CASE WHEN n > 12000 THEN $1 ELSE gen_random_uuid() END,
                'APPLICATION', '{}', now() - n * interval '1 hour'
           FROM generate_series(1, 24000) AS n`,
        [busy],
      );
      await app.given.sql(
        `INSERT INTO audit_events (action, user_id, actor, changes, created_at)
         SELECT 'api_key.rotated', $1, 'APPLICATION', '{}', now() - n * interval '1 hour' FROM generate_series(24001, 36000) AS n`,
        [busy],
      );
      await app.given.sql(
        `INSERT INTO users (name, email, status) SELECT 'U', 'many-' || n || '@example.com',
                CASE n % 2 WHEN 0 THEN 'ACTIVE' ELSE 'INACTIVE' END FROM generate_series(1, 2000) AS n`,
      );
      await app.given.sql(`INSERT INTO users (id, name, email) VALUES ($1, 'Busy', 'busy@example.com')`, [busy]);
      await app.given.sql(
        `INSERT INTO credit_holds (created_at, user_id, amount, status, expires_at, settled_at, captured, transaction_id, transaction_type, actor)
         SELECT now() - n * interval '1 hour', $1, 1, CASE WHEN n > 23990 THEN 'VOIDED' ELSE 'CAPTURED' END, now(), now(),
                CASE WHEN n > 23990 THEN NULL ELSE 1 END, n, 'JOB', 'APPLICATION' FROM generate_series(1, 24000) AS n`,
        [busy],
      );
      await app.given.sql('ANALYZE audit_events, users, credit_holds');
    });

    it.each([
      ['', 360],
      [`&user_id=${busy}`, 240],
      [`&user_id=${busy}&action=api_key.rotated`, 120],
      ['&action=user.created', 60],
    ])('says about how many pages there are: %s', async (filter, pages) => {
      const { pagination } = await get(`/v1/audit-events?items_per_page=100${filter}`);

      expect(pagination.total_pages).toBeGreaterThan(0.95 * pages);
      expect(pagination.total_pages).toBeLessThan(1.075 * pages);
    });

    it('reads the 10,000 newest by the number of the page, and the others by Link', async () => {
      const last = await get('/v1/audit-events?page=101&items_per_page=100');
      const beyond = await get('/v1/audit-events?page=102&items_per_page=100');
      const next = await get(/^<([^>]+)>/.exec(last.link ?? '')?.[1] ?? '');

      expect([last.status, last.data.length]).toEqual([200, 100]);
      expect(beyond).toMatchObject({
        status: 400,
        message: 'page reaches the newest 10000 rows; follow the Link header to read on',
      });
      expect([next.status, next.data.length, next.pagination.current_page]).toEqual([200, 100, 102]);
      expect(next.data[0]?.created_at).toBe(
        (
          (await app.rows(
            'SELECT created_at FROM audit_events ORDER BY created_at DESC, id DESC OFFSET 10100 LIMIT 1',
          )) as [{ created_at: Date }]
        )[0].created_at.toISOString(),
      );
    });

    // Most of the events are of one user, who never did some things that others did: what the
    // planner cannot know.
    it.each([
      ['/v1/audit-events', 'ix_audit_events_action_newest'],
      [`/v1/audit-events?after=4102444800000_${busy}&page=2`, 'ix_audit_events_action_newest'],
      [`/v1/audit-events?user_id=${busy}`, 'ix_audit_events_user_id_action_created_at'],
      [
        `/v1/audit-events?user_id=${busy}&after=4102444800000_${busy}&page=2`,
        'ix_audit_events_user_id_action_created_at',
      ],
      ['/v1/audit-events?action=user.updated', 'ix_audit_events_action_newest'],
      [`/v1/audit-events?user_id=${busy}&action=api_key.created`, 'ix_audit_events_user_id_action_created_at'],
      ['/v1/users', 'ix_users_status_newest'],
      ['/v1/users?status=ACTIVE', 'ix_users_status_newest'],
      [`/v1/audit-events?actor_key_id=${busy}&action=api_key.created`, 'ix_audit_events_actor_key_id'],
      [`/v1/billing/holds?user_id=${busy}`, 'ix_credit_holds_newest'],
      [`/v1/billing/holds?user_id=${busy}&status=CAPTURED`, 'ix_credit_holds_ended'],
      [`/v1/billing/holds?user_id=${busy}&status=VOIDED`, 'ix_credit_holds_ended'],
    ])('%s reads no other rows than its own', async (path, index) => {
      const plans = await explain(app.nest.get(DataSource), async () => {
        expect((await get(path)).status).toBe(200);
      });

      const lists = plans.filter(({ text }) => text.includes('OFFSET'));
      expect(new Set(lists.flatMap(({ indexes }) => indexes))).toEqual(new Set([index]));
      expect(lists.flatMap(({ nodes }) => nodes).filter((node) => node.includes('Sort'))).toEqual([]);
    });
  });

  it('is empty beyond its last page', async () => {
    const { data, pagination, status } = await get('/v1/api-keys?page=1000000&items_per_page=100');

    expect([status, data, pagination]).toEqual([
      200,
      [],
      { total_pages: 1, current_page: 1000000, items_per_page: 100 },
    ]);
  });

  it.each([
    ['page=0', 'page must not be less than 1'],
    ['page=-1', 'page must not be less than 1'],
    ['page=1.5', 'page must be an integer number'],
    ['page=one', 'page must be an integer number'],
    ['page=', 'page must be an integer number'],
    ['page=1e3', 'page must be an integer number'],
    ['page=1&page=2', 'The query gives "page" twice'],
    ['page=1000001', 'page must not be greater than 1000000'],
    ['items_per_page=0', 'items_per_page must not be less than 1'],
    ['items_per_page=101', 'items_per_page must not be greater than 100'],
    ['items_per_page=%201', 'items_per_page must be an integer number'],
    ['after=nonsense', 'after must be a cursor from the Link header of the previous page'],
    ['after=1_1', 'after must be a cursor from the Link header of the previous page'],
    ['itemsPerPage=5', 'The property "itemsPerPage" is not known here'],
    ['__proto__=1', 'The property "__proto__" is not known here'],
  ])('400 refuses %s: %s', async (query, message) => {
    for (const path of lists) {
      const response = await app.as(admin).get(`${path}?${query}`);
      expect(response.body).toEqual({ status: 400, message });
    }
  });

  describe('/v1/api-keys?expires_before=', () => {
    const YEAR = '2100-01-01T00:00:00.000Z';
    const soon = (days: number): string => new Date(Date.now() + days * 86_400_000).toISOString();
    let ada: GivenUser;
    beforeAll(async () => {
      ada = await app.given.user(); // with a key for a year
      const keys = [
        ...Array.from({ length: 9 }, (_, n) => [`expiring-${String(n)}`, soon(n + 1), null]),
        ['late', soon(100), null],
        ['on-the-instant', YEAR, null],
        ['expired', soon(-1), null],
        ['revoked', soon(1), soon(-1)],
      ];
      for (const [name, expires, revoked] of keys)
        await app.given.sql(
          `INSERT INTO api_keys (user_id, name, prefix, secret_digest, created_at, expires_at, revoked_at)
           VALUES ($1, $2::text, 'ua_00000', sha256(('soon' || $2)::bytea), now() - interval '9 days', $3, $4)`,
          [ada.id, name, expires, revoked],
        );
      await app.given.sql(
        `INSERT INTO api_keys (user_id, name, prefix, secret_digest, expires_at)
         VALUES ($1, 'of-somebody-else', 'ua_00000', sha256('of-somebody-else'), now() + interval '1 day')`,
        [admin.id],
      );
    });
    const namesOf = async (path: string) => {
      const { body, headers, status } = await app.as(ada).get(path);
      const { data, pagination } = body as { data: { name: string }[]; pagination: object };
      return { names: data.map(({ name }) => name), pagination, link: headers.link, status };
    };

    it('lists the active keys that expire before the instant, and no others', async () => {
      const expiring = Array.from({ length: 9 }, (_, n) => `expiring-${String(n)}`);

      expect((await namesOf(`/v1/api-keys?expires_before=${soon(50)}`)).names.sort()).toEqual(expiring);
      expect((await namesOf(`/v1/api-keys?expires_before=${soon(4.5)}`)).names.sort()).toEqual(expiring.slice(0, 4));
      expect((await namesOf(`/v1/api-keys?expires_before=${soon(-0.5)}`)).names).toEqual([]);
      expect((await namesOf(`/v1/api-keys?expires_before=${YEAR}`)).names.sort()).toEqual([
        ...expiring,
        'first-key',
        'late',
      ]);
      expect((await namesOf('/v1/api-keys?expires_before=2100-01-01T01:00:00.001%2B01:00')).names).toContain(
        'on-the-instant',
      );
      expect((await namesOf('/v1/api-keys')).names).toHaveLength(14);
    });

    it('gives each of them once over its pages, the newest first, by number and by Link', async () => {
      const all = `/v1/api-keys?expires_before=${soon(50)}`;
      const { names } = await namesOf(all);

      const byNumber = [
        ...(await namesOf(`${all}&items_per_page=5&page=1`)).names,
        ...(await namesOf(`${all}&items_per_page=5&page=2`)).names,
      ];
      const byLink: string[] = [];
      let next: string | undefined = `${all}&items_per_page=4`;
      while (next !== undefined) {
        const { names: found, link, pagination }: Awaited<ReturnType<typeof namesOf>> = await namesOf(next);
        expect(pagination).toMatchObject({ total_pages: 3 });
        byLink.push(...found);
        next = /^<([^>]+)>/.exec(link ?? '')?.[1];
      }

      expect(byNumber).toEqual(names);
      expect(byLink).toEqual(names);
    });

    it('reads no keys but those of the user', async () => {
      const plans = await explain(app.nest.get(DataSource), async () => {
        expect((await namesOf(`/v1/api-keys?expires_before=${soon(50)}&items_per_page=2`)).names).toHaveLength(2);
      });

      const lists = plans.filter(({ text }) => text.includes('expires_at < $2'));
      expect(lists).toHaveLength(2); // the page and the total
      expect(new Set(lists.flatMap(({ indexes }) => indexes))).toEqual(new Set(['ix_api_keys_newest']));
      expect(lists.flatMap(({ nodes }) => nodes).filter((node) => node.includes('Sort'))).toEqual([]);
    });

    it.each(['', 'soon', '2030-01-01', '2030-02-30T00:00:00Z', '1767225600'])(
      '400 refuses what is no instant: %s',
      async (value) => {
        expect((await app.as(ada).get(`/v1/api-keys?expires_before=${value}`)).body).toEqual({
          status: 400,
          message: 'expires_before must be an instant in RFC 3339, such as 2030-01-01T00:00:00Z',
        });
      },
    );

    it.each([NaN, 8.64e15, -8.64e15])('cannot be asked of ApiKeysService with a Date of %p', async (time) => {
      const listing = app.nest
        .get(ApiKeysService)
        .list(ada.id, { limit: 1, offset: 0, after: null }, { expiresBefore: new Date(time) });

      await expect(listing).rejects.toThrow(InvalidInstantError);
    });
  });

  describe('/v1/users?api_key_prefix=', () => {
    const ownersOf = async (prefix: string, filter = ''): Promise<string[]> =>
      (await get(`/v1/users?api_key_prefix=${prefix}${filter}`)).data.map(({ id }) => id);
    const keys = (): ApiKeysService => app.nest.get(ApiKeysService);
    /** Many of them with the same first characters, which chance would not bring about. */
    const SHARED = 'ua_share';
    let owners: string[];
    beforeAll(async () => {
      await app.given.sql(
        `WITH made AS (INSERT INTO users (name, email, status, created_at)
                       SELECT 'U', 'share-' || n || '@example.com', CASE n % 3 WHEN 0 THEN 'INACTIVE' ELSE 'ACTIVE' END,
                              now() - n / 2 * interval '1 day'
                         FROM generate_series(1, 12) AS n RETURNING id)
         INSERT INTO api_keys (user_id, name, expires_at, prefix, secret_digest)
         SELECT id, name, '2100-01-01', $1, sha256((name || id)::bytea) FROM made, (VALUES ('one'), ('two')) AS k (name)`,
        [SHARED],
      );
      const rows = await app.rows(`SELECT id FROM users WHERE email LIKE 'share-%' ORDER BY created_at DESC, id DESC`);
      owners = (rows as { id: string }[]).map(({ id }) => id);
    });

    it('finds the owner of the first characters that a customer quotes, whatever became of the key', async () => {
      const [ada, bob, eve] = [await app.given.user(), await app.given.user(), await app.given.user()];
      await keys().revoke(bob.id, FIRST_KEY_NAME);
      await app.given.sql('UPDATE api_keys SET expires_at = now() WHERE user_id = $1', [eve.id]);
      await app.as(admin).delete(`/v1/users/${eve.id}`);

      for (const { id, key } of [ada, bob, eve]) expect(await ownersOf(key.slice(0, 8))).toEqual([id]);
    });

    it('finds a rotated key by its new characters, and nobody by those of the old secret', async () => {
      const ada = await app.given.user();
      const rotation = { expiresAt: new Date('2999-01-01'), overlapSeconds: 3600 };
      const { key } = await keys().rotate(ada.id, FIRST_KEY_NAME, rotation);

      expect(await ownersOf(key.prefix)).toEqual([ada.id]);
      expect(await ownersOf(ada.key.slice(0, 8))).toEqual([]);
    });

    it('finds nobody for characters of no key, also with another prefix', async () => {
      const { key } = await app.given.user();
      const visible = key.slice(0, 8);

      expect(await ownersOf('ua_zzzzz')).toEqual([]);
      expect(await ownersOf(visible.replace('ua_', 'ua_ua_'))).toEqual([]);
      expect(await ownersOf('acme_live_zzzzz')).toEqual([]);
    });

    it('lists each owner once over its pages, the newest first, by number and by Link, with other filters too', async () => {
      const all = `/v1/users?api_key_prefix=${SHARED}`;

      const byNumber = [
        ...(await get(`${all}&items_per_page=7`)).data,
        ...(await get(`${all}&items_per_page=7&page=2`)).data,
      ].map(({ id }) => id);
      const byLink: string[] = [];
      let next: string | undefined = `${all}&items_per_page=5`;
      while (next !== undefined) {
        const { data, link, pagination }: Awaited<ReturnType<typeof get>> = await get(next);
        expect(pagination).toMatchObject({ total_pages: 3 });
        byLink.push(...data.map(({ id }) => id));
        next = /^<([^>]+)>/.exec(link ?? '')?.[1];
      }

      expect(owners).toHaveLength(12);
      expect([byNumber, byLink]).toEqual([owners, owners]);
      expect(await ownersOf(SHARED, '&status=INACTIVE')).toHaveLength(4);
      expect(await ownersOf(SHARED, '&email=SHARE-7@example.com')).toHaveLength(1);
      expect(await ownersOf(SHARED, '&email=share-7@example.com&status=INACTIVE')).toEqual([]);
    });

    it('finds them by the index, and reads no other users', async () => {
      await app.given.sql('ANALYZE api_keys, users');

      const plans = await explain(app.nest.get(DataSource), async () => {
        expect(await ownersOf(SHARED, '&items_per_page=2')).toHaveLength(2);
      });

      const lists = plans.filter(({ text }) => text.includes('prefix = $'));
      expect(lists).toHaveLength(2); // the page and the total
      for (const { indexes } of lists) expect(new Set(indexes)).toEqual(new Set(['ix_api_keys_prefix', 'pk_users']));
    });

    it.each([
      '',
      'ua_',
      'ua_5GhT',
      'ua_5GhT2z',
      '5GhT2',
      'UA_5GhT2',
      'ua_5Gh%25',
      'a_b_c_5GhT2',
      '%20ua_5GhT2',
      'ua_5GhT2%00',
      'ua_5GhT2%0A',
    ])('400 refuses what no key begins with: %s', async (value) => {
      const { status, message } = (await get(`/v1/users?api_key_prefix=${value}`)) as unknown as Record<
        string,
        unknown
      >;

      expect([status, message]).toEqual([
        400,
        'api_key_prefix must be the first characters of a key: its prefix, up to the last _, and five more',
      ]);
    });

    it('400 refuses a whole key, and does not repeat it', async () => {
      const { key } = await app.given.user();

      const { status, text } = await app.as(admin).get(`/v1/users?api_key_prefix=${key}`);

      expect(status).toBe(400);
      expect(text).not.toContain(key.slice(8));
    });
  });

  it('/v1/users can be narrowed by status and by the whole address, without regard to its case', async () => {
    const email = `${randomUUID()}@Example.com`;
    const ada = await app.given.user({ email });
    await app.as(admin).delete(`/v1/users/${ada.id}`);

    expect((await get(`/v1/users?email=${email.toUpperCase()}`)).data.map(({ id }) => id)).toEqual([ada.id]);
    expect((await get(`/v1/users?email=${email}&status=ACTIVE`)).data).toEqual([]);
    expect(new Set((await get('/v1/users?status=INACTIVE')).data.map(({ status }) => status))).toEqual(
      new Set(['INACTIVE']),
    );
    expect((await get('/v1/users?status=GONE')).status).toBe(400);
    expect((await get('/v1/users?email=a%00b')).status).toBe(400);
  });
});

import { randomUUID } from 'node:crypto';
import { DataSource } from 'typeorm';
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
      `INSERT INTO api_keys (user_id, name, expires_at, prefix, digest)
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
      await app.given.sql('ANALYZE audit_events, users');
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

    // Most of the events are of one user, who never did some things that others did: what the planner cannot know.
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
    ['page=1&page=2', 'page must be an integer number'],
    ['page=1000001', 'page must not be greater than 1000000'],
    ['items_per_page=0', 'items_per_page must not be less than 1'],
    ['items_per_page=101', 'items_per_page must not be greater than 100'],
    ['items_per_page=%201', 'items_per_page must be an integer number'],
    ['after=nonsense', 'after must be what the Link header of the page before says'],
    ['after=1_1', 'after must be what the Link header of the page before says'],
    ['itemsPerPage=5', 'The property "itemsPerPage" is not known here'],
    ['__proto__=1', 'The property "__proto__" is not known here'],
  ])('400 refuses %s: %s', async (query, message) => {
    for (const path of lists) {
      const response = await app.as(admin).get(`${path}?${query}`);
      expect(response.body).toEqual({ status: 400, message });
    }
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

import fc from 'fast-check';
import { DataSource } from 'typeorm';
import { InvalidCreationPeriodError, InvalidSearchError, InvalidUserRoleError } from '../src/users/users.errors.js';
import { UserSearchTexts } from '../src/users/user-search-texts.service.js';
import { UsersService } from '../src/users/users.service.js';
import { useTestApp } from './support/app.js';
import { explain } from './support/explain.js';
import type { GivenUser } from './support/given.js';

interface List {
  readonly data: readonly { id: string; name: string; email: string }[];
  readonly pagination: { total_pages: number };
  readonly message?: string;
}

const INVALID = 'search must have 3 to 255 characters, and no control characters';

describe('GET /v1/users?search=', () => {
  const app = useTestApp();
  let admin: GivenUser;
  beforeAll(async () => {
    admin = await app.given.user({ name: 'The Administrator', email: 'root@example.com', isAdmin: true });
  });

  const get = async (query: Record<string, string>) => {
    const response = await app.as(admin).get(`/v1/users?${new URLSearchParams(query).toString()}`);
    const { link, 'total-pages-estimated': estimated } = response.headers as Record<string, string | undefined>;
    return { ...(response.body as List), status: response.status, link, estimated };
  };
  const emails = async (query: Record<string, string>): Promise<string[]> =>
    (await get({ items_per_page: '100', ...query })).data.map(({ email }) => email);
  const insert = (users: readonly (readonly [name: string, email: string])[]): Promise<void> =>
    app.given.sql(`INSERT INTO users (name, email) SELECT * FROM unnest($1::text[], $2::text[])`, [
      users.map(([name]) => name),
      users.map(([, email]) => email),
    ]);
  /** The pages from a first one on, by Link. */
  const follow = async (query: Record<string, string>): Promise<string[]> => {
    const found: string[] = [];
    let next: string | undefined = `/v1/users?${new URLSearchParams(query).toString()}`;
    while (next !== undefined) {
      const { body, headers }: { body: List; headers: Record<string, string> } = await app.as(admin).get(next);
      found.push(...body.data.map(({ email }) => email));
      next = /^<([^>]+)>/.exec(headers.link ?? '')?.[1];
    }
    return found;
  };

  it('finds users by a part of the name or of the address, without regard to case, the newest first', async () => {
    await insert([['Ada Lovelace', 'countess@part.example']]);
    await insert([['Grace Hopper', 'LOVELACE.fan@part.example']]);
    await insert([['Somebody Else', 'else@part.example']]);

    expect(await emails({ search: 'lovelace' })).toEqual(['LOVELACE.fan@part.example', 'countess@part.example']);
    expect(await emails({ search: 'A LOVE' })).toEqual(['countess@part.example']);
    expect(await emails({ search: 'ess@PART' })).toEqual(['countess@part.example']);
    expect(await emails({ search: 'lovelacecountess' })).toEqual([]); // the name and the address are two texts
    expect(await get({ search: 'nobody has this' })).toMatchObject({
      data: [],
      pagination: { total_pages: 0 },
      estimated: undefined,
      link: undefined,
    });
  });

  it.each([
    ['100%', '100% Wool', ['1000 Wool', '100x Wool']],
    ['a_b', 'Team a_b Paris', ['Team axb Paris', 'Team ab Paris']],
    ['c\\d', 'Path c\\d Two', ['Path cd Two', 'Path c\\\\d Two']],
    ['%%%', 'All %%% Signs', ['All Signs']],
    ["o'b", "Miles O'Brien", ['Miles OBrien']],
  ])('takes %s as it is', async (search, name, others) => {
    const address = (index: number): string =>
      `exact-${String(index)}-${Buffer.from(search).toString('hex')}@example.com`;
    await insert([name, ...others].map((one, index) => [one, address(index)]));

    expect(await emails({ search })).toEqual([address(0)]);
  });

  // Letters that have one other case in every edition of Unicode.
  const CASED = fc.constantFrom(...'abcxyzäöüçñéøåþđğšžαβγδωжшщюяїґԱօა'.normalize('NFC'));
  const OTHERS = fc.constantFrom(...'0189%_\\\'"-. 日本語한글עברית😀𝒜‖½');
  const NAME = fc
    .array(fc.oneof({ weight: 3, arbitrary: CASED }, OTHERS), { minLength: 3, maxLength: 30 })
    .map((characters) => `x${characters.join('')}x`.normalize('NFC'));

  it('finds each name by each part of it, in the case of the name and in the other', async () => {
    let count = 0;
    await fc.assert(
      fc.asyncProperty(NAME, fc.nat(), fc.nat(), fc.boolean(), async (name, from, length, upper) => {
        const address = `property-${String((count += 1))}@property.example`;
        await insert([[name, address]]);
        const characters = Array.from(name);
        const start = from % (characters.length - 2);
        const part = characters.slice(start, start + 3 + (length % (characters.length - start - 2))).join('');
        // Only where it is the same text in the other case: not every character has one.
        const search = upper && part.toUpperCase().toLowerCase() === part ? part.toUpperCase() : part;

        expect(await emails({ search, email: address })).toEqual([address]);
      }),
      { numRuns: 150 },
    );
  });

  it('finds exactly the names that contain the text', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(NAME, { minLength: 5, maxLength: 5 }), NAME, async (names, other) => {
        const domain = `${Math.random().toString(36).slice(2)}.example`;
        await insert([...names, other].map((name, index) => [name, `${String(index)}@${domain}`]));
        const search = Array.from(other).slice(0, 4).join('');

        const expected = [...names, other].filter((name) => name.toLowerCase().includes(search.toLowerCase())).length;

        const found = await app.rows(`SELECT FROM users WHERE email LIKE '%@' || $1`, [domain]);
        expect(found).toHaveLength(6);
        expect((await emails({ search })).filter((email) => email.endsWith(domain))).toHaveLength(expected);
      }),
      { numRuns: 30 },
    );
  });

  it('finds a capital sigma and both small ones by each other', async () => {
    await insert([['Οδυσσεύς ΟΔΟΣ', 'sigma@example.com']]);

    for (const search of ['ΟΔΥΣΣΕΎΣ', 'οδυσσεύς', 'οδυσσεύσ', 'οδος', 'οδοσ'])
      expect(await emails({ search })).toEqual(['sigma@example.com']);
  });

  // ICU makes two characters of this capital I, and PostgreSQL 17 one.
  it('finds a capital I with a dot by a small i', async () => {
    await insert([['İbrahim DİKİCİ', 'dotted@example.com']]);

    for (const search of ['ibrahim', 'İBRAHİM', 'dikici', 'dİkİcİ', 'him d'])
      expect(await emails({ search })).toEqual(['dotted@example.com']);
  });

  it('finds a composed letter by a decomposed one, whose length counts in NFC', async () => {
    await insert([['Zoë Élan', 'zoe@example.com']]);

    expect(await emails({ search: 'Zoë É'.normalize('NFD') })).toEqual(['zoe@example.com']);
    expect(await get({ search: 'oë'.normalize('NFD') })).toMatchObject({ status: 400, message: INVALID });
  });

  it.each([
    ['ab', '400'],
    ['', '400'],
    ['😀😀', '400'],
    ['ab\n', '400'],
    ['abc\0', '400'],
    ['abc\u0085', '400'],
    ['x'.repeat(256), '400'],
    ['abc', '200'],
    ['   ', '200'],
    ['😀😀😀', '200'],
    ['x'.repeat(255), '200'],
  ])('takes three to 255 characters: %j', async (search, status) => {
    expect(await get({ search })).toMatchObject(status === '400' ? { status: 400, message: INVALID } : { status: 200 });
  });

  it('combines with every other filter', async () => {
    const ada = await app.given.user({ name: 'Combined Ada', email: 'c1@combined.example' });
    const bob = await app.given.user({ name: 'Combined Bob', email: 'c2@combined.example', isAdmin: true });
    await app.as(admin).delete(`/v1/users/${ada.id}`);
    const search = 'combined';

    expect(await emails({ search })).toEqual(['c2@combined.example', 'c1@combined.example']);
    expect(await emails({ search, status: 'INACTIVE' })).toEqual(['c1@combined.example']);
    expect(await emails({ search, is_admin: 'true' })).toEqual(['c2@combined.example']);
    expect(await emails({ search, is_admin: 'false' })).toEqual(['c1@combined.example']);
    expect(await emails({ search, is_admin: 'true', status: 'INACTIVE' })).toEqual([]);
    expect(await emails({ search, email: 'C1@combined.example' })).toEqual(['c1@combined.example']);
    expect(await emails({ search, api_key_prefix: bob.key.slice(0, 8) })).toEqual(['c2@combined.example']);
    expect(await emails({ search, created_before: ada.row.createdAt.toISOString() })).toEqual([]);
  });

  it('gives each of many matches once over its pages, by number and by Link, with an exact total', async () => {
    await insert(Array.from({ length: 23 }, (_, n) => [`Paged User ${String(n)}`, `paged-${String(n)}@example.com`]));
    const all = await emails({ search: 'paged' });

    const byNumber = [
      ...(await emails({ search: 'paged', items_per_page: '20' })),
      ...(await emails({ search: 'paged', items_per_page: '20', page: '2' })),
    ];
    const { pagination, estimated } = await get({ search: 'paged', items_per_page: '5', page: '9' });

    expect(all).toHaveLength(23);
    expect(byNumber).toEqual(all);
    expect(await follow({ search: 'paged', items_per_page: '5' })).toEqual(all);
    expect([pagination.total_pages, estimated]).toEqual([5, undefined]);
  });

  it('400 without its index, with the way to make it', async () => {
    await app.given.sql('ALTER INDEX ix_user_search_texts_text RENAME TO elsewhere');
    try {
      expect(await get({ search: 'lovelace' })).toMatchObject({
        status: 400,
        message: expect.stringMatching(/^search needs an index .* CREATE EXTENSION pg_trgm; CREATE INDEX CONCURRENTLY/),
      });
      expect(await get({ status: 'ACTIVE' })).toMatchObject({ status: 200 });
    } finally {
      await app.given.sql('ALTER INDEX elsewhere RENAME TO ix_user_search_texts_text');
    }
  });

  it('cannot be asked of UsersService with what no caller could send', async () => {
    const users = app.nest.get(UsersService);
    const window = { limit: 1, offset: 0, after: null };

    await expect(users.list({ search: 'abc\ud800' }, window)).rejects.toThrow(InvalidSearchError);
    await expect(users.list({ search: 7 as never }, window)).rejects.toThrow(InvalidSearchError);
    await expect(users.list({ createdAfter: new Date(NaN) }, window)).rejects.toThrow(InvalidCreationPeriodError);
    await expect(users.list({ createdBefore: '2026' as never }, window)).rejects.toThrow(InvalidCreationPeriodError);
    await expect(users.list({ isAdmin: 'yes' as never }, window)).rejects.toThrow(InvalidUserRoleError);
  });

  describe('after a change of a name', () => {
    const texts = (): UserSearchTexts => app.nest.get(UserSearchTexts, { strict: false });
    const renamed = () => app.rows('SELECT user_id FROM renamed_users');
    const timesNoted = async ({ id }: GivenUser): Promise<number> =>
      (await app.rows('SELECT FROM renamed_users WHERE user_id = $1', [id])).length;
    const textOf = async (user: GivenUser): Promise<unknown> =>
      (await app.rows('SELECT version, text FROM user_search_texts WHERE user_id = $1', [user.id]))[0];

    it('finds the user by the new name at once, and no longer by the old one', async () => {
      const ada = await app.given.user({ name: 'Before Rename', email: 'renamed@example.com' });
      await texts().replace(); // of all earlier changes
      await app.as(ada).patch('/v1/users/me').send({ name: 'After Change' });

      for (const replaced of [false, true]) {
        if (replaced) await texts().replace();
        expect(await emails({ search: 'after change' })).toEqual(['renamed@example.com']);
        expect(await emails({ search: 'before rename' })).toEqual([]);
        expect(await emails({ search: 'renamed@' })).toEqual(['renamed@example.com']);
      }
      expect(await textOf(ada)).toEqual({ version: '2', text: 'after change\nrenamed@example.com' });
      expect(await renamed()).toEqual([]);
    });

    it('replaces the texts of thousands, in steps', async () => {
      await insert(Array.from({ length: 2_500 }, (_, n) => [`Step ${String(n)}`, `step-${String(n)}@example.com`]));
      await app.given.sql(`UPDATE users SET name = 'Stepped' WHERE email LIKE 'step-%'`);

      await texts().replace();

      expect(await renamed()).toEqual([]);
      const [{ left }] = (await app.rows(
        `SELECT count(*)::int AS left FROM user_search_texts WHERE text LIKE 'step %'`,
      )) as [{ left: number }];
      expect(left).toBe(0);
    });

    // A command, another instance or a change by hand.
    it('replaces in the next run what another process has noted, and what a run has failed to replace', async () => {
      const ada = await app.given.user({ name: 'Noted Twice' });
      const rename = (name: string): Promise<void> =>
        app.given.sql('UPDATE users SET name = $2 WHERE id = $1', [ada.id, name]);

      await texts().replace();
      await rename('After The Run');
      await texts().replace();
      expect(await textOf(ada)).toMatchObject({ text: `after the run\n${ada.row.email}` });

      await rename('After The Failure');
      await app.given.sql('ALTER TABLE renamed_users RENAME TO elsewhere');
      await texts().replace();
      await app.given.sql('ALTER TABLE elsewhere RENAME TO renamed_users');
      await texts().replace();
      expect(await textOf(ada)).toMatchObject({ text: `after the failure\n${ada.row.email}` });
    });

    it('keeps the text of a newer version', async () => {
      const ada = await app.given.user({ name: 'Version One' });
      await app.given.sql(`UPDATE user_search_texts SET version = 7, text = 'newer' WHERE user_id = $1`, [ada.id]);
      await app.given.sql('INSERT INTO renamed_users VALUES ($1), ($1)', [ada.id]);

      await texts().replace();

      expect(await textOf(ada)).toEqual({ version: '7', text: 'newer' });
    });

    it('notes a change of the name or the address by hand, and of nothing else', async () => {
      const ada = await app.given.user({ name: 'Noted' });
      const change = (columns: string) => app.given.sql(`UPDATE users SET ${columns} WHERE id = $1`, [ada.id]);

      await change(`credits_balance = 7, status = 'INACTIVE', name = name`);
      expect(await timesNoted(ada)).toBe(0);
      await change(`email = 'noted@example.com'`);
      expect(await timesNoted(ada)).toBe(1);
    });

    it.each([
      ['name', '/v1/users/me', { name: 'Renamed' }],
      ['name by an administrator', '/v1/users/:id', { name: 'Renamed' }],
      ['address', '/v1/users/:id', { email: 'readdressed@example.com' }],
      ['name and role', '/v1/users/:id', { name: 'Renamed', is_admin: true }],
    ])('notes a change of the %s through the API once', async (_, path, body) => {
      const admin = await app.given.user({ isAdmin: true });
      const ada = await app.given.user({ name: 'Noted' });
      const change = () =>
        app
          .as(path === '/v1/users/me' ? ada : admin)
          .patch(path.replace(':id', ada.id))
          .send(body)
          .expect(200);

      await change();
      await change(); // which changes nothing

      expect(await timesNoted(ada)).toBe(1);
    });

    it('notes no change of anything else through the API', async () => {
      const admin = await app.given.user({ isAdmin: true });
      const ada = await app.given.user({ name: 'Noted' });

      for (const body of [{ status: 'INACTIVE' }, { is_admin: true }, { rate_limit_per_minute: 7 }, { name: 'Noted' }])
        await app.as(admin).patch(`/v1/users/${ada.id}`).send(body).expect(200);

      expect(await timesNoted(ada)).toBe(0);
    });
  });

  describe('among many users', () => {
    const COMMON = 25_000;
    const OTHERS_SINCE = 51_000;
    beforeAll(async () => {
      // The newest users match neither word; the word of the older ones is frequent.
      await app.given.sql(
        `INSERT INTO users (name, email, created_at)
         SELECT 'Gemeinsam ' || n, 'old-' || n || '@many.example', '2020-01-01'::timestamptz + n * interval '1 s'
           FROM generate_series(1, ${String(COMMON)}) AS n
         UNION ALL
         SELECT 'Someone ' || n, 'new-' || n || '@many.example', '2021-01-01'::timestamptz + n * interval '1 s'
           FROM generate_series(1, ${String(OTHERS_SINCE)}) AS n`,
      );
      await app.given.sql('ANALYZE users, user_search_texts');
    }, 240_000);

    it('finds a rare word by the index, and reads no other users', async () => {
      const plans = await explain(app.nest.get(DataSource), async () => {
        expect(await emails({ search: 'new-50999@' })).toEqual(['new-50999@many.example']);
      });

      const [search] = plans.filter(({ text }) => text.includes('matching'));
      expect(new Set(search?.indexes)).toEqual(new Set(['ix_user_search_texts_text', 'pk_users']));
    });

    it('finds a frequent word in the list of the newest, and sorts no matches; its total is an estimate', async () => {
      let page = await get({ search: 'someone' });
      const plans = await explain(app.nest.get(DataSource), async () => {
        page = await get({ search: 'someone' });
      });

      expect(page.data).toHaveLength(20);
      expect(page.data[0]?.email).toBe(`new-${String(OTHERS_SINCE)}@many.example`);
      expect(page.estimated).toBe('true');
      expect(page.pagination.total_pages).toBeGreaterThan(0.8 * (OTHERS_SINCE / 20));
      expect(page.pagination.total_pages).toBeLessThan(1.2 * (OTHERS_SINCE / 20));
      const scans = plans.filter(({ text }) => text.includes('scanned'));
      expect(new Set(scans.flatMap(({ indexes }) => indexes))).toEqual(new Set(['ix_users_status_newest']));
    });

    it('ends a page early where the newest users do not match, and leads on by Link', async () => {
      const first = await get({ search: 'gemeinsam', items_per_page: '100' });
      const beyond = await get({ search: 'gemeinsam', items_per_page: '100', page: '2' });

      expect([first.status, first.data, first.estimated]).toEqual([200, [], 'true']);
      expect(first.link).toMatch(/rel="next"$/);
      expect(beyond).toMatchObject({
        status: 400,
        message: expect.stringMatching(/follow the Link header to read on$/),
      });
      const next = /^<([^>]+)>/.exec(first.link ?? '')?.[1] ?? '';
      const second = (await app.as(admin).get(next)).body as List;
      expect(second.data).toHaveLength(100);
      expect(second.data[0]?.email).toBe(`old-${String(COMMON)}@many.example`);
    });

    it('has a next page as long as another user matches, also where the users end', async () => {
      const users = app.nest.get(UsersService);
      const [after] = (await app.rows(
        `SELECT created_at AS "createdAt", id FROM users WHERE name LIKE 'Gemeinsam %' ORDER BY created_at, id OFFSET 150 LIMIT 1`,
      )) as [{ createdAt: Date; id: string }];
      const lengthOf = async (limit: number): Promise<unknown> => {
        const { rows, more, resumeAfter } = await users.list({ search: 'gemeinsam' }, { limit, offset: 0, after });
        return [rows.length, more, resumeAfter];
      };

      expect(await lengthOf(149)).toEqual([149, true, undefined]);
      expect(await lengthOf(150)).toEqual([150, false, undefined]);
      expect(await lengthOf(151)).toEqual([150, false, undefined]);
    });

    it('estimates no more matches than its other filters leave', async () => {
      const { pagination, estimated } = await get({ search: 'many.example', created_before: '2020-12-31T00:00:00Z' });

      expect(estimated).toBe('true');
      expect(pagination.total_pages).toBeGreaterThan(0.8 * (COMMON / 20));
      expect(pagination.total_pages).toBeLessThan(1.2 * (COMMON / 20));
    });

    it('finds a renamed user by the index only where the new name matches', async () => {
      await app.given.sql(`UPDATE users SET name = 'Umbenannt' WHERE email = 'new-7@many.example'`);

      expect(await emails({ search: 'new-50998@' })).toEqual(['new-50998@many.example']);
      expect(await emails({ search: 'umbenannt' })).toEqual(['new-7@many.example']);
    });

    it('gives each match once by Link', async () => {
      const query = { search: 'gemeinsam 24', items_per_page: '100' };
      const expected = (await app.rows(
        `SELECT email FROM users WHERE name LIKE 'Gemeinsam 24%' ORDER BY created_at DESC, id DESC`,
      )) as { email: string }[];

      expect(await follow(query)).toEqual(expected.map(({ email }) => email));
    });

    it('reads only the period that another filter names', async () => {
      const query = {
        search: 'example',
        created_after: '2020-01-01T00:00:00Z',
        created_before: '2020-01-01T00:00:11Z',
      };

      expect(await emails(query)).toEqual(Array.from({ length: 10 }, (_, n) => `old-${String(10 - n)}@many.example`));
    });
  });
});

describe('GET /v1/users', () => {
  const app = useTestApp();
  let admin: GivenUser;
  beforeAll(async () => {
    admin = await app.given.user({ isAdmin: true });
    await app.given.sql(
      `INSERT INTO users (name, email, is_admin, created_at)
       SELECT 'U', 'at-' || n || '@example.com', n = 3, '2020-01-01'::timestamptz + n * interval '1 ms'
         FROM generate_series(1, 5) AS n`,
    );
  });
  const list = async (query: string): Promise<(string | undefined)[]> => {
    const { body } = (await app.as(admin).get(`/v1/users?${query}`)) as { body: List };
    return body.data.map(({ email }) => /^at-\d/.exec(email)?.[0]);
  };

  it('lists users from one instant on, and before another', async () => {
    const at = (millisecond: number): string => `2020-01-01T00:00:00.00${String(millisecond)}Z`;

    expect(await list(`created_after=${at(4)}&created_before=2021-01-01T00:00:00Z`)).toEqual(['at-5', 'at-4']);
    expect(await list(`created_before=${at(3)}`)).toEqual(['at-2', 'at-1']);
    expect(await list(`created_after=${at(2)}&created_before=${at(3)}&status=ACTIVE`)).toEqual(['at-2']);
    expect(await list(`created_after=2020-01-01T01:00:00.004%2B01:00&created_before=2020-01-02T00:00:00Z`)).toEqual([
      'at-5',
      'at-4',
    ]);
    expect(await list('created_after=2999-01-01T00:00:00Z')).toEqual([]);
  });

  it('lists administrators, or all others', async () => {
    const before = 'created_before=2021-01-01T00:00:00Z';

    expect(await list(`is_admin=true&${before}`)).toEqual(['at-3']);
    expect(await list(`is_admin=true&status=INACTIVE&${before}`)).toEqual([]);
    expect(await list(`is_admin=false&${before}`)).toEqual(['at-5', 'at-4', 'at-2', 'at-1']);
    const plans = await explain(app.nest.get(DataSource), () => list('is_admin=true').then(() => undefined));
    expect(plans.flatMap(({ indexes }) => indexes)).toContain('ix_users_administrators');
  });

  it.each([
    ['is_admin=yes', 'is_admin must be true or false'],
    ['is_admin=', 'is_admin must be true or false'],
    ['is_admin=TRUE', 'is_admin must be true or false'],
    ['created_after=2026-01-31', 'created_after must be an instant in RFC 3339, such as 2030-01-01T00:00:00Z'],
    ['created_before=soon', 'created_before must be an instant in RFC 3339, such as 2030-01-01T00:00:00Z'],
    [
      'created_after=2026-01-31T00:00:00Z&created_before=2026-01-31T00:00:00Z',
      'created_after and created_before must be instants, and created_before must be the later one',
    ],
  ])('400 refuses %s: %s', async (query, message) => {
    const { status, body } = await app.as(admin).get(`/v1/users?${query}`);

    expect([status, body]).toEqual([400, { status: 400, message }]);
  });
});

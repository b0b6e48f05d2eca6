import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { Client } from 'pg';
import { DataSource, MigrationExecutor } from 'typeorm';
import { dataSourceOptions } from '../src/database/data-source.options.js';
import { ENTITIES } from '../src/entities.js';
import { MIGRATIONS } from '../src/database/migrations.js';
import { PendingMigrationsError, refusePendingMigrations, runMigrations } from '../src/database/run-migrations.js';
import { administer, createDatabase, ownName, type TestDatabase } from './support/database.js';

describe('The schema', () => {
  const made: TestDatabase[] = [];
  const open: DataSource[] = [];

  const database = async (content: 'migrated' | 'empty'): Promise<string> => {
    const one = await createDatabase(content);
    made.push(one);
    return one.url;
  };
  const connect = async (url: string): Promise<DataSource> => {
    const dataSource = await new DataSource({ ...dataSourceOptions(url), entities: ENTITIES }).initialize();
    open.push(dataSource);
    return dataSource;
  };
  afterEach(async () => {
    await Promise.all(open.splice(0).map((dataSource) => dataSource.destroy()));
    await Promise.all(made.splice(0).map((one) => one.drop()));
  });

  /** Undoes migrations, the newest first, up to and including the one of this name. */
  const undoFrom = async (url: string, name: string): Promise<void> => {
    const executor = new MigrationExecutor(await connect(url));
    for (let left = namesFrom(name).length; left > 0; left -= 1) await executor.undoLastMigration();
  };

  it('is what the entities say: TypeORM finds nothing to change', async () => {
    const dataSource = await connect(await database('migrated'));

    const { upQueries } = await dataSource.driver.createSchemaBuilder().log();

    expect(upQueries.map(({ query }) => query)).toEqual([]);
  });

  // TypeORM compares constraints and indexes by name only.
  it('has the constraints and indexes that the entities declare', async () => {
    const [migrated, declared] = [await database('migrated'), await database('migrated')];
    const dataSource = await connect(declared);
    const tables = dataSource.entityMetadatas.map(({ tableName }) => tableName);
    const inexpressible = dataSource.entityMetadatas.flatMap(({ indices }) =>
      indices.filter(({ synchronize }) => !synchronize).map(({ name }) => [name, expect.any(String)] as const),
    );
    await administer(`DROP TABLE ${tables.join()}`, declared);

    await dataSource.synchronize();

    expect(await definitionsOf(migrated)).toEqual({
      ...(await definitionsOf(declared)),
      ...Object.fromEntries(inexpressible),
    });
  });

  it('lists every migration of the folder, oldest first', () => {
    const files = readdirSync('migrations').sort();

    const named = MIGRATIONS.map(({ name }) => {
      const [, words = '', time = ''] = /^(\D+)(\d{13})$/.exec(name) ?? [];
      return `${time}${words.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}.ts`;
    });

    expect(named).toEqual(files);
  });

  it('goes up and down again, migration by migration, to the schema that was there before each', async () => {
    const url = await database('empty');
    const connectTo = async (count: number): Promise<DataSource> => {
      const options = { ...dataSourceOptions(url), migrations: MIGRATIONS.slice(0, count) };
      const dataSource = await new DataSource(options).initialize();
      open.push(dataSource);
      return dataSource;
    };

    const schemas = [await schemaOf(url)];
    for (const count of MIGRATIONS.keys()) {
      await (await connectTo(count + 1)).runMigrations();
      schemas.push(await schemaOf(url));
    }
    const undone: unknown[][] = [];
    const executor = new MigrationExecutor(await connectTo(MIGRATIONS.length));
    while (undone.length < MIGRATIONS.length) {
      await executor.undoLastMigration();
      undone.unshift(await schemaOf(url));
    }

    expect(undone[0]).toEqual([]);
    expect(undone).toEqual(schemas.slice(0, -1));
    expect(schemas.at(-1)).toEqual(await schemaOf(await database('migrated')));
  });

  it('runs each migration once when ten instances start at the same time on an empty database', async () => {
    const url = await database('empty');

    const ran = await Promise.all(Array.from({ length: 10 }, () => runMigrations(url)));

    expect(ran.flat().sort()).toEqual(MIGRATIONS.map(({ name }) => name).sort());
  });

  it('goes on where an earlier run has failed', async () => {
    const url = await database('empty');
    await administer('CREATE TABLE theirs (id int CONSTRAINT ix_credit_entries_newest PRIMARY KEY)', url);

    await expect(runMigrations(url)).rejects.toThrow('relation "ix_credit_entries_newest" already exists');
    await administer('DROP TABLE theirs', url);
    const ran = await runMigrations(url);

    expect(ran).toEqual(namesFrom('CreateCreditEntries1767225780000'));
    expect(await schemaOf(url)).toEqual(await schemaOf(await database('migrated')));
  });

  it('has no constraint that was not compared with the rows before it', async () => {
    const url = await database('migrated');

    const unchecked = await administer('SELECT conname FROM pg_constraint WHERE NOT convalidated', url);

    // The actions of older events are not read again: see its migration.
    expect(unchecked).toEqual([{ conname: 'ck_audit_events_action' }]);
  });

  // A table is locked while the constraint is added, and not while the rows are read.
  it.each([
    ['RefuseLineSeparators1767226200000', 'ValidateUserNames1767226260000', 'ck_users_name'],
    [
      'FreeTransactionTypes1767226320000',
      'ValidateTransactionTypes1767226380000',
      'ck_credit_entries_transaction_type',
    ],
    ['WidenKeyPrefixes1767226860000', 'ValidateKeyPrefixes1767226920000', 'ck_api_keys_prefix'],
  ])('compares constraints with the stored rows in a step of their own: %s, %s', async (adding, validating, name) => {
    const url = await database('empty');
    const isValidAfter = async (last: string): Promise<unknown> => {
      const count = MIGRATIONS.findIndex((migration) => migration.name === last) + 1;
      const options = { ...dataSourceOptions(url), migrations: MIGRATIONS.slice(0, count) };
      const dataSource = await new DataSource(options).initialize();
      open.push(dataSource);
      await dataSource.runMigrations();
      const rows = await administer(`SELECT convalidated FROM pg_constraint WHERE conname = '${name}'`, url);
      return (rows as [{ convalidated: boolean }])[0].convalidated;
    };

    expect([await isValidAfter(adding), await isValidAfter(validating)]).toEqual([false, true]);
  });

  it('is refused, with the names of what is missing, where migrations are left to the command', async () => {
    const url = await database('empty');

    await expect(refusePendingMigrations(url)).rejects.toThrow(PendingMigrationsError);
    await expect(refusePendingMigrations(url)).rejects.toThrow(
      /CreateUsers1767225600000, .*CreateCreditEntries1767225780000/,
    );
    expect(await schemaOf(url)).toEqual([]);

    await runMigrations(url);
    await expect(refusePendingMigrations(url)).resolves.toBeUndefined();
  });

  describe('of a database from before the migration lighten-changes', () => {
    const index = 'ix_audit_events_user_id_action_created_at';
    const [, beforehand = ''] =
      /```sql\n(SET statement_timeout[^`]+)```/.exec(readFileSync('docs/operations.md', 'utf8')) ?? [];
    const makeBeforehand = async (url: string): Promise<void> => {
      for (const statement of beforehand.split(';\n').filter(Boolean)) await administer(statement, url);
    };
    let url: string;
    let upToDate: unknown[];

    beforeEach(async () => {
      url = await database('migrated');
      upToDate = await schemaOf(url);
      await undoFrom(url, 'LightenChanges1767225960000');
    });

    it('becomes the same with the index that docs/operations.md makes beforehand', async () => {
      await makeBeforehand(url);
      const made = await administer(`SELECT FROM pg_class WHERE relname = '${index}'`, url);

      await runMigrations(url);

      expect(made).toHaveLength(1);
      expect(await schemaOf(url)).toEqual(upToDate);
    });

    it.each([
      ['was not completed', `UPDATE pg_index SET indisvalid = false WHERE indexrelid = '${index}'::regclass`],
      [
        'is another one',
        `DROP INDEX ${index}; CREATE INDEX ${index} ON audit_events (user_id, action, created_at DESC, id DESC)`,
      ],
    ])('is not migrated with an index that %s, until it is dropped', async (_, spoil) => {
      await makeBeforehand(url);
      await administer(spoil, url);

      await expect(runMigrations(url)).rejects.toThrow(
        `Drop ${index}: it was not completed, or is not as it should be`,
      );
      await administer(`DROP INDEX ${index}`, url);
      await expect(runMigrations(url)).resolves.toEqual(namesFrom('LightenChanges1767225960000'));
    });

    it('keeps what another schema of the search path has of the same name', async () => {
      await administer(
        `CREATE SCHEMA theirs; CREATE TABLE theirs.users (created_at timestamptz);
         CREATE INDEX ix_users_created_at ON theirs.users (created_at);
         ALTER DATABASE ${new URL(url).pathname.slice(1)} SET search_path = public, theirs`,
        url,
      );

      await runMigrations(url);

      const theirs = await administer(`SELECT indexname FROM pg_indexes WHERE schemaname = 'theirs'`, url);
      expect(theirs).toEqual([{ indexname: 'ix_users_created_at' }]);
    });
  });

  describe('of a database from before prefixes of keys could be chosen', () => {
    const index = 'ix_api_keys_prefix';
    let url: string;
    beforeEach(async () => {
      url = await database('migrated');
      await undoFrom(url, 'IndexKeyPrefixes1767226800000');
    });
    const addKey = (prefix: string, expires = "now() + interval '1 day'"): Promise<unknown> =>
      administer(
        `WITH owner AS (INSERT INTO users (name, email) VALUES ('U', '${randomUUID()}@example.com') RETURNING id)
         INSERT INTO api_keys (user_id, name, expires_at, prefix, secret_digest)
         SELECT id, 'laptop', ${expires}, '${prefix}', sha256(id::text::bytea) FROM owner`,
        url,
      );
    const file = (): Promise<unknown> => administer(`SELECT pg_relation_filenode('api_keys') AS file`, url);

    // PostgreSQL reports at this level that a statement reads a whole table or builds an index.
    it('neither rewrites nor reads the keys while it locks them', async () => {
      await addKey('ua_00000');
      const runner = (await connect(url)).createQueryRunner();
      const client = (await runner.connect()) as Client;
      const messages: (string | undefined)[] = [];
      client.on('notice', ({ message }) => messages.push(message));
      const run = async (name: string): Promise<void> => {
        const migration = MIGRATIONS.find((one) => one.name === name);
        if (!migration) throw new Error(`There is no ${name}`);
        await runner.startTransaction();
        await client.query('SET LOCAL client_min_messages = debug1');
        await new migration().up(runner);
        messages.push(name);
        await client.query('SET LOCAL client_min_messages = notice');
        await runner.commitTransaction();
      };
      const before = await file();

      await run('IndexKeyPrefixes1767226800000');
      messages.length = 0;
      await run('WidenKeyPrefixes1767226860000');
      await run('ValidateKeyPrefixes1767226920000');
      await runner.release();

      expect(messages).toEqual([
        'WidenKeyPrefixes1767226860000',
        'verifying table "api_keys"',
        'ValidateKeyPrefixes1767226920000',
      ]);
      expect(await file()).toEqual(before);
    });

    it('becomes the same with the index that docs/operations.md makes beforehand, and refuses a spoilt one', async () => {
      const [, beforehand = ''] =
        /(CREATE INDEX CONCURRENTLY ix_api_keys_prefix[^;]+);/.exec(readFileSync('docs/operations.md', 'utf8')) ?? [];
      await administer(beforehand, url);
      await administer(`UPDATE pg_index SET indisvalid = false WHERE indexrelid = '${index}'::regclass`, url);

      await expect(runMigrations(url)).rejects.toThrow(
        `Drop ${index}: it was not completed, or is not as it should be`,
      );
      await administer(`DROP INDEX ${index}`, url);
      await administer(beforehand, url);
      await runMigrations(url);

      expect(await schemaOf(url)).toEqual(await schemaOf(await database('migrated')));
    });

    it('is not restored while a live key has another prefix, and can change one that has ended', async () => {
      await runMigrations(url);
      await addKey('acme_live_00000');
      await addKey('ua_00000');

      await expect(undoFrom(url, 'WidenKeyPrefixes1767226860000')).rejects.toThrow(
        '1 live keys have a prefix other than ua_, which older versions do not accept',
      );
      await administer(`UPDATE api_keys SET expires_at = now() WHERE prefix <> 'ua_00000'`, url);
      await undoFrom(url, 'WidenKeyPrefixes1767226860000');
      await administer(`UPDATE api_keys SET name = 'renamed'`, url);
      await runMigrations(url);

      const keys = await administer('SELECT name, prefix FROM api_keys ORDER BY prefix', url);
      expect(keys).toEqual([
        { name: 'renamed', prefix: 'acme_live_00000' },
        { name: 'renamed', prefix: 'ua_00000' },
      ]);
    });
  });

  describe('of a database from before holds', () => {
    let url: string;
    beforeEach(async () => {
      url = await database('migrated');
      await undoFrom(url, 'AddHolds1767227340000');
      await administer(
        `INSERT INTO users (name, email, credits_balance) VALUES ('Ada', 'ada@example.com', 5), ('Bob', 'bob@example.com', 0)`,
        url,
      );
    });
    const hold = (expires: string): Promise<unknown> =>
      administer(
        `WITH account AS (UPDATE users SET credits_held = 3 WHERE name = 'Ada' RETURNING id)
         INSERT INTO credit_holds (created_at, user_id, amount, expires_at, transaction_id, transaction_type, actor)
         SELECT now() - interval '1 day', id, 3, now() + interval '${expires}', 'job', 'JOB', 'APPLICATION' FROM account`,
        url,
      );

    // PostgreSQL reports at this level that a statement reads a whole table or builds an index.
    it('neither rewrites nor reads the users while it locks them', async () => {
      const file = (): Promise<unknown> => administer(`SELECT pg_relation_filenode('users') AS file`, url);
      const runner = (await connect(url)).createQueryRunner();
      const client = (await runner.connect()) as Client;
      const messages: (string | undefined)[] = [];
      client.on('notice', ({ message }) => messages.push(message));
      const before = await file();

      for (const name of ['AddHolds1767227340000', 'ValidateHolds1767227400000']) {
        const migration = MIGRATIONS.find((one) => one.name === name);
        if (!migration) throw new Error(`There is no ${name}`);
        await runner.startTransaction();
        await client.query('SET LOCAL client_min_messages = debug1');
        await new migration().up(runner);
        await client.query('SET LOCAL client_min_messages = notice');
        await runner.commitTransaction();
        messages.push(name);
      }
      await runner.release();

      expect(messages.filter((message) => /Holds|"users"/.test(message ?? ''))).toEqual([
        'AddHolds1767227340000',
        'verifying table "users"',
        'ValidateHolds1767227400000',
      ]);
      expect(await file()).toEqual(before);
    });

    it('takes what older instances write after the migration, but nothing that spends held credits', async () => {
      await runMigrations(url);
      await hold('1 hour');
      // As an instance without holds writes it.
      const spend = (credits: number): Promise<unknown> =>
        administer(`UPDATE users SET credits_balance = credits_balance - ${String(credits)} WHERE name = 'Ada'`, url);

      await spend(2);
      await expect(spend(1)).rejects.toThrow('ck_users_credits_held');
      await administer(`INSERT INTO users (name, email) VALUES ('Cleo', 'cleo@example.com')`, url);

      const held = await administer('SELECT name, credits_held::int AS held FROM users ORDER BY name', url);
      expect(held).toEqual([
        { name: 'Ada', held: 3 },
        { name: 'Bob', held: 0 },
        { name: 'Cleo', held: 0 },
      ]);
    });

    it('is not restored while a hold is open, and is when it has expired, although nothing has swept it', async () => {
      await runMigrations(url);
      await hold('1 hour');

      await expect(undoFrom(url, 'AddHolds1767227340000')).rejects.toThrow(
        'Holds are open: capture or void them first, or wait until they expire',
      );
      await administer(`UPDATE credit_holds SET expires_at = now() - interval '1 hour'`, url);
      await undoFrom(url, 'AddHolds1767227340000');
      await runMigrations(url);

      expect(await administer('SELECT count(*)::int AS holds FROM credit_holds', url)).toEqual([{ holds: 0 }]);
      expect(await administer('SELECT DISTINCT credits_held::int AS held FROM users', url)).toEqual([{ held: 0 }]);
    });
  });

  describe('of a database from before the search of users', () => {
    const indexOf = (url: string): Promise<object[]> =>
      administer(`SELECT reloptions FROM pg_class WHERE relname = 'ix_user_search_texts_text'`, url);

    it('gets the text of each user, and an index that keeps no list of pending entries', async () => {
      const url = await database('migrated');
      await undoFrom(url, 'PrepareUserSearch1767227700000');
      await administer(
        `INSERT INTO users (name, email) VALUES ('Ada', 'ada@example.com'), ('Bob', 'BOB@example.com')`,
        url,
      );

      await runMigrations(url);

      expect(await administer('SELECT text FROM user_search_texts ORDER BY text', url)).toEqual([
        { text: 'ada\nada@example.com' },
        { text: 'bob\nbob@example.com' },
      ]);
      expect(await indexOf(url)).toEqual([{ reloptions: ['fastupdate=off'] }]);
    });

    // ICU makes an i and a combining dot of U+0130; PostgreSQL 17 and later do not use it.
    it('finds names with a capital I with a dot by a small i, also those that it had before', async () => {
      const url = await database('migrated');
      await undoFrom(url, 'FoldDottedCapitalI1767228180000');
      await administer(`INSERT INTO users (name, email) VALUES ('\u0130rem', 'i@example.com')`, url);
      await administer(`UPDATE user_search_texts SET text = replace(text, 'irem', 'i\u0307rem')`, url);

      await runMigrations(url);

      const found = `SELECT text, fold_case(name) AS folded FROM user_search_texts JOIN users ON id = user_id`;
      expect(await administer(found, url)).toEqual([{ text: 'irem\ni@example.com', folded: 'irem' }]);
    });

    it('gets all but the index from a role that may not create an extension', async () => {
      const own = await createDatabase('empty');
      made.push(own);
      const role = ownName();
      await administer(`CREATE ROLE ${role} LOGIN PASSWORD 'x'`);
      await administer(`ALTER SCHEMA public OWNER TO ${role}`, own.directUrl);

      const run = await runMigrations(Object.assign(new URL(own.directUrl), { username: role, password: 'x' }).href);
      const index = await indexOf(own.directUrl);
      await own.drop();
      await administer(`DROP ROLE ${role}`);

      expect(run).toEqual(MIGRATIONS.map(({ name }) => name));
      expect(index).toEqual([]);
    });
  });

  describe('of a database whose names have line separators', () => {
    const NAMES = ['Ada\u2028Lovelace', 'Grace\u2029\u2029Hopper', 'Joan\u2028\u0301 Clarke', 'Alan Turing'];
    const REPLACED = ['Ada Lovelace', 'Grace  Hopper', 'Joan \u0301 Clarke', 'Alan Turing'];
    let url: string;

    beforeEach(async () => {
      url = await database('migrated');
      await undoFrom(url, 'ReplaceNewLineSeparators1767226080000');
      const [first] = NAMES;
      for (const name of NAMES)
        await administer(
          `INSERT INTO users (name, email, updated_at)
           VALUES ('${name}', '${randomUUID()}@example.com', ${name === first ? `now() + interval '1 hour'` : 'now()'})`,
          url,
        );
    });

    it.each([
      ['by its own runner', () => runMigrations(url)],
      ['in one transaction', async () => (await connect(url)).runMigrations({ transaction: 'all' })],
    ])(
      'gets spaces in their place, with an audit event for each name that changes: migrated %s',
      async (_, migrate) => {
        const before = await usersOf(url);

        await migrate();

        const after = await usersOf(url);
        const events = await administer(
          'SELECT user_id AS id, action, actor, created_at, changes FROM audit_events',
          url,
        );
        expect(after.map(({ name }) => name)).toEqual(REPLACED);
        expect(after.at(-1)).toEqual(before.at(-1));
        expect(after.slice(0, -1).map(({ version }) => version)).toEqual(['2', '2', '2']);
        for (const [n, { updatedAt }] of after.slice(0, -1).entries())
          expect(updatedAt.getTime()).toBeGreaterThan(before[n]?.updatedAt.getTime() ?? NaN);
        expect(events).toHaveLength(3);
        expect(events).toEqual(
          expect.arrayContaining(
            after.slice(0, -1).map(({ id, updatedAt }, n) => ({
              id,
              action: 'user.updated',
              actor: 'APPLICATION',
              created_at: updatedAt,
              changes: { name: { before: NAMES[n], after: REPLACED[n] } },
            })),
          ),
        );
      },
    );

    it('takes charges before and after each migration, also of a user whose name an older instance has just written', async () => {
      const charged: string[] = [];
      const charge = async (step: string): Promise<void> => {
        for (const { id } of await usersOf(url)) {
          // As version 1 writes it, and every later version may.
          const [entry] = await administer(
            `WITH moved AS (
               UPDATE users SET credits_balance = credits_balance + 1, version = version + 1,
                                updated_at = greatest(clock_timestamp(), updated_at + interval '1 ms')
                WHERE id = '${id}' RETURNING id, credits_balance, updated_at)
             INSERT INTO credit_entries (created_at, user_id, credits, balance_after, transaction_id, transaction_type, actor)
             SELECT updated_at, id, 1, credits_balance, '${step}', 'MANUAL_ADJUSTMENT', 'APPLICATION' FROM moved
             RETURNING transaction_id`,
            url,
          );
          charged.push((entry as { transaction_id: string } | undefined)?.transaction_id ?? 'refused');
        }
      };
      const writeAsOlderInstance = (step: string): Promise<unknown> =>
        administer(`INSERT INTO users (name, email) VALUES (U&'Late\\2028Comer', '${step}@example.com')`, url);
      const pending = namesFrom('ReplaceNewLineSeparators1767226080000');

      await charge('before');
      for (const name of pending) {
        if (pending.indexOf(name) <= pending.indexOf('RefuseLineSeparators1767226200000'))
          await writeAsOlderInstance(name);
        const options = {
          ...dataSourceOptions(url),
          migrations: MIGRATIONS.slice(0, MIGRATIONS.findIndex((one) => one.name === name) + 1),
        };
        const dataSource = await new DataSource(options).initialize();
        open.push(dataSource);
        await dataSource.runMigrations();
        await charge(name);
      }

      expect(charged).not.toContain('refused');
      expect(new Set(charged)).toEqual(new Set(['before', ...pending]));
      expect((await usersOf(url)).filter(({ name }) => /[\u2028\u2029]/.test(name))).toEqual([]);
    });

    it('goes back with names and entries that the rules before would have refused', async () => {
      await runMigrations(url);
      await administer(
        `INSERT INTO credit_entries (created_at, user_id, credits, balance_after, transaction_id, transaction_type, actor)
         SELECT now(), id, 1, 1, 't', 'GIFT_CARD', 'APPLICATION' FROM users`,
        url,
      );

      await undoFrom(url, 'ReplaceNewLineSeparators1767226080000');

      expect(await administer('SELECT count(*)::int AS entries FROM credit_entries', url)).toEqual([{ entries: 4 }]);
      await expect(runMigrations(url)).resolves.toEqual(namesFrom('ReplaceNewLineSeparators1767226080000'));
    });
  });

  it('has a name of ours for every constraint and index', async () => {
    const url = await database('migrated');

    const rows = await administer<{ name: string }>(
      `SELECT conname AS name FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid
        WHERE contype <> 'n' AND t.relnamespace = 'public'::regnamespace AND relname <> 'migrations'
       UNION SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'migrations'`,
      url,
    );

    const ours =
      /^(pk|uq|fk|ck|ix)_(users|user_search_texts|api_keys|superseded_secrets|audit_events|credit_entries|credit_holds)(_[a-z_]+)?$/;
    expect(rows.length).toBeGreaterThan(20);
    expect(rows.map(({ name }) => name).filter((name) => !ours.test(name))).toEqual([]);
  });

  it.each(['users', 'api_keys', 'audit_events', 'credit_entries'])(
    'gives the rows of %s ids in the order of time',
    async (table) => {
      const url = await database('migrated');
      const [column] = await administer<{ made: string }>(
        `SELECT pg_get_expr(adbin, adrelid) AS made FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
        WHERE adrelid = '${table}'::regclass AND attname = 'id'`,
        url,
      );

      const rows = await administer<{ id: string; before: number; after: number }>(
        `SELECT ${column?.made ?? ''} AS id, floor(date_part('epoch', statement_timestamp()) * 1000) AS before,
              date_part('epoch', clock_timestamp()) * 1000 AS after FROM generate_series(1, 1000)`,
        url,
      );

      expect(new Set(rows.map(({ id }) => id)).size).toBe(1_000);
      for (const { id, before, after } of rows) {
        expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/); // version 7 of RFC 9562
        const time = parseInt(id.replace('-', '').slice(0, 12), 16);
        expect(time).toBeGreaterThanOrEqual(before);
        expect(time).toBeLessThanOrEqual(after);
      }
    },
  );

  it.each([
    ['users', `name = 'Renamed'`],
    ['api_keys', 'last_used_at = statement_timestamp()'],
  ])('leaves room on the pages of %s, so that a change writes to no index', async (table, change) => {
    const url = await database('migrated');
    await administer(
      `WITH made AS (INSERT INTO users (name, email) SELECT 'U', n || '@example.com' FROM generate_series(1, 1000) AS n RETURNING id)
       INSERT INTO api_keys (user_id, name, expires_at, prefix, secret_digest)
       SELECT id, 'first', '2100-01-01', 'ua_00000', sha256(id::text::bytea) FROM made`,
      url,
    );
    const client = new Client({ connectionString: url });
    await client.connect();

    try {
      await client.query('BEGIN');
      const { rowCount } = await client.query(
        `UPDATE ${table} SET ${change} WHERE (ctid::text::point)[1]::int % 20 = 1`,
      );
      const { rows } = await client.query('SELECT pg_stat_get_xact_tuples_hot_updated($1::regclass)::int AS hot', [
        table,
      ]);

      expect(rowCount).toBeGreaterThan(20);
      expect(rows).toEqual([{ hot: rowCount }]);
    } finally {
      await client.end();
    }
  });

  it('has timestamptz for every instant', async () => {
    const url = await database('migrated');

    const rows = await administer<{ type: string }>(
      `SELECT DISTINCT data_type AS type FROM information_schema.columns WHERE column_name LIKE '%\\_at' AND table_schema = 'public'`,
      url,
    );

    expect(rows).toEqual([{ type: 'timestamp with time zone' }]);
  });

  it.each([
    ['ck_users_credits_balance', 'UPDATE users SET credits_balance = -1'],
    ['ck_users_credits_balance', 'UPDATE users SET credits_balance = 9007199254740992'],
    ['ck_users_status', `UPDATE users SET status = 'GONE'`],
    ['ck_users_rate_limit_per_minute', 'UPDATE users SET rate_limit_per_minute = 0'],
    ['ck_users_name', `UPDATE users SET name = ' Ada'`],
    ['ck_users_name', `UPDATE users SET name = U&'Ame\\0301lie'`],
    ['ck_users_name', `UPDATE users SET name = U&'\\202eAda'`],
    ['ck_users_name', `UPDATE users SET name = ''`],
    ['ck_users_name', `UPDATE users SET name = U&'Ada\\2028Lovelace'`],
    ['ck_users_name', `UPDATE users SET name = U&'Ada\\2029Lovelace'`],
    ...['', 'gift', '1ST_GIFT', '_GIFT', 'GIFT CARD', 'GIFT\n', 'GÏFT'].map((type): [string, string] => [
      'ck_credit_entries_transaction_type',
      `INSERT INTO credit_entries (created_at, user_id, credits, balance_after, transaction_id, transaction_type, actor)
       SELECT now(), id, 1, 1, 't', E'${type}', 'APPLICATION' FROM users`,
    ]),
    ['ck_users_email', `UPDATE users SET email = 'nobody'`],
    ['uq_users_email', `INSERT INTO users (name, email) VALUES ('Ada', 'ADA@EXAMPLE.COM')`],
    [
      'fk_api_keys_user_id',
      `INSERT INTO api_keys (user_id, name, expires_at, prefix, secret_digest)
       VALUES (gen_random_uuid(), 'a', now(), 'ua_00000', sha256('a'))`,
    ],
    [
      'ck_audit_events_action',
      `INSERT INTO audit_events (action, user_id, actor, changes) VALUES ('user.vanished', gen_random_uuid(), 'APPLICATION', '{}')`,
    ],
    ['fk_api_keys_user_id', 'DELETE FROM users'],
    ['ck_api_keys_name', `UPDATE api_keys SET name = 'current'`],
    ['ck_api_keys_name', `UPDATE api_keys SET name = 'Not This'`],
    ...['ua_0000', 'ua_000000', 'ua-00000', 'Ua_00000', 'a_b_c_00000', 'abcdefghijklm_00000', '00000', '_00000'].map(
      (prefix): [string, string] => ['ck_api_keys_prefix', `UPDATE api_keys SET prefix = '${prefix}'`],
    ),
    ['ck_api_keys_digest', `UPDATE api_keys SET secret_digest = 'short'`],
    ['ck_api_keys_rate_limit_per_minute', 'UPDATE api_keys SET rate_limit_per_minute = -1'],
    [
      'uq_api_keys_user_id_name',
      `INSERT INTO api_keys (user_id, name, expires_at, prefix, secret_digest)
       SELECT id, 'first', now(), 'ua_00000', sha256('b') FROM users`,
    ],
    [
      'uq_api_keys_digest',
      `INSERT INTO api_keys (user_id, name, expires_at, prefix, secret_digest)
       SELECT id, 'second', now(), 'ua_00000', sha256('first') FROM users`,
    ],
  ])('%s refuses: %s', async (constraint, sql) => {
    const url = await database('migrated');
    await administer(`INSERT INTO users (name, email) VALUES ('Ada', 'ada@example.com')`, url);
    await administer(
      `INSERT INTO api_keys (user_id, name, expires_at, prefix, secret_digest) SELECT id, 'first', now(), 'ua_00000', sha256('first') FROM users`,
      url,
    );

    await expect(administer(sql, url)).rejects.toMatchObject({ constraint });
  });
});

/** The names of this migration and of those after it. */
function namesFrom(name: string): string[] {
  const names = MIGRATIONS.map((migration) => migration.name);
  return names.slice(names.indexOf(name));
}

interface StoredUser {
  readonly id: string;
  readonly name: string;
  readonly version: string;
  readonly updatedAt: Date;
}

/** In the order in which they were inserted. */
const usersOf = (url: string): Promise<StoredUser[]> =>
  administer('SELECT id, name, version, updated_at AS "updatedAt" FROM users ORDER BY created_at, id', url);

/**
 * The definition of each constraint and index, by name. PostgreSQL writes equal expressions in one
 * form.
 */
async function definitionsOf(url: string): Promise<Record<string, string>> {
  const rows = await administer<{ name: string; definition: string }>(
    `SELECT conname AS name, concat(conrelid::regclass, ' ', replace(pg_get_constraintdef(oid), ' NOT VALID', '')) AS definition
       FROM pg_constraint
      WHERE connamespace = 'public'::regnamespace AND contype IN ('c', 'f', 'p', 'u') AND conrelid <> 'migrations'::regclass
      UNION ALL
     SELECT indexname, indexdef FROM pg_indexes i
      WHERE schemaname = 'public' AND tablename <> 'migrations'
        AND NOT EXISTS (SELECT FROM pg_constraint WHERE conname = indexname)`,
    url,
  );
  return Object.fromEntries(rows.map(({ name, definition }) => [name, definition]));
}

/**
 * Every function, and every table with its columns, constraints, indexes and triggers, as text that
 * can be compared.
 */
const schemaOf = async (url: string): Promise<unknown[]> => [...(await functionsOf(url)), ...(await tablesOf(url))];

const functionsOf = (url: string): Promise<object[]> =>
  administer(
    `SELECT pg_get_functiondef(oid) AS function FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = pg_proc.oid AND deptype = 'e') -- of an extension
      ORDER BY proname`,
    url,
  );

function tablesOf(url: string): Promise<object[]> {
  return administer(
    `SELECT c.relname, c.reloptions, a.attname, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull,
            pg_get_expr(d.adbin, d.adrelid) AS byDefault,
            (SELECT array_agg(conname || replace(pg_get_constraintdef(oid), ' NOT VALID', '') ORDER BY conname) FROM pg_constraint WHERE conrelid = c.oid) AS constraints,
            (SELECT array_agg(indexdef ORDER BY indexname) FROM pg_indexes WHERE tablename = c.relname) AS indexes,
            (SELECT array_agg(pg_get_triggerdef(oid) ORDER BY tgname) FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal) AS triggers,
            (SELECT array_agg(pg_get_statisticsobjdef(oid) ORDER BY stxname) FROM pg_statistic_ext WHERE stxrelid = c.oid) AS statistics
       FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
       LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
      WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'migrations'
      ORDER BY c.relname, a.attnum`,
    url,
  );
}

import fc from 'fast-check';
import { Client } from 'pg';
import { EXACT_NAME_PATTERN, MAX_NAME_LENGTH, parseUserName } from '../src/users/user-name.js';
import { createDatabase, type TestDatabase } from './support/database.js';

/**
 * Strings a property run; four runs make the 100,000 and more on which code and database must
 * agree.
 */
const BATCH = 250;
const RUNS = 140;

/** Code points that rules on text tend to get wrong, and their neighbours. */
const NASTY = [
  ...[
    0x00, 0x01, 0x09, 0x0a, 0x0d, 0x1f, 0x20, 0x21, 0x7e, 0x7f, 0x80, 0x85, 0x9f, 0xa0, 0xa1, 0xad, 0x300, 0x301, 0x34f,
    0x378,
  ],
  ...[
    0x600, 0x61c, 0x6dd, 0x115f, 0x1160, 0x1161, 0x1100, 0x11a8, 0x1680, 0x17b4, 0x180e, 0x1fef, 0x2000, 0x2001, 0x200a,
    0x200b,
  ],
  ...[
    0x200d, 0x200e, 0x200f, 0x2010, 0x2028, 0x2029, 0x202a, 0x202e, 0x202f, 0x205f, 0x2060, 0x2065, 0x2066, 0x2069,
    0x206a, 0x2126,
  ],
  ...[
    0x212b, 0x2329, 0x2800, 0x3000, 0x3164, 0xac00, 0xd7ff, 0xe000, 0xf900, 0xfb1d, 0xfdd0, 0xfe0f, 0xfeff, 0xffa0,
    0xfff9, 0xfffc,
  ],
  ...[
    0xfffd, 0xfffe, 0xffff, 0x10000, 0x105c9, 0x105d2, 0x1133e, 0x1193b, 0x13430, 0x1bca0, 0x1d159, 0x1d15e, 0x1d173,
    0x1f600,
  ],
  ...[0x1f9ff, 0x1fffe, 0x2f800, 0xe0001, 0xe0020, 0xe01ef, 0xe1000, 0xf0000, 0x10fffd, 0x10fffe, 0x10ffff],
];

const codePoint = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...NASTY) },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 0xffff }) },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 0x10ffff }) },
  { weight: 3, arbitrary: fc.integer({ min: 0x20, max: 0x7e }) },
);

const text = fc
  .oneof(
    { weight: 8, arbitrary: fc.array(codePoint, { maxLength: 8 }) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(codePoint, fc.integer({ min: 250, max: 260 }))
        .map(([one, length]) => Array<number>(length).fill(one)),
    },
    { weight: 1, arbitrary: fc.array(codePoint, { minLength: 240, maxLength: 270 }) },
  )
  .map((points) => String.fromCodePoint(...points));

const UNSTORABLE = /[\0\p{Surrogate}]/u;

const INVISIBLE = /[\p{Default_Ignorable_Code_Point}\p{White_Space}\p{Cc}\p{Noncharacter_Code_Point}\p{Surrogate}]/u;
const VISIBLE = /[[\p{L}\p{N}\p{P}\p{S}\p{Co}]--\p{Default_Ignorable_Code_Point}]/v;

const parsed = (raw: string): string | null => {
  try {
    return parseUserName(raw);
  } catch {
    return null;
  }
};

describe('The rule for a name', () => {
  let database: TestDatabase;
  let client: Client;
  let rule: string;

  beforeAll(async () => {
    database = await createDatabase();
    client = new Client({ connectionString: database.url });
    await client.connect();
    const { rows } = await client.query<{ definition: string }>(
      `SELECT pg_get_constraintdef(oid) AS definition FROM pg_constraint WHERE conname = 'ck_users_name'`,
    );
    rule = (rows[0]?.definition ?? '').replace(/^CHECK /, '');
  });
  afterAll(async () => {
    await client.end();
    await database.drop();
  });

  /**
   * What the constraint itself, read back from the catalogue, says of each text, and whether
   * PostgreSQL finds it in NFC.
   */
  const askDatabase = async (names: readonly string[]): Promise<{ allowed: boolean; nfc: boolean }[]> => {
    const sql = `SELECT ${rule} AS allowed, name IS NFC NORMALIZED AS nfc
                   FROM unnest($1::varchar[]) WITH ORDINALITY AS t(name, nth) ORDER BY nth`;
    return (await client.query<{ allowed: boolean; nfc: boolean }>(sql, [names])).rows;
  };

  it('is the same in the code and in the database, for more than 100,000 strings from all of Unicode', async () => {
    let compared = 0;
    let excused = 0;
    for (const settle of [(raw: string) => raw, (raw: string) => raw.trim().normalize('NFC')]) {
      await fc.assert(
        fc.asyncProperty(fc.array(text, { minLength: BATCH * 2, maxLength: BATCH * 2, size: 'max' }), async (raws) => {
          const names = raws.map(settle);
          // PostgreSQL cannot hold NUL or a lone surrogate at all, and the code refuses both.
          for (const name of names.filter((unstorable) => UNSTORABLE.test(unstorable))) expect(parsed(name)).toBeNull();
          const storable = names.filter((name) => !UNSTORABLE.test(name));

          // The database's rule is for names as stored, so the code must have nothing to change
          // about them either.
          const byDatabase = await askDatabase(storable);
          const differing = storable.filter((name, index) => (parsed(name) === name) !== byDatabase[index]?.allowed);

          // Node and PostgreSQL carry different versions of Unicode: on NFC itself they may differ,
          // for new characters.
          const unexcused = differing.filter(
            (name) => (name.normalize('NFC') === name) === byDatabase[storable.indexOf(name)]?.nfc,
          );
          expect(unexcused.map((name) => JSON.stringify(name))).toEqual([]);
          compared += storable.length;
          excused += differing.length;
        }),
        { numRuns: RUNS, endOnFailure: true },
      );
    }
    expect(compared).toBeGreaterThan(100_000);
    expect(excused / compared).toBeLessThan(0.001);
  });

  it('lets PostgreSQL store every name that the code lets pass', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(text, { minLength: BATCH, maxLength: BATCH, size: 'max' }), async (raws) => {
        const names = raws.map(parsed).filter((name) => name !== null);
        const { rows } = await client.query<{ name: string }>(
          'SELECT normalize(name, NFC) AS name FROM unnest($1::text[]) AS t(name)',
          [names],
        );

        const answers = await askDatabase(rows.map(({ name }) => name));
        expect(answers).toEqual(rows.map(() => ({ allowed: true, nfc: true })));
      }),
      { numRuns: RUNS },
    );
  });

  it('is the same in the published document: its exact pattern and length allow a settled name just when the code does', () => {
    const pattern = new RegExp(EXACT_NAME_PATTERN, 'u');
    fc.assert(
      fc.property(text, (raw) => {
        const name = raw.trim().normalize('NFC');
        const { length } = Array.from(name);
        expect(pattern.test(name) && length >= 1 && length <= MAX_NAME_LENGTH).toBe(parsed(name) === name);
      }),
      { numRuns: 20_000 },
    );
  });

  it('settles a name once and for all: parsing it again changes nothing', () => {
    fc.assert(
      fc.property(text, (raw) => {
        const name = parsed(raw);
        expect(name === null ? null : parseUserName(name)).toBe(name);
      }),
      { numRuns: 20_000 },
    );
  });

  it('counts as invisible all that this version of Unicode calls so', () => {
    const wrong: string[] = [];
    for (let point = 0; point <= 0x10ffff; point += 1) {
      const character = String.fromCodePoint(point);
      const shows = parsed(character) !== null;
      if (shows ? INVISIBLE.test(character) : VISIBLE.test(character)) wrong.push(point.toString(16));
    }
    // Unicode calls these two symbols, but they show nothing.
    expect(wrong).toEqual(['2800', '1d159']);
  });
});

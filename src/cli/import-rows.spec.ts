import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { array, assert, asyncProperty, constant, constantFrom, integer, nat, oneof, record, string } from 'fast-check';
import { type ImportRow, readRows } from './import-rows.js';

const COLUMNS = 'the first line must name the columns email and name';
const MISPLACED = 'the line is not CSV: a quotation mark is missing or misplaced';
const separated = (by: string): string => `the columns are separated by ${by} instead of commas`;

describe('readRows', () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'users-api-rows-'));
  });
  afterAll(async () => {
    await rm(directory, { recursive: true });
  });

  const rowsOf = async (name: string, content: string | Uint8Array): Promise<ImportRow[]> => {
    const file = join(directory, name);
    await writeFile(file, content);
    const rows: ImportRow[] = [];
    for await (const row of readRows(file, () => undefined)) rows.push(row);
    return rows;
  };

  it.each<[string, ...(readonly [line: number, problem: string])[]]>([
    ['email;name\na@example.com;A\n', [1, separated('semicolons')]],
    ['"Email";"Name";"City"\n"a@example.com";"A";"X"\n', [1, separated('semicolons')]],
    ['\ufeffname\temail\r\nA\ta@example.com\r\n', [1, separated('tabs')]],
    ['email | name\n', [1, separated('vertical bars')]],
    ['a@example.com;A\n', [1, `${COLUMNS}, and no others`]],
    ['email,name,city\n', [1, `${COLUMNS}, and no others`]],
    ['', [1, COLUMNS]],
    ['\n\nemail\n', [3, `${COLUMNS}, and no others`]],
    ['email,"name\n', [1, MISPLACED]],
    ['email,name\n"a@example.com,A\n', [2, MISPLACED]],
    ['email,name\na@example.com,Ada "The" L', [2, MISPLACED]],
    ['email,name\na@example.com,"Ada" L\nb@example.com,B "\nc@example.com,C', [2, MISPLACED], [3, MISPLACED]],
    [
      'email,name\r\n\r\na@example.com\r\nb@example.com,"\r\n',
      [3, 'the line has 1 field instead of 2'],
      [4, MISPLACED],
    ],
    [
      'email,name\na@example.com,A,\r\nb@example.com,B\rc\n',
      [2, 'the line has 3 fields instead of 2'],
      [4, 'the line has 1 field instead of 2'],
    ],
  ])('%j has these problems', async (content, ...expected) => {
    const rows = await rowsOf('users.csv', content);

    expect(rows.filter((row) => 'problem' in row)).toEqual(expected.map(([line, problem]) => ({ line, problem })));
  });

  it('returns each row of a CSV file with its line number, and reports exactly the malformed lines', async () => {
    const field = string({ unit: constantFrom('a', '"', ',', '\r', '\n', ' ', 'é', '\u2028'), maxLength: 6 });
    const lines = array(
      record({
        email: field,
        name: field,
        isBroken: constantFrom(false, false, true),
        end: constantFrom('\n', '\r\n', '\r'),
        blank: nat(1),
      }),
    );
    // Lengths of a first field, so that the end of a 64 KiB chunk sometimes falls into another row.
    const lengths = oneof({ arbitrary: constant(1), weight: 4 }, integer({ min: 65_300, max: 65_536 }));
    const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;
    await assert(
      asyncProperty(lines, lengths, async (given, length) => {
        const first = 'a'.repeat(length);
        let content = `email,name\n${first},A\n`;
        let line = 3;
        const expected: ImportRow[] = [{ line: 2, email: first, name: 'A' }];
        for (const { email, name, isBroken, end, blank } of given) {
          const text = isBroken ? `a${quoted(email.replace(/[\r\n,]/g, ''))},a` : `${quoted(email)},${quoted(name)}`;
          expected.push(isBroken ? { line, problem: MISPLACED } : { line, email, name });
          const whole = text + end + (blank ? '\n' : '');
          content += whole;
          line += whole.split(/\r\n|\r|\n/).length - 1;
        }

        expect(await rowsOf('users.csv', content)).toEqual(expected);
      }),
    );
  });

  it('ends a line of a JSON file only at a line feed', async () => {
    const content = '{"email": "a", "name": "A\u2028\u2029\u0085"}\r\n\n{"email": "b", "name": "B"}';

    expect(await rowsOf('users.jsonl', content)).toEqual([
      { line: 1, email: 'a', name: 'A\u2028\u2029\u0085' },
      { line: 3, email: 'b', name: 'B' },
    ]);
  });

  it('finds the columns in either order, with spaces around their names, in a file named .CSV', async () => {
    expect(await rowsOf('USERS.CSV', '\ufeff name ,email\nAda, ada@example.com \n')).toEqual([
      { line: 2, email: ' ada@example.com ', name: 'Ada' },
    ]);
  });

  it.each(['email,email', 'Email,Name', 'email', 'email,name,name', '"email, name"'])(
    'reads no row after the header %s',
    async (header) => {
      expect(await rowsOf('users.csv', `${header}\na@example.com,A\n`)).toEqual([
        { line: 1, problem: `${COLUMNS}, and no others` },
      ]);
    },
  );

  it.each([
    ['{"email": "a"', 'the line must be valid JSON'],
    ['[]', 'the line must be a JSON object'],
    ['{"email": "a", "email": "b", "name": "A"}', 'the line gives the property "email" twice'],
    ['{"email": "a", "name": "A", "role": "admin"}', 'the property "role" is not known here'],
    ['{"email": "a"}', 'email and name must be strings'],
    ['{"name": "A"}', 'email and name must be strings'],
    ['{"email": "a", "name": null}', 'email and name must be strings'],
  ])('states what is wrong with the line %s, and reads the others', async (content, problem) => {
    const good = '{"email": "b", "name": "B"}';

    expect(await rowsOf('users.jsonl', `${good}\n \n${content}\n${good}\n`)).toEqual([
      { line: 1, email: 'b', name: 'B' },
      { line: 3, problem },
      { line: 4, email: 'b', name: 'B' },
    ]);
  });

  it('reads a line of a JSON file that spans two chunks', async () => {
    const name = 'é'.repeat(40_000);

    expect(await rowsOf('users.jsonl', `{"email": "a", "name": "${name}"}\n{"email": "b", "name": "B"}`)).toEqual([
      { line: 1, email: 'a', name },
      { line: 2, email: 'b', name: 'B' },
    ]);
  });

  it.each(['users.csv', 'users.jsonl'])('fails if %s is not in UTF-8', async (name) => {
    await expect(rowsOf(name, Buffer.from('email,name\na@example.com,caf\xe9\n', 'latin1'))).rejects.toMatchObject({
      message: 'The file is not in UTF-8',
      cause: { code: 'ERR_ENCODING_INVALID_ENCODED_DATA' },
    });
  });

  it.each(['missing.csv', 'missing.jsonl'])('fails if %s does not exist', async (name) => {
    await expect(readRows(join(directory, name), () => undefined).next()).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it.each(['users.txt', 'users', 'csv', 'users.csv.gz'])('does not guess the format of %s', (file) => {
    expect(() => readRows(file, () => undefined)).toThrow(
      new Error(`${file} must be named .csv or .jsonl, after what it holds`),
    );
  });

  it('reports the number of bytes that it reads', async () => {
    const file = join(directory, 'bytes.csv');
    const content = `email,name\n${'a@example.com,é\n'.repeat(10_000)}`;
    await writeFile(file, content);
    const counts: number[] = [];
    let rows = 0;
    for await (const row of readRows(file, (count) => counts.push(count))) if ('email' in row) rows += 1;

    expect(rows).toBe(10_000);
    expect(counts.length).toBeGreaterThan(1);
    expect(counts.reduce((sum, count) => sum + count)).toBe(Buffer.byteLength(content));
  });
});

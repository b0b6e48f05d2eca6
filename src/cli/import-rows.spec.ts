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

  const rowsOf = async (name: string, content: string): Promise<ImportRow[]> => {
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
    ['email|name\n', [1, separated('vertical bars')]],
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

  it('gives each row of a CSV file with its line, and reports exactly the lines that are broken', async () => {
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
    // Of a first row: now and then one of the others has the end of a chunk of 64 KiB in it.
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
});

import { createReadStream } from 'node:fs';
import { extname } from 'node:path';
import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import { parse } from 'csv-parse';
import { parseJsonObject, quoted } from '../common/http/json-object.js';
import { counted } from './visible.js';

/** A parsed row, or why it could not be parsed. Lines are counted from 1. */
export type ImportRow =
  | { readonly line: number; readonly email: string; readonly name: string }
  | { readonly line: number; readonly problem: string };

const FIELDS = ['email', 'name'] as const;
const COLUMNS = `the first line must name the columns ${FIELDS.join(' and ')}`;

/** Separators that spreadsheets write instead of commas in some locales and formats. */
const OTHER_SEPARATORS = { ';': 'semicolons', '\t': 'tabs', '|': 'vertical bars' };

/**
 * A record of RFC 4180 without its line break: a field that contains a quotation mark is quoted,
 * and the quotation mark in it is doubled.
 */
const WELL_QUOTED = /^(?:"[^"]*(?:""[^"]*)*"|[^",]*)(?:,(?:"[^"]*(?:""[^"]*)*"|[^",]*))*$/;

/**
 * Reads users from a file: `.csv` (RFC 4180) with `email` and `name` in its first line, or
 * `.jsonl`, one object with these two properties per line. Empty lines and a byte order mark are
 * ignored.
 *
 * @param onBytes called with the number of bytes of each read
 * @throws Error when the file cannot be read, or has another extension
 */
export function readRows(file: string, onBytes: (count: number) => void): AsyncGenerator<ImportRow> {
  const read = { '.csv': readCsv, '.jsonl': readJsonLines }[extname(file).toLowerCase()];
  if (!read) throw new Error(`${file} must be named .csv or .jsonl, after what it holds`);
  const bytes = createReadStream(file).on('data', (chunk) => {
    onBytes(chunk.length);
  });
  const decoder = new TextDecoderStream('utf-8', { fatal: true });
  return explained(read(Readable.fromWeb((Readable.toWeb(bytes) as ReadableStream<Uint8Array>).pipeThrough(decoder))));
}

async function* explained(rows: AsyncGenerator<ImportRow>): AsyncGenerator<ImportRow> {
  try {
    yield* rows;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_ENCODING_INVALID_ENCODED_DATA')
      throw new Error('The file is not in UTF-8', { cause: error });
    throw error;
  }
}

async function* readCsv(text: Readable): AsyncGenerator<ImportRow> {
  // A misplaced quotation mark is parsed as text and refused below, so that it does not affect
  // other lines.
  const parser = parse({
    raw: true,
    record_delimiter: ['\r\n', '\n', '\r'],
    relax_column_count: true,
    relax_quotes: true,
    skip_empty_lines: true,
    skip_records_with_error: true, // the only remaining error: the file ends within quotation marks
    on_skip: (_error, raw) => void parser.push({ record: [], raw }),
  });
  text.pipe(parser);
  text.once('error', (error) => parser.destroy(error));
  let columns: readonly string[] | undefined;
  let next = 1; // the parser counts a CRLF between quotation marks as two lines
  try {
    for await (const { record, raw } of parser as AsyncIterable<CsvRecord>) {
      const content = raw.replace(/^[\r\n]+/, '');
      const line = next + lineBreaks(raw.slice(0, raw.length - content.length));
      next += lineBreaks(raw);
      const row = toRow(line, columns, record, content.replace(/[\r\n]+$/, ''));
      if ('columns' in row) ({ columns } = row);
      else yield row;
      if (!columns) return;
    }
  } finally {
    text.destroy();
  }
  if (!columns) yield { line: 1, problem: COLUMNS };
}

const lineBreaks = (text: string): number => text.match(/\r\n|\r|\n/g)?.length ?? 0;

interface CsvRecord {
  readonly record: readonly string[];
  readonly raw: string;
}

/** @param columns undefined for the first record, which names the columns */
function toRow(
  line: number,
  columns: readonly string[] | undefined,
  record: readonly string[],
  content: string,
): ImportRow | { readonly columns: readonly string[] } {
  if (!columns) {
    const separator = otherSeparator(content);
    if (separator !== undefined)
      return { line, problem: `the columns are separated by ${separator} instead of commas` };
  }
  if (!WELL_QUOTED.test(content))
    return { line, problem: 'the line is not CSV: a quotation mark is missing or misplaced' };
  if (!columns) return toColumns(line, record);
  if (record.length !== columns.length)
    return { line, problem: `the line has ${counted(record.length, 'field')} instead of ${String(columns.length)}` };
  const [email = '', name = ''] = FIELDS.map((field) => record[columns.indexOf(field)]);
  return { line, email, name };
}

function toColumns(line: number, record: readonly string[]): ImportRow | { readonly columns: readonly string[] } {
  const columns = record.map((column) => column.trim());
  const isRight = columns.length === FIELDS.length && FIELDS.every((field) => columns.includes(field));
  return isRight ? { columns } : { line, problem: `${COLUMNS}, and no others` };
}

/** The separator of the columns instead of a comma, if it yields both expected columns. */
function otherSeparator(header: string): string | undefined {
  const found = Object.entries(OTHER_SEPARATORS).find(([separator]) => {
    const names = header.split(separator).map((name) => name.replaceAll('"', '').trim().toLowerCase());
    return FIELDS.every((field) => names.includes(field));
  });
  return found?.[1];
}

async function* readJsonLines(text: Readable): AsyncGenerator<ImportRow> {
  let line = 0;
  for await (const content of linesOf(text)) {
    line += 1;
    if (content.trim() !== '') yield toObject(line, content);
  }
}

/**
 * Not `readline`, which in newer versions of Node also ends a line at U+2028 and U+2029: JSON may
 * have these within a string.
 */
async function* linesOf(text: Readable): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of text as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
  yield rest;
}

function toObject(line: number, content: string): ImportRow {
  let row: Record<string, unknown>;
  try {
    row = parseJsonObject(Buffer.from(content), 'the line');
  } catch (error) {
    return { line, problem: (error as Error).message };
  }
  const { email, name, ...others } = row;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) return { line, problem: `the property ${quoted(unknown)} is not known here` };
  if (typeof email !== 'string' || typeof name !== 'string') return { line, problem: 'email and name must be strings' };
  return { line, email, name };
}

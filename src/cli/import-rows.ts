import { createReadStream } from 'node:fs';
import { extname } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import { CsvError, parse } from 'csv-parse';
import { parseJsonObject } from '../common/http/json-object.js';

/** A row of a file as it stands there, or what makes it none. Lines are counted from 1. */
export type ImportRow =
  | { readonly line: number; readonly email: string; readonly name: string }
  | { readonly line: number; readonly problem: string };

const FIELDS = ['email', 'name'] as const;

/**
 * Reads users from a file: `.csv` (RFC 4180) with `email` and `name` in its first line, or `.jsonl`, one object with these two a
 * line. Empty lines are passed over, and so is a byte order mark.
 *
 * @param onBytes is told how many bytes were read, as they are
 * @throws Error when the file cannot be read, or what kind it is cannot be told
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
  const parser = text.pipe(parse({ raw: true, relax_column_count: true, skip_empty_lines: true }));
  text.once('error', (error) => parser.destroy(error));
  let columns: readonly string[] | undefined;
  let next = 1; // the parser's own count takes a CRLF between quotation marks for two
  try {
    for await (const { record, raw } of parser as AsyncIterable<CsvRecord>) {
      const line = next + lineBreaks(raw.slice(0, raw.search(/[^\r\n]/)));
      next += lineBreaks(raw);
      if (columns) yield toRow(line, columns, record);
      else {
        columns = record.map((column) => column.trim());
        const wrong = columnProblem(columns);
        if (wrong !== undefined) {
          yield { line, problem: wrong };
          return;
        }
      }
    }
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    yield { line: next, problem: 'the line is not CSV: a quotation mark is missing or misplaced' };
  }
  if (!columns) yield { line: 1, problem: `the first line must name the columns ${FIELDS.join(' and ')}` };
}

const lineBreaks = (text: string): number => text.match(/\r\n|\r|\n/g)?.length ?? 0;

interface CsvRecord {
  readonly record: readonly string[];
  readonly raw: string;
}

function columnProblem(columns: readonly string[]): string | undefined {
  const right = columns.length === FIELDS.length && FIELDS.every((field) => columns.includes(field));
  return right ? undefined : `the first line must name the columns ${FIELDS.join(' and ')}, and no others`;
}

function toRow(line: number, columns: readonly string[], record: readonly string[]): ImportRow {
  if (record.length !== columns.length)
    return { line, problem: `the line has ${String(record.length)} fields instead of ${String(columns.length)}` };
  const [email = '', name = ''] = FIELDS.map((field) => record[columns.indexOf(field)]);
  return { line, email, name };
}

async function* readJsonLines(text: Readable): AsyncGenerator<ImportRow> {
  let line = 0;
  for await (const content of createInterface({ input: text, crlfDelay: Infinity })) {
    line += 1;
    if (content.trim() !== '') yield toObject(line, content);
  }
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
  if (unknown !== undefined) return { line, problem: `the property ${JSON.stringify(unknown)} is not known here` };
  if (typeof email !== 'string' || typeof name !== 'string') return { line, problem: 'email and name must be strings' };
  return { line, email, name };
}

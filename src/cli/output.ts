import { fstatSync, writeFileSync } from 'node:fs';
import Table from 'cli-table3';
import { QueryRunnerAlreadyReleasedError } from 'typeorm';
import { redactKeys } from '../common/api-key-format.js';
import { OperatorError } from '../common/errors/operator.error.js';
import { visible, visibleLines } from './visible.js';

/** Maximum number of rows that a list prints. */
export const MAX_LISTED = 10_000;

/** A signal ended a command before it was complete. */
export class InterruptedError extends Error {
  /** @param status the exit status that a shell expects of the signal */
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
    this.name = 'InterruptedError';
  }
}

/**
 * Writes to stdout.
 *
 * @throws Error when stdout is a file on a full disk; `process.stdout` would then write a part of
 *   the text and report success
 */
function write(text: string): void {
  const { fd } = process.stdout;
  if (fstatSync(fd).isFile()) writeFileSync(fd, text);
  else process.stdout.write(text);
}

/**
 * Writes a long text to stdout part by part, no faster than the reader accepts it, until the last
 * part is written or the reader has closed the pipe.
 *
 * @throws what `write` throws
 */
export async function writeAll(parts: AsyncIterable<string>): Promise<void> {
  const isFile = fstatSync(process.stdout.fd).isFile();
  for await (const part of parts) {
    const text = visibleLines(part);
    if (isFile) writeFileSync(process.stdout.fd, text);
    else if (!(await written(text))) return; // `handleFailedOutput` reports the failure
  }
}

const written = (text: string): Promise<boolean> =>
  new Promise((resolve) => {
    process.stdout.write(text, (error) => {
      resolve(!error);
    });
  });

/**
 * JSON for scripts: one line, alone on stdout. Unsafe characters are escaped, which does not change
 * the parsed value.
 */
export const print = (value: unknown): void => {
  write(`${visibleLines(JSON.stringify(value, null, process.stdout.isTTY ? 2 : undefined))}\n`);
};

/** A sentence on stdout. */
export const printLine = (sentence: string): void => {
  write(`${visible(sentence)}\n`);
};

/** @param expiresAt when the key expires */
export const printSecret = (sentence: string, secret: string, expiresAt: Date): void => {
  printLine(`${sentence} Its API key expires at ${expiresAt.toISOString()}, and is shown only now:`);
  write(`\n  ${secret}\n\n`);
};

export function printTable(head: string[], rows: readonly string[][]): void {
  const table = new Table({ head, style: { head: [], border: [] } });
  table.push(...rows.map((row) => row.map(visible)));
  write(`${table.toString()}\n`);
}

/**
 * Writes a text to stderr, so that stdout contains only the result. Line feeds are kept, so values
 * in the text must be passed through `visible`.
 */
export const say = (text: string): void => {
  process.stderr.write(`${visibleLines(text)}\n`);
};

export const noteMoreRows = (limit: number): void => {
  const shown = `${limit === 1 ? 'This is the newest one' : `These are the newest ${String(limit)}`}, and there are more`;
  say(
    limit < MAX_LISTED
      ? `${shown}: --limit accepts up to ${String(MAX_LISTED)}.`
      : `${shown}, which the HTTP API lists.`,
  );
};

/**
 * The message of a failed command. Only an `OperatorError` may have several lines; in any other
 * message a line feed is part of a value.
 */
export function messageOf(error: unknown): string {
  // TypeORM releases the query runner of a connection that is lost between two statements.
  if (error instanceof QueryRunnerAlreadyReleasedError) return 'The connection to the database was lost.';
  const message = redactKeys(error instanceof Error ? error.message : String(error));
  return error instanceof OperatorError ? message : visible(message);
}

import { stat } from 'node:fs/promises';
import { COMMAND_LINE } from '../audit-trail/actor.js';
import type { UserRequest, UsersService } from '../users/users.service.js';
import { checkUser } from '../users/users.service.js';
import { type ImportRow, readRows } from './import-rows.js';
import { withProgress } from './progress.js';

/** Users that are created in one transaction: less than half a second on a busy machine. */
const CHUNK = 200;

/** Maximum number of problems that are reported one by one. */
const TOLD = 100;

export interface ImportProblem {
  readonly line: number;
  readonly message: string;
}

/** The contents of the file, before anything is written. */
export interface Checked {
  readonly users: number;
  /** The first hundred. */
  readonly problems: readonly ImportProblem[];
  readonly problemCount: number;
}

/** The progress of an import. */
export interface Imported {
  created: number;
  /** Users whose address already existed; they are not changed. */
  existing: number;
}

/**
 * Checks the whole file and writes nothing: names and addresses must follow the rules of the API,
 * and no address may occur twice.
 */
export async function checkFile(file: string): Promise<Checked> {
  const lineOf = new Map<string, number>();
  const problems: ImportProblem[] = [];
  let problemCount = 0;
  await readWithProgress('Checking', file, async (rows) => {
    for await (const row of rows) {
      const message = problemOf(row, lineOf);
      if (message === undefined) continue;
      problemCount += 1;
      if (problems.length < TOLD) problems.push({ line: row.line, message });
    }
  });
  return { users: lineOf.size, problems, problemCount };
}

function problemOf(row: ImportRow, lineOf: Map<string, number>): string | undefined {
  if ('problem' in row) return row.problem;
  try {
    checkUser(row);
  } catch (error) {
    return (error as Error).message;
  }
  const address = row.email.toLowerCase();
  const earlier = lineOf.get(address);
  if (earlier !== undefined) return `the address is that of line ${String(earlier)}`;
  lineOf.set(address, row.line);
  return undefined;
}

/**
 * Creates the users of a checked file, some hundreds in each transaction. Safe to repeat, even
 * after an interruption: existing users are skipped.
 *
 * @param done is updated after each transaction, so that it is correct even if this throws
 * @param interrupted ends the import after the transaction that is in flight
 */
export async function importFile(
  file: string,
  users: UsersService,
  done: Imported,
  interrupted: AbortSignal,
): Promise<void> {
  let chunk: UserRequest[] = [];
  const write = async (): Promise<void> => {
    const { length } = await users.createMissing(chunk, { by: COMMAND_LINE });
    done.created += length;
    done.existing += chunk.length - length;
    chunk = [];
  };
  await readWithProgress('Importing', file, async (rows) => {
    for await (const row of rows) {
      if ('problem' in row) throw new Error(`line ${String(row.line)}: ${row.problem}`); // the file has changed since
      chunk.push({ email: row.email, name: row.name });
      if (chunk.length === CHUNK) await write();
      if (interrupted.aborted) return;
    }
    if (chunk.length > 0) await write();
  });
}

async function readWithProgress(
  what: string,
  file: string,
  work: (rows: AsyncIterable<ImportRow>) => Promise<void>,
): Promise<void> {
  const { size } = await stat(file);
  await withProgress(what, (onProgress) => {
    let read = 0;
    return work(
      readRows(file, (bytes) => {
        read += bytes;
        onProgress(read / size);
      }),
    );
  });
}

import type { Command } from 'commander';
import type { Client } from 'pg';
import { createLogger } from '../common/logging/logger.js';
import { AppConfig, readDotEnv } from '../config/app.config.js';
import { misspelledVariables } from '../config/misspelled-variables.js';
import { VARIABLES } from '../config/variables.js';
import { CreditsService } from '../credits/credits.service.js';
import { refusePendingMigrations, runMigrations } from '../database/run-migrations.js';
import { locateDatabase, retryUntilAvailable } from '../startup/open-database.js';
import type { StopSignal } from '../startup/stop-signal.js';
import {
  closeSource,
  connect,
  copyDatabase,
  MoveError,
  refuseOtherVersion,
  refuseRows,
  reopenSource,
  type RowCounts,
} from './move-database.js';
import { InterruptedError, messageOf, print, printLine, printTable, say } from './output.js';
import { withProgress } from './progress.js';
import { readSecret } from './read-secret.js';
import { counted } from './visible.js';
import { withDatabase } from './with-app.js';

interface Options {
  readonly to?: string;
  readonly grantTo?: string;
  readonly reopen?: true;
  readonly json?: true;
}

type Differences = Awaited<ReturnType<CreditsService['reconcile']>>;

interface Moved {
  readonly rows: RowCounts;
  readonly differences: Differences;
}

const REOPEN = 'users-api move --reopen';

export function addMoveCommand(program: Command, stop: StopSignal): void {
  program
    .command('move')
    .description(
      'Copy everything into an empty PostgreSQL database: all of it or, after a failure or an interruption, nothing. ' +
        'The application must be stopped. The source is read-only afterwards',
    )
    .option(
      '--to <url>',
      'the target, as in DATABASE_URL, by the owner of its tables; "-" reads it from standard input, which other processes cannot see',
    )
    .option('--grant-to <role>', 'also grant this role the rights that the application needs in the target')
    .option('--reopen', 'instead: make the source writable again')
    .option('--json', 'print { "rows", "differences", "database_url" } instead of text')
    .action(async ({ to, grantTo, reopen, json }: Options) => {
      if ((to === undefined) === (reopen === undefined)) throw new Error('Give either --to or --reopen');
      readDotEnv();
      const config = new AppConfig(process.env);
      for (const warning of misspelledVariables(process.env)) say(warning);
      if (to === undefined) await reopenIn(config);
      else await moveTo(await targetUrl(to), config, { stop, grantTo, json });
    });
}

/**
 * @throws Error when the URL is not valid for `DATABASE_URL`; the message contains no part of the
 *   URL
 */
async function targetUrl(to: string): Promise<string> {
  const text = to === '-' ? await readSecret('The URL of the target, which is not shown:') : to;
  const problem = VARIABLES.databaseUrl.rule.problemOf(text);
  if (problem !== undefined) throw new Error(`--to ${problem}`);
  const url = new URL(text);
  const { PGPASSWORD } = process.env; // an embedded source discards the variables of libpq
  if (url.username !== '' && url.password === '' && !url.searchParams.has('password') && PGPASSWORD)
    url.password = encodeURIComponent(PGPASSWORD);
  return url.href;
}

/** The URL of a database without its password. */
export function withoutPassword(text: string): string {
  const url = new URL(text);
  if (url.password !== '') url.password = '***';
  if (url.searchParams.has('password')) url.searchParams.set('password', '***');
  return url.href;
}

async function reopenIn(config: AppConfig): Promise<void> {
  const source = await locateDatabase(config, false, say);
  try {
    const client = await retryUntilAvailable(source.url, say, () => connect(source.url));
    try {
      await reopenSource(client);
    } finally {
      await client.end();
    }
  } finally {
    await source.close();
  }
  printLine(`${source.place} is writable again.`);
}

interface MoveOptions {
  readonly stop: StopSignal;
  readonly grantTo: string | undefined;
  readonly json: true | undefined;
}

async function moveTo(target: string, config: AppConfig, { stop, grantTo, json }: MoveOptions): Promise<void> {
  await prepareTarget(target, config, grantTo);
  const source = await locateDatabase(config, false, say);
  const rows = await (async () => {
    try {
      return await stop.interrupting((interrupted) => move(source, target, interrupted));
    } finally {
      await source.close();
    }
  })();
  const differences = await stop.interrupting((interrupted) => reconcile(target, config, interrupted));
  report({ rows, differences }, { target, place: source.place }, json);
  if (differences.length > 0)
    throw new Error(
      `${counted(differences.length, 'difference')} in the ledger, as at the source: see users-api credits reconcile`,
    );
}

/** Brings the schema of an empty target up to date. A target with rows is not changed. */
async function prepareTarget(url: string, config: AppConfig, grantTo: string | undefined): Promise<void> {
  const { transactionPooler, migrationsRun } = config;
  const client = await retryUntilAvailable(url, say, () => connect(url));
  try {
    await refuseRows(client);
    if (migrationsRun) await runMigrations(url, { transactionPooler, grantTo });
    else await refusePendingMigrations(url, { transactionPooler });
    await refuseOtherVersion(client, 'target');
  } finally {
    await client.end();
  }
}

/** @throws InterruptedError when a signal has ended the move */
async function move(
  source: { readonly url: string; readonly sessionPid?: number | undefined },
  target: string,
  interrupted: AbortSignal,
): Promise<RowCounts> {
  const clients: Client[] = [];
  const open = async (url: string): Promise<Client> => {
    const client = await retryUntilAvailable(url, say, () => connect(url));
    clients.push(client);
    return client;
  };
  try {
    const administrator = await open(source.url);
    const reader = await open(source.url);
    const writer = await open(target);
    await refuseOtherVersion(administrator, 'source');
    const own = [administrator, reader].map(pidOf).concat(source.sessionPid ?? []);
    const closed = await closeSource(administrator, own);
    const commit = { hasBegun: false };
    const abort = (): void => {
      if (!commit.hasBegun) for (const client of [reader, writer]) void client.end();
    };
    interrupted.addEventListener('abort', abort, { once: true });
    if (interrupted.aborted) abort();
    const onCommit = (): void => {
      commit.hasBegun = true;
    };
    try {
      return await withProgress('Moving', (onProgress) =>
        copyDatabase(reader, writer, { onProgress, onCommit }, interrupted),
      );
    } catch (error) {
      if (commit.hasBegun)
        throw new MoveError(
          `The connection was lost while the target committed (${(error as Error).message}). If the target has users, the move is complete; ` +
            `otherwise repeat it. The source is read-only until ${REOPEN}.`,
          { cause: error },
        );
      await closed.reopen();
      if (interrupted.aborted)
        throw new InterruptedError(
          'Interrupted: the target is still empty, and the source is unchanged. The same command starts again',
          interrupted.reason as number,
        );
      throw error;
    } finally {
      interrupted.removeEventListener('abort', abort);
    }
  } finally {
    await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
  }
}

/** Missing in @types/pg. */
const pidOf = (client: Client): number => (client as unknown as { readonly processID: number }).processID;

/** @throws InterruptedError, or MoveError; both say that the move itself is complete */
async function reconcile(target: string, config: AppConfig, interrupted: AbortSignal): Promise<Differences> {
  const logger = await createLogger({ level: 'warn', pretty: config.logPretty }, 2);
  try {
    return await withDatabase(config, target, logger, (app) =>
      withProgress('Reconciling', (onProgress) =>
        app.get(CreditsService, { strict: false }).reconcile((share) => {
          interrupted.throwIfAborted(); // between two slices, when the connection is free
          onProgress(share);
        }),
      ),
    );
  } catch (error) {
    const complete =
      `The move is complete, and the source is read-only. Set DATABASE_URL: ${withoutPassword(target)}. ` +
      'Only its ledger was not reconciled to the end: run users-api credits reconcile';
    if (interrupted.aborted) throw new InterruptedError(`Interrupted. ${complete}`, interrupted.reason as number);
    throw new MoveError(`${complete} (${messageOf(error)})`, { cause: error });
  }
}

function report(
  { rows, differences }: Moved,
  { target, place }: { readonly target: string; readonly place: string },
  json: true | undefined,
): void {
  const databaseUrl = withoutPassword(target);
  if (json) {
    print({ rows, differences, database_url: databaseUrl });
    return;
  }
  printTable(
    ['TABLE', 'ROWS'],
    Object.entries(rows).map(([table, count]) => [table, String(count)]),
  );
  if (differences.length === 0) printLine('Every balance is the sum of its entries.');
  printLine(`Set DATABASE_URL for the application and its commands: ${databaseUrl}`);
  printLine(`${place} is now read-only, so that no change is lost there; ${REOPEN} makes it writable again.`);
}

import { type Command, Option } from 'commander';
import { COMMAND_LINE } from '../audit-trail/actor.js';
import { type CreditRequest, CreditsService, type Receipt } from '../credits/credits.service.js';
import { CreditEntryResponse } from '../credits/dto/credit-entry.response.js';
import { type CreditHold, HOLD_STATUSES, type HoldStatus } from '../credits/holds/credit-hold.entity.js';
import { HoldResponse } from '../credits/holds/dto/hold.response.js';
import { DEFAULT_HOLD_SECONDS, MAX_HOLD_SECONDS } from '../credits/holds/hold-rules.js';
import { DEFAULT_TRANSACTION_TYPE } from '../credits/transaction-type.js';
import { integer } from './integer.js';
import { MAX_LISTED, print, printLine, printTable, say, noteMoreRows } from './output.js';
import { withProgress } from './progress.js';
import { userByEmail } from './user-commands.js';
import { counted, visible } from './visible.js';
import { withApp } from './with-app.js';

const EMAIL = ['--email <address>', "the user's e-mail address"] as const;
const AMOUNT = ['--amount <credits>', 'an integer from 1', integer(1, Number.MAX_SAFE_INTEGER)] as const;
const HOLD = ['--hold <id>', 'the id of the hold'] as const;

interface Options {
  readonly email: string;
  readonly amount: number;
  readonly transactionId: string;
  readonly type: string;
  readonly expiresIn: number;
  readonly hold: string;
  readonly status?: HoldStatus;
  readonly limit: number;
  readonly json?: true;
}

interface HistoryOptions {
  readonly email: string;
  readonly startDate?: string;
  readonly endDate?: string;
  readonly transactionId?: string;
  readonly type?: string;
  readonly apiKeyId?: string;
  readonly limit: number;
  readonly json?: true;
}

export function addCreditCommands(credits: Command): void {
  addMovement(credits, 'add', 'Add credits to a balance', (service, request) =>
    service.add(request, { by: COMMAND_LINE }),
  );
  addMovement(credits, 'spend', 'Take credits from a balance', (service, request) =>
    service.spend(request, { by: COMMAND_LINE }),
  );
  addHoldCommands(credits);
  credits
    .command('balance')
    .description('Show the balance of a user, the held credits and the available credits')
    .requiredOption(...EMAIL)
    .option('--json', 'print the balance as JSON')
    .action(async ({ email, json }: Options) => {
      const { creditsBalance, creditsHeld, creditsAvailable } = await withApp(async (app) => {
        const { id } = await userByEmail(app, email);
        return app.get(CreditsService, { strict: false }).balance(id);
      });
      if (json)
        print({ credits_balance: creditsBalance, credits_held: creditsHeld, credits_available: creditsAvailable });
      else
        printTable(
          ['BALANCE', 'HELD', 'AVAILABLE'],
          [[String(creditsBalance), String(creditsHeld), String(creditsAvailable)]],
        );
    });
  credits
    .command('history')
    .description('List the movements of a balance, the newest first')
    .requiredOption(...EMAIL)
    .option('--start-date <date>', 'the first day, in UTC, such as 2026-01-31')
    .option('--end-date <date>', 'the last day, in UTC')
    .option('--transaction-id <id>', 'only the entry of this transaction')
    .option('--type <type>', 'only entries of this type, such as STRIPE_CHECKOUT')
    .option('--api-key-id <id>', 'only entries of credits that were spent for this key')
    .option('--limit <count>', 'the maximum number of rows', integer(1, MAX_LISTED), 100)
    .option('--json', 'print an array of entries instead of a table')
    .action(async ({ email, type: transactionType, limit, json, ...filter }: HistoryOptions) => {
      const { rows, more } = await withApp(async (app) => {
        const { id } = await userByEmail(app, email);
        const service = app.get(CreditsService, { strict: false });
        return service.history(id, { ...filter, transactionType }, { limit, offset: 0, after: null });
      });
      const entries = rows.map((entry) => CreditEntryResponse.from(entry));
      if (json) print(entries);
      else printEntries(entries);
      if (more) noteMoreRows(limit);
    });
  credits
    .command('reconcile')
    .description(
      'Prove that every balance is the sum of its entries, and that holds agree with both; fails and names each difference',
    )
    .option('--json', 'print an array of differences instead of text')
    .action(async ({ json }: Options) => {
      const differences = await withApp((app) =>
        withProgress('Reconciling', (onProgress) => app.get(CreditsService, { strict: false }).reconcile(onProgress)),
      );
      if (json) print(differences);
      else if (differences.length === 0)
        printLine('Every balance is the sum of its entries, and every hold agrees with them.');
      else {
        printTable(
          ['USER', 'WHAT', 'ID', 'STORED', 'EXPECTED'],
          differences.map(({ kind, userId, entryId, holdId, stored, expected }) => [
            ...[userId, kind, holdId ?? entryId ?? ''],
            ...[String(stored), String(expected)],
          ]),
        );
      }
      if (differences.length > 0) throw new Error(counted(differences.length, 'difference'));
    });
}

function addHoldCommands(credits: Command): void {
  addTransactionOptions(
    credits
      .command('hold')
      .description('Hold credits, so that nothing else can spend them; safe to repeat with the same --transaction-id'),
  )
    .option(
      '--expires-in <seconds>',
      'when the hold expires; must exceed the duration of the work',
      integer(1, MAX_HOLD_SECONDS),
      DEFAULT_HOLD_SECONDS,
    )
    .option('--json', 'print the hold as JSON')
    .action(
      async ({ email, amount, transactionId, type: transactionType, expiresIn: expiresInSeconds, json }: Options) => {
        const { hold, replayed } = await withApp(async (app) => {
          const { id: userId } = await userByEmail(app, email);
          const request = { userId, amount, transactionId, transactionType, expiresInSeconds };
          return app.get(CreditsService, { strict: false }).hold(request, { by: COMMAND_LINE });
        });
        printHold(hold, json);
        if (replayed) say(`Hold ${visible(transactionId)} already exists: nothing more is held.`);
      },
    );
  credits
    .command('capture')
    .description('Take credits of a hold, which ends it and releases the rest; safe to repeat')
    .requiredOption(...HOLD)
    .requiredOption(...AMOUNT)
    .option('--json', 'print the entry as JSON')
    .action(async ({ hold, amount, json }: Options) => {
      const { entry, replayed } = await withApp((app) =>
        app.get(CreditsService, { strict: false }).capture(hold, amount, { by: COMMAND_LINE }),
      );
      if (json) print(CreditEntryResponse.from(entry));
      else printEntries([CreditEntryResponse.from(entry)]);
      if (replayed) say(`Hold ${visible(hold)} was already captured: nothing was moved this time.`);
    });
  credits
    .command('void')
    .description('End a hold and release its credits; safe to repeat')
    .requiredOption(...HOLD)
    .option('--json', 'print the hold as JSON')
    .action(async ({ hold: id, json }: Options) => {
      const hold = await withApp((app) => app.get(CreditsService, { strict: false }).release(id, { by: COMMAND_LINE }));
      printHold(hold, json);
      if (hold.status === 'EXPIRED') say('The hold had expired: its credits were released then.');
    });
  credits
    .command('holds')
    .description('List the holds of a user, the newest first')
    .requiredOption(...EMAIL)
    .addOption(new Option('--status <status>', 'only these').choices(HOLD_STATUSES))
    .option('--limit <count>', 'the maximum number of rows', integer(1, MAX_LISTED), 100)
    .option('--json', 'print an array of holds instead of a table')
    .action(async ({ email, status, limit, json }: Options) => {
      const { rows, more } = await withApp(async (app) => {
        const { id } = await userByEmail(app, email);
        const service = app.get(CreditsService, { strict: false });
        return service.holds(id, { status }, { limit, offset: 0, after: null });
      });
      const holds = rows.map((hold) => HoldResponse.from(hold));
      if (json) print(holds);
      else printHolds(holds);
      if (more) noteMoreRows(limit);
    });
}

const addTransactionOptions = (command: Command): Command =>
  command
    .requiredOption(...EMAIL)
    .requiredOption(...AMOUNT)
    .requiredOption('--transaction-id <id>', 'chosen by you, unique per user')
    .option(
      '--type <type>',
      'what the movement is for: capital letters, digits and underscores, such as STRIPE_CHECKOUT',
      DEFAULT_TRANSACTION_TYPE,
    );

function addMovement(
  credits: Command,
  name: string,
  description: string,
  move: (service: CreditsService, request: CreditRequest) => Promise<Receipt>,
): void {
  addTransactionOptions(
    credits.command(name).description(`${description}; safe to repeat with the same --transaction-id`),
  )
    .option('--json', 'print the entry as JSON')
    .action(async ({ email, amount, transactionId, type: transactionType, json }: Options) => {
      const { entry, replayed } = await withApp(async (app) => {
        const { id: userId } = await userByEmail(app, email);
        const request = { userId, amount, transactionId, transactionType };
        return move(app.get(CreditsService, { strict: false }), request);
      });
      if (json) print(CreditEntryResponse.from(entry));
      else printEntries([CreditEntryResponse.from(entry)]);
      if (replayed) say(`Transaction ${visible(transactionId)} already exists: nothing was moved this time.`);
    });
}

function printEntries(entries: readonly CreditEntryResponse[]): void {
  printTable(
    ['CREATED', 'CREDITS', 'BALANCE AFTER', 'TYPE', 'TRANSACTION'],
    entries.map(({ created_at, credits, balance_after, transaction_type, transaction_id }) => [
      ...[created_at, String(credits), String(balance_after)],
      ...[transaction_type, transaction_id],
    ]),
  );
}

function printHold(hold: CreditHold, json?: true): void {
  const response = HoldResponse.from(hold);
  if (json) print(response);
  else printHolds([response]);
}

function printHolds(holds: readonly HoldResponse[]): void {
  printTable(
    ['HOLD', 'CREATED', 'AMOUNT', 'STATUS', 'EXPIRES', 'CAPTURED', 'TYPE', 'TRANSACTION'],
    holds.map(({ id, created_at, amount, status, expires_at, captured, transaction_type, transaction_id }) => [
      ...[id, created_at, String(amount), status, expires_at],
      ...[captured === null ? '' : String(captured), transaction_type, transaction_id],
    ]),
  );
}

import type { Command } from 'commander';
import { COMMAND_LINE } from '../audit-trail/actor.js';
import { type CreditRequest, CreditsService, type Receipt } from '../credits/credits.service.js';
import { CreditEntryResponse } from '../credits/dto/credit-entry.response.js';
import { DEFAULT_TRANSACTION_TYPE } from '../credits/transaction-type.js';
import { integer } from './integer.js';
import { MAX_LISTED, print, printLine, printTable, say, noteMoreRows } from './output.js';
import { withProgress } from './progress.js';
import { userByEmail } from './user-commands.js';
import { counted, visible } from './visible.js';
import { withApp } from './with-app.js';

const EMAIL = ['--email <address>', "the user's e-mail address"] as const;

interface Options {
  readonly email: string;
  readonly amount: number;
  readonly transactionId: string;
  readonly type: string;
  readonly startDate?: string;
  readonly endDate?: string;
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
  credits
    .command('history')
    .description('List the movements of a balance, the newest first')
    .requiredOption(...EMAIL)
    .option('--start-date <date>', 'the first day, in UTC, such as 2026-01-31')
    .option('--end-date <date>', 'the last day, in UTC')
    .option('--limit <count>', 'how many at most', integer(1, MAX_LISTED), 100)
    .option('--json', 'print an array of entries instead of a table')
    .action(async ({ email, startDate, endDate, limit, json }: Options) => {
      const { rows, more } = await withApp(async (app) => {
        const { id } = await userByEmail(app, email);
        const service = app.get(CreditsService, { strict: false });
        return service.history(id, { startDate, endDate }, { limit, offset: 0, after: null });
      });
      const entries = rows.map((entry) => CreditEntryResponse.from(entry));
      if (json) print(entries);
      else printEntries(entries);
      if (more) noteMoreRows(limit);
    });
  credits
    .command('reconcile')
    .description('Prove that every balance is the sum of its entries; fails and names each difference if one is not')
    .option('--json', 'print an array of differences instead of text')
    .action(async ({ json }: Options) => {
      const differences = await withApp((app) =>
        withProgress('Reconciling', (onProgress) => app.get(CreditsService, { strict: false }).reconcile(onProgress)),
      );
      if (json) print(differences);
      else if (differences.length === 0) printLine('Every balance is the sum of its entries.');
      else {
        printTable(
          ['USER', 'ENTRY', 'STORED', 'EXPECTED'],
          differences.map(({ userId, entryId, stored, expected }) => [
            ...[userId, entryId ?? '(the balance)'],
            ...[String(stored), String(expected)],
          ]),
        );
      }
      if (differences.length > 0) throw new Error(counted(differences.length, 'difference'));
    });
}

function addMovement(
  credits: Command,
  name: string,
  description: string,
  move: (service: CreditsService, request: CreditRequest) => Promise<Receipt>,
): void {
  credits
    .command(name)
    .description(`${description}; safe to repeat with the same --transaction-id`)
    .requiredOption(...EMAIL)
    .requiredOption('--amount <credits>', 'an integer from 1', integer(1, Number.MAX_SAFE_INTEGER))
    .requiredOption('--transaction-id <id>', 'chosen by you, unique per user')
    .option(
      '--type <type>',
      'what the movement is for: capital letters, digits and underscores, such as STRIPE_CHECKOUT',
      DEFAULT_TRANSACTION_TYPE,
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
      if (replayed) say(`Transaction ${visible(transactionId)} was there already: nothing was moved this time.`);
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

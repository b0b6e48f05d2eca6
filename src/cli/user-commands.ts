import type { INestApplicationContext } from '@nestjs/common';
import type { Command } from 'commander';
import { COMMAND_LINE } from '../common/audit/actor.js';
import { DEFAULT_KEY_DAYS, MAX_KEY_DAYS, OnboardingService } from '../onboarding/onboarding.service.js';
import { UserResponse } from '../users/dto/user.response.js';
import type { User, UserStatus } from '../users/user.entity.js';
import { UserNotFoundError } from '../users/users.errors.js';
import { UsersService } from '../users/users.service.js';
import { checkFile, importFile } from './import-users.js';
import { integer } from './integer.js';
import { MAX_LISTED, print, printSecret, printTable, sayThereAreMore } from './output.js';
import { withApp } from './with-app.js';

/** The user whom an `--email` option names, whatever its case. */
export async function userByEmail(app: INestApplicationContext, email: string): Promise<User> {
  const user = await app.get(UsersService).findByEmail(email);
  if (!user) throw new UserNotFoundError({ email });
  return user;
}

export function addUserCommands(users: Command): void {
  users
    .command('create')
    .description('Add a user together with a first API key, which is shown once')
    .requiredOption('--email <address>', 'e-mail address, unique without regard to case')
    .requiredOption('--name <name>', 'display name')
    .option('--admin', 'make the user an administrator')
    .option('--expires-in-days <days>', 'days until the key expires', integer(1, MAX_KEY_DAYS), DEFAULT_KEY_DAYS)
    .option('--json', 'print { "user", "api_key" } instead of text')
    .action(async (options: { email: string; name: string; admin?: true; expiresInDays: number; json?: true }) => {
      const { email, name, admin: isAdmin = false, expiresInDays: days } = options;
      const made = await withApp((app) =>
        app.get(OnboardingService).createUserWithKey({ email, name, isAdmin }, { days }, COMMAND_LINE),
      );
      const user = UserResponse.from(made.user);
      if (options.json) print({ user, api_key: made.secret });
      else printSecret(`User ${user.id} <${user.email}> was made.`, made.secret);
    });
  users
    .command('list')
    .description('List users, the newest first')
    .option('--limit <count>', 'how many at most', integer(1, MAX_LISTED), 100)
    .option('--json', 'print an array of users instead of a table')
    .action(async ({ limit, json }: { limit: number; json?: true }) => {
      const slice = { limit, offset: 0, after: null };
      const { rows, more } = await withApp((app) => app.get(UsersService).list({}, slice));
      printUsers(rows, json);
      if (more) sayThereAreMore(limit);
    });
  users
    .command('show')
    .description('Show a user')
    .requiredOption('--email <address>', "the user's e-mail address")
    .option('--json', 'print the user as JSON')
    .action(async ({ email, json }: { email: string; json?: true }) => {
      printUser(await withApp((app) => userByEmail(app, email)), json);
    });
  users
    .command('import')
    .description(
      'Add the users of a file, .csv with the columns email and name or .jsonl with such objects, without keys. ' +
        'Nothing is written if a line is bad. Safe to repeat, also after an interruption: users who are there are left as they are',
    )
    .argument('<file>', 'where the users are')
    .option('--dry-run', 'only tell what is bad')
    .option('--json', 'print { "users", "problems", "created", "existing" } instead of text')
    .action(async (file: string, { dryRun, json }: { dryRun?: true; json?: true }) => {
      const { users: found, problems, problemCount } = await checkFile(file);
      const bad = problemCount > 0;
      const done = bad || dryRun ? null : await withApp((app) => importFile(file, app.get(UsersService)));
      if (json) print({ users: found, problems, created: done?.created ?? 0, existing: done?.existing ?? 0 });
      else {
        for (const { line, message } of problems) console.error(`${file}:${String(line)}: ${message}`);
        if (done)
          process.stdout.write(
            `${String(done.created)} users were made; ${String(done.existing)} were there already.\n`,
          );
        else if (!bad) process.stdout.write(`${String(found)} users could be imported.\n`);
      }
      if (bad) throw new Error(`${String(problemCount)} lines of ${file} are bad, and nothing was written`);
    });
  addStatusCommand(users, 'deactivate', 'INACTIVE', 'Deactivate a user: its keys stop working at once');
  addStatusCommand(users, 'activate', 'ACTIVE', 'Activate a user again, and with it the keys');
}

function addStatusCommand(users: Command, name: string, status: UserStatus, description: string): void {
  users
    .command(name)
    .description(`${description}; safe to repeat`)
    .requiredOption('--email <address>', "the user's e-mail address")
    .option('--json', 'print the user as JSON')
    .action(async ({ email, json }: { email: string; json?: true }) => {
      const user = await withApp(async (app) => {
        const { id } = await userByEmail(app, email);
        return app.get(UsersService).change(id, { status }, COMMAND_LINE);
      });
      printUser(user, json);
    });
}

function printUser(user: User, json?: true): void {
  if (json) print(UserResponse.from(user));
  else printUsers([user]);
}

function printUsers(users: readonly User[], json?: true): void {
  if (json) print(users.map((user) => UserResponse.from(user)));
  else {
    printTable(
      ['ID', 'E-MAIL', 'NAME', 'STATUS', 'ADMIN', 'CREDITS', 'CREATED'],
      users.map(({ id, email, name, status, isAdmin, creditsBalance, createdAt }) => [
        ...[id, email, name, status, isAdmin ? 'yes' : 'no'],
        ...[String(creditsBalance), createdAt.toISOString()],
      ]),
    );
  }
}

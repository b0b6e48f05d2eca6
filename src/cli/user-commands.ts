import type { INestApplicationContext } from '@nestjs/common';
import { type Command, Option } from 'commander';
import { MAX_RATE_LIMIT, MIN_RATE_LIMIT } from '../api-keys/rate-limit-rules.js';
import { COMMAND_LINE } from '../audit-trail/actor.js';
import type { Cursor } from '../common/pagination/cursor.js';
import type { Page } from '../common/pagination/page.js';
import { DEFAULT_KEY_DAYS, MAX_KEY_DAYS, OnboardingService } from '../onboarding/onboarding.service.js';
import { AdminUserResponse } from '../users/dto/user.response.js';
import type { StopSignal } from '../startup/stop-signal.js';
import { type User, USER_STATUSES, type UserStatus } from '../users/user.entity.js';
import { UserNotFoundError } from '../users/users.errors.js';
import { checkFilter, type UserFilter, UsersService } from '../users/users.service.js';
import type { UserChanges } from '../users/users.statements.js';
import { addImportCommand } from './import-command.js';
import { instant } from './instant.js';
import { integer } from './integer.js';
import { addPersonalDataCommands } from './personal-data-commands.js';
import { MAX_LISTED, print, printSecret, printTable, noteMoreRows } from './output.js';
import { withApp } from './with-app.js';

interface CreateOptions {
  readonly email: string;
  readonly name: string;
  readonly admin?: true;
  readonly expiresInDays: number;
  readonly rateLimitPerMinute?: number;
  readonly json?: true;
}

interface UpdateOptions {
  readonly email: string;
  readonly setEmail?: string;
  readonly setName?: string;
  /** Undefined without `--admin` and `--no-admin`. */
  readonly admin?: boolean;
  readonly json?: true;
}

interface ListOptions {
  readonly status?: UserStatus;
  readonly email?: string;
  readonly apiKeyPrefix?: string;
  readonly search?: string;
  readonly createdAfter?: Date;
  readonly createdBefore?: Date;
  readonly admin?: boolean;
  readonly limit: number;
  readonly json?: true;
}

/** The user that an `--email` option identifies, whatever the letter case. */
export async function userByEmail(app: INestApplicationContext, email: string): Promise<User> {
  const user = await app.get(UsersService).findByEmail(email);
  if (!user) throw new UserNotFoundError({ email });
  return user;
}

export function addUserCommands(users: Command, stop: StopSignal): void {
  users
    .command('create')
    .description('Add a user together with a first API key, which is shown once')
    .requiredOption('--email <address>', 'e-mail address, unique without regard to case')
    .requiredOption('--name <name>', 'display name')
    .option('--admin', 'make the user an administrator')
    .option('--expires-in-days <days>', 'days until the key expires', integer(1, MAX_KEY_DAYS), DEFAULT_KEY_DAYS)
    .option(
      '--rate-limit-per-minute <requests>',
      'requests a minute of all keys of the user together; without it, no limit',
      integer(MIN_RATE_LIMIT.user, MAX_RATE_LIMIT),
    )
    .option('--json', 'print { "user", "api_key", "api_key_expires_at" } instead of text')
    .action(async (options: CreateOptions) => {
      const { email, name, admin: isAdmin = false, expiresInDays: days, rateLimitPerMinute } = options;
      const request = { email, name, isAdmin, rateLimitPerMinute };
      const created = await withApp((app) =>
        app.get(OnboardingService).createUserWithKey(request, { days, by: COMMAND_LINE }),
      );
      const user = AdminUserResponse.from(created.user);
      const { expiresAt } = created.key;
      if (options.json) print({ user, api_key: created.secret, api_key_expires_at: expiresAt.toISOString() });
      else printSecret(`User ${user.id} <${user.email}> was created.`, created.secret, expiresAt);
    });
  users
    .command('list')
    .description('List users, the newest first')
    .addOption(new Option('--status <status>', 'only users with this status').choices(USER_STATUSES))
    .option('--email <address>', 'only the user with this e-mail address, without regard to case')
    .option(
      '--api-key-prefix <characters>',
      'only the owner of a key with these first characters: its prefix and five more',
    )
    .option('--search <text>', 'only users whose name or e-mail address contains this, in any letter case')
    .option(
      '--created-after <instant>',
      'only users who were created then or later, such as 2026-01-01T00:00:00Z',
      instant,
    )
    .option('--created-before <instant>', 'only users who were created before', instant)
    .option('--admin', 'only administrators')
    .option('--no-admin', 'only users who are not administrators')
    .option('--limit <count>', 'the maximum number of rows', integer(1, MAX_LISTED), 100)
    .option('--json', 'print an array of users instead of a table')
    .action(async ({ admin: isAdmin, limit, json, ...others }: ListOptions) => {
      const filter = { ...others, isAdmin };
      checkFilter(filter); // before the database is opened
      const { rows, more } = await withApp((app) => newestUsers(app.get(UsersService), filter, limit));
      printUsers(rows, json);
      if (more) noteMoreRows(limit);
    });
  users
    .command('show')
    .description('Show a user')
    .requiredOption('--email <address>', "the user's e-mail address")
    .option('--json', 'print the user as JSON')
    .action(async ({ email, json }: { email: string; json?: true }) => {
      printUser(await withApp((app) => userByEmail(app, email)), json);
    });
  addImportCommand(users, stop);
  addPersonalDataCommands(users);
  users
    .command('update')
    .description('Correct the e-mail address, the name or the role of a user; safe to repeat')
    .requiredOption('--email <address>', "the user's present e-mail address")
    .option('--set-email <address>', 'the new e-mail address, unique without regard to case')
    .option('--set-name <name>', 'the new display name')
    .option('--admin', 'make the user an administrator')
    .option('--no-admin', 'remove the role of an administrator; the last active administrator keeps it')
    .option('--json', 'print the user as JSON')
    .action(async ({ email, setEmail, setName, admin, json }: UpdateOptions) => {
      const changes = { email: setEmail, name: setName, isAdmin: admin };
      if (Object.values(changes).every((value) => value === undefined))
        throw new Error('Specify a change with --set-email, --set-name, --admin or --no-admin');
      printUser(await changeUser(email, changes), json);
    });
  addStatusCommand(users, 'deactivate', 'INACTIVE', 'Deactivate a user: its keys stop working at once');
  addStatusCommand(users, 'activate', 'ACTIVE', 'Activate a user again, and with it the keys');
}

/** The newest users that match. A search may return a short page, and is then continued. */
async function newestUsers(
  users: UsersService,
  filter: UserFilter,
  limit: number,
): Promise<{ readonly rows: readonly User[]; readonly more: boolean }> {
  const found: User[] = [];
  let after: Cursor | null = null;
  for (;;) {
    const page: Page<User> = await users.list(filter, { limit: limit - found.length, offset: 0, after });
    found.push(...page.rows);
    if (!page.resumeAfter || found.length === limit) return { rows: found, more: page.more };
    after = page.resumeAfter;
  }
}

function addStatusCommand(users: Command, name: string, status: UserStatus, description: string): void {
  users
    .command(name)
    .description(`${description}; safe to repeat`)
    .requiredOption('--email <address>', "the user's e-mail address")
    .option('--json', 'print the user as JSON')
    .action(async ({ email, json }: { email: string; json?: true }) => {
      printUser(await changeUser(email, { status }), json);
    });
}

const changeUser = (email: string, changes: UserChanges): Promise<User> =>
  withApp(async (app) => {
    const { id } = await userByEmail(app, email);
    return app.get(UsersService).change(id, changes, { by: COMMAND_LINE });
  });

function printUser(user: User, json?: true): void {
  if (json) print(AdminUserResponse.from(user));
  else printUsers([user]);
}

function printUsers(users: readonly User[], json?: true): void {
  if (json) print(users.map((user) => AdminUserResponse.from(user)));
  else {
    printTable(
      ['ID', 'E-MAIL', 'NAME', 'STATUS', 'ADMIN', 'CREDITS', 'RATE LIMIT', 'CREATED'],
      users.map(({ id, email, name, status, isAdmin, creditsBalance, rateLimitPerMinute, createdAt }) => [
        ...[id, email, name, status, isAdmin ? 'yes' : 'no'],
        ...[String(creditsBalance), String(rateLimitPerMinute ?? 'none'), createdAt.toISOString()],
      ]),
    );
  }
}

import { Command, InvalidArgumentError } from 'commander';
import { ApiKeysService } from '../api-keys/api-keys.service.js';
import { generateApiKey } from '../common/api-key-format.js';
import { daysFromNow, DEFAULT_KEY_DAYS, OnboardingService } from '../onboarding/onboarding.service.js';
import { UserResponse } from '../users/dto/user.response.js';
import { UserNotFoundError } from '../users/users.errors.js';
import { UsersService } from '../users/users.service.js';
import { print, printKey, table } from './output.js';
import { withApp } from './with-app.js';

/** The longest an operator can let a key live: ten years. */
const MAX_KEY_DAYS = 3650;
const MAX_LISTED = 10_000;

interface Json {
  readonly json?: true;
}

/** `users-api`: the operator's commands. Answers go to stdout, all else to stderr; a failure ends with a status other than 0. */
export function commandLine(): Command {
  const program = new Command('users-api')
    .description('Look after the users and API keys of a Users API database')
    .exitOverride()
    .showHelpAfterError('(--help tells how)');
  addUserCommands(program.command('users').description('Users'));
  addKeyCommands(program.command('keys').description('API keys'));
  return program;
}

function addUserCommands(users: Command): void {
  users
    .command('create')
    .description('Add a user together with a first API key, which is shown once')
    .requiredOption('--email <address>', 'e-mail address, unique without regard to case')
    .requiredOption('--name <name>', 'display name')
    .option('--admin', 'make the user an administrator')
    .option('--expires-in-days <days>', 'days until the key expires', integer(1, MAX_KEY_DAYS), DEFAULT_KEY_DAYS)
    .option('--json', 'print { "user", "api_key" } instead of text')
    .action(async (options: Json & { email: string; name: string; admin?: true; expiresInDays: number }) => {
      const { email, name, admin = false, expiresInDays: days } = options;
      const made = await withApp((app) =>
        app.get(OnboardingService).createUserWithKey({ email, name, isAdmin: admin }, { days }),
      );
      const user = UserResponse.from(made.user);
      if (options.json) print({ user, api_key: made.secret });
      else printKey(`User ${user.id} <${user.email}> was made.`, made.secret);
    });
  users
    .command('list')
    .description('List users, the newest first')
    .option('--limit <count>', 'how many at most', integer(1, MAX_LISTED), 100)
    .option('--json', 'print an array of users instead of a table')
    .action(async (options: Json & { limit: number }) => {
      const rows = (await withApp((app) => app.get(UsersService).listNewest(options.limit))).map((user) =>
        UserResponse.from(user),
      );
      if (options.json) print(rows);
      else table(rows);
    });
}

function addKeyCommands(keys: Command): void {
  keys
    .command('create')
    .description('Add an API key to a user; it is shown once')
    .requiredOption('--email <address>', "the user's e-mail address")
    .requiredOption('--name <name>', "1 to 255 lower-case letters, digits and hyphens, unique among the user's keys")
    .option('--expires-in-days <days>', 'days until the key expires', integer(1, MAX_KEY_DAYS), DEFAULT_KEY_DAYS)
    .option('--json', 'print { "api_key" } instead of text')
    .action(async (options: Json & { email: string; name: string; expiresInDays: number }) => {
      const { email, name, expiresInDays } = options;
      const secret = await withApp(async (app) => {
        const user = await app.get(UsersService).findByEmail(email);
        if (!user) throw new UserNotFoundError({ email });
        return app.get(ApiKeysService).create({ userId: user.id, name, expiresAt: daysFromNow(expiresInDays) });
      });
      if (options.json) print({ api_key: secret });
      else printKey(`The API key ${name} of <${email}> was made.`, secret);
    });
  keys
    .command('generate')
    .description('Print a key that is stored nowhere, for BOOTSTRAP_ADMIN_KEY; needs no database')
    .action(() => {
      process.stdout.write(`${generateApiKey()}\n`);
    });
}

const integer = (from: number, to: number) => (text: string) => {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < from || value > to) {
    throw new InvalidArgumentError(`It must be an integer from ${String(from)} to ${String(to)}.`);
  }
  return value;
};

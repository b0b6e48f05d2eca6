import type { Command } from 'commander';
import type { KeyView } from '../api-keys/api-keys.repository.js';
import { ApiKeysService, MAX_OVERLAP_SECONDS } from '../api-keys/api-keys.service.js';
import { ApiKeyResponse } from '../api-keys/dto/api-key.response.js';
import { COMMAND_LINE } from '../common/audit/actor.js';
import { daysFromNow, DEFAULT_KEY_DAYS, MAX_KEY_DAYS } from '../onboarding/onboarding.service.js';
import { integer } from './integer.js';
import { MAX_LISTED, print, printSecret, printTable } from './output.js';
import { userByEmail } from './user-commands.js';
import { withApp } from './with-app.js';

const EMAIL = ['--email <address>', "the user's e-mail address"] as const;
const NAME = ['--name <name>', 'the name of the key'] as const;
const EXPIRY = [
  '--expires-in-days <days>',
  'days until the key expires',
  integer(1, MAX_KEY_DAYS),
  DEFAULT_KEY_DAYS,
] as const;

interface Options {
  readonly email: string;
  readonly name: string;
  readonly expiresInDays: number;
  readonly overlapSeconds: number;
  readonly json?: true;
}

export function addKeyCommands(keys: Command): void {
  keys
    .command('create')
    .description('Add an API key to a user; it is shown once')
    .requiredOption(...EMAIL)
    .requiredOption('--name <name>', "1 to 255 lower-case letters, digits and hyphens, unique among the user's keys")
    .option(...EXPIRY)
    .option('--json', 'print { "api_key" } instead of text')
    .action(async ({ email, name, expiresInDays, json }: Options) => {
      const { secret, key } = await withApp(async (app) => {
        const { id: userId } = await userByEmail(app, email);
        return app.get(ApiKeysService).create({ userId, name, expiresAt: daysFromNow(expiresInDays) }, COMMAND_LINE);
      });
      if (json) print({ api_key: secret });
      else printSecret(`The API key ${name} of <${email}> was made. ${expiryOf(key)}`, secret);
    });
  keys
    .command('list')
    .description('List the API keys of a user, the newest first')
    .requiredOption(...EMAIL)
    .option('--json', 'print an array of keys instead of a table')
    .action(async ({ email, json }: Options) => {
      const { rows } = await withApp(async (app) => {
        const { id } = await userByEmail(app, email);
        return app.get(ApiKeysService).list(id, { limit: MAX_LISTED, offset: 0, after: null });
      });
      printKeys(rows, json);
    });
  keys
    .command('rotate')
    .description('Give an active API key a new secret; it is shown once')
    .requiredOption(...EMAIL)
    .requiredOption(...NAME)
    .option(...EXPIRY)
    .option(
      '--overlap-seconds <seconds>',
      'how long the old secret goes on working',
      integer(0, MAX_OVERLAP_SECONDS),
      0,
    )
    .option('--json', 'print { "api_key" } instead of text')
    .action(async ({ email, name, expiresInDays, overlapSeconds, json }: Options) => {
      const { secret, key } = await withApp(async (app) => {
        const { id } = await userByEmail(app, email);
        const rotation = { expiresAt: daysFromNow(expiresInDays), overlapSeconds };
        return app.get(ApiKeysService).rotate(id, name, rotation, COMMAND_LINE);
      });
      if (json) print({ api_key: secret });
      else printSecret(`The API key ${name} of <${email}> was rotated. ${expiryOf(key)}`, secret);
    });
  keys
    .command('revoke')
    .description('Revoke an API key for good; safe to repeat')
    .requiredOption(...EMAIL)
    .requiredOption(...NAME)
    .option('--json', 'print the key as JSON')
    .action(async ({ email, name, json }: Options) => {
      const key = await withApp(async (app) => {
        const { id } = await userByEmail(app, email);
        return app.get(ApiKeysService).revoke(id, name, COMMAND_LINE);
      });
      if (json) print(ApiKeyResponse.from(key));
      else printKeys([key]);
    });
}

const expiryOf = ({ expiresAt }: KeyView): string => `It expires at ${expiresAt.toISOString()}.`;

function printKeys(keys: readonly KeyView[], json?: true): void {
  if (json) print(keys.map((key) => ApiKeyResponse.from(key)));
  else {
    printTable(
      ['NAME', 'PREFIX', 'STATUS', 'CREATED', 'LAST USED', 'EXPIRES'],
      keys.map(({ name, prefix, status, createdAt, lastUsedAt, expiresAt }) => [
        ...[name, prefix, status, createdAt.toISOString()],
        ...[lastUsedAt?.toISOString() ?? 'never', expiresAt.toISOString()],
      ]),
    );
  }
}

import { type Command, Option } from 'commander';
import { API_KEY_NAME_IN_WORDS, MAX_OVERLAP_SECONDS } from '../api-keys/api-key-rules.js';
import { ApiKeysService, type KeyWithSecret } from '../api-keys/api-keys.service.js';
import { MAX_RATE_LIMIT, MIN_RATE_LIMIT } from '../api-keys/rate-limit-rules.js';
import { COMMAND_LINE } from '../audit-trail/actor.js';
import { daysFromNow, DEFAULT_KEY_DAYS, MAX_KEY_DAYS } from '../onboarding/onboarding.service.js';
import { integer } from './integer.js';
import { MAX_LISTED, print, printSecret, noteMoreRows } from './output.js';
import { printKeys } from './print-keys.js';
import { addRevokeCommand } from './revoke-command.js';
import { userByEmail } from './user-commands.js';
import { withApp } from './with-app.js';

const EMAIL = ['--email <address>', "the user's e-mail address"] as const;
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
  readonly rateLimitPerMinute?: number;
  readonly limit: number;
  readonly json?: true;
  readonly scope?: readonly string[];
  /** False for `--no-scopes`. */
  readonly scopes?: boolean;
}

const collect = (scope: string, before: readonly string[] = []): readonly string[] => [...before, scope];

export function addKeyCommands(keys: Command): void {
  keys
    .command('create')
    .description('Add an API key to a user; it is shown once')
    .requiredOption(...EMAIL)
    .requiredOption('--name <name>', `${API_KEY_NAME_IN_WORDS}; unique among the user's keys`)
    .option(...EXPIRY)
    .option('--scope <scope>', 'what the key may do; repeatable. Without it, everything that its owner may do', collect)
    .addOption(
      new Option(
        '--no-scopes',
        'no scope: the key can be verified, can read and revoke itself, and nothing else',
      ).conflicts('scope'),
    )
    .option(
      '--rate-limit-per-minute <requests>',
      'requests a minute of the key, 0 for no limit of its own; without it, the default',
      integer(MIN_RATE_LIMIT.key, MAX_RATE_LIMIT),
    )
    .option('--json', 'print { "api_key", "api_key_expires_at" } instead of text')
    .action(async ({ email, name, expiresInDays, rateLimitPerMinute, json, scope, scopes: hasScopes }: Options) => {
      const scopes = hasScopes === false ? [] : (scope ?? null);
      const created = await withApp(async (app) => {
        const { id: userId } = await userByEmail(app, email);
        const request = { userId, name, expiresAt: daysFromNow(expiresInDays), scopes, rateLimitPerMinute };
        return app.get(ApiKeysService).create(request, { by: COMMAND_LINE });
      });
      printKeyWithSecret(`The API key ${name} of <${email}> was created.`, created, json);
    });
  keys
    .command('list')
    .description('List the API keys of a user, the newest first')
    .requiredOption(...EMAIL)
    .option('--limit <count>', 'the maximum number of rows', integer(1, MAX_LISTED), MAX_LISTED)
    .option('--json', 'print an array of keys instead of a table')
    .action(async ({ email, limit, json }: Options) => {
      const { rows, more } = await withApp(async (app) => {
        const { id } = await userByEmail(app, email);
        return app.get(ApiKeysService).list(id, { limit, offset: 0, after: null });
      });
      printKeys(rows, json);
      if (more) noteMoreRows(limit);
    });
  keys
    .command('rotate')
    .description('Give an active API key a new secret; it is shown once')
    .requiredOption(...EMAIL)
    .requiredOption('--name <name>', 'the name of the key')
    .option(...EXPIRY)
    .option('--overlap-seconds <seconds>', 'how long the old secret remains valid', integer(0, MAX_OVERLAP_SECONDS), 0)
    .option('--json', 'print { "api_key", "api_key_expires_at" } instead of text')
    .action(async ({ email, name, expiresInDays, overlapSeconds, json }: Options) => {
      const rotated = await withApp(async (app) => {
        const { id } = await userByEmail(app, email);
        const rotation = { expiresAt: daysFromNow(expiresInDays), overlapSeconds };
        return app.get(ApiKeysService).rotate(id, name, rotation, { by: COMMAND_LINE });
      });
      printKeyWithSecret(`The API key ${name} of <${email}> was rotated.`, rotated, json);
    });
  addRevokeCommand(keys);
}

function printKeyWithSecret(sentence: string, { key: { expiresAt }, secret }: KeyWithSecret, json?: true): void {
  if (json) print({ api_key: secret, api_key_expires_at: expiresAt.toISOString() });
  else printSecret(sentence, secret, expiresAt);
}

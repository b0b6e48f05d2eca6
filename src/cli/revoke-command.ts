import type { Command } from 'commander';
import { MalformedApiKeyError, UnknownSecretError } from '../api-keys/api-keys.errors.js';
import { ApiKeysService } from '../api-keys/api-keys.service.js';
import type { ApiKeyStatus } from '../api-keys/key-view.js';
import { LeakedSecretsService } from '../api-keys/leaked-secrets.service.js';
import { ApiKeyResponse } from '../api-keys/dto/api-key.response.js';
import { COMMAND_LINE } from '../audit-trail/actor.js';
import { UsersService } from '../users/users.service.js';
import { print, printLine } from './output.js';
import { printKeys } from './print-keys.js';
import { readSecret } from './read-secret.js';
import { userByEmail } from './user-commands.js';
import { withApp } from './with-app.js';

interface Options {
  readonly email?: string;
  readonly name?: string;
  readonly key?: string;
  readonly json?: true;
}

export function addRevokeCommand(keys: Command): void {
  keys
    .command('revoke')
    .description('Revoke an API key for good, by its name or by a leaked secret; safe to repeat')
    .option('--email <address>', "the user's e-mail address, with --name")
    .option('--name <name>', 'the name of the key, with --email')
    .option('--key <->', 'read the leaked key itself from standard input, instead of --email and --name')
    .option('--json', 'print the key as JSON')
    .action(async ({ email, name, key, json }: Options) => {
      if (key !== undefined) await revokeLeaked(key, email !== undefined || name !== undefined, json);
      else if (email !== undefined && name !== undefined) await revokeNamed(email, name, json);
      else throw new Error('Name the key with --email and --name, or give it on standard input with --key -');
    });
}

async function revokeNamed(email: string, name: string, json?: true): Promise<void> {
  const key = await withApp(async (app) => {
    const { id } = await userByEmail(app, email);
    return app.get(ApiKeysService).revoke(id, name, { by: COMMAND_LINE });
  });
  if (json) print(ApiKeyResponse.from(key));
  else printKeys([key]);
}

async function revokeLeaked(source: string, isAlsoNamed: boolean, json?: true): Promise<void> {
  if (source !== '-')
    throw new Error(
      '--key takes only "-", for standard input: other processes and the history of the shell can read arguments',
    );
  if (isAlsoNamed) throw new Error('--key - takes neither --email nor --name: the secret alone identifies the key');
  const secret = await readSecret('Paste the leaked key and press Enter; it is not shown:');
  const { key, user, outcome } = await withApp(async (app) => {
    const [leaked] = await app.get(LeakedSecretsService).revoke([secret], { by: COMMAND_LINE });
    const { outcome, prefix = null, userId = null, name = null } = leaked ?? {};
    if (prefix === null) throw new MalformedApiKeyError();
    if (userId === null || name === null) throw new UnknownSecretError();
    return {
      key: await app.get(ApiKeysService).getByName(userId, name),
      user: await app.get(UsersService).getById(userId),
      outcome,
    };
  });
  const before = outcome === 'revoked' ? 'ACTIVE' : key.status === 'ACTIVE' ? 'SUPERSEDED' : key.status;
  if (json) print({ ...ApiKeyResponse.from(key), user_id: user.id, email: user.email, status_before: before });
  else {
    printLine(`${outcomeOf(key.name, before)} It belongs to <${user.email}>.`);
    printKeys([key]);
  }
}

/**
 * @param before the state of the secret before the command; SUPERSEDED if its key is ACTIVE but has
 *   a new secret
 */
function outcomeOf(name: string, before: ApiKeyStatus | 'SUPERSEDED'): string {
  switch (before) {
    case 'ACTIVE':
      return `The API key ${name} was revoked.`;
    case 'EXPIRED':
      return `The API key ${name} had expired already.`;
    case 'REVOKED':
      return `The API key ${name} had been revoked already.`;
    case 'SUPERSEDED':
      return `This secret of the API key ${name} no longer works, since a rotation has replaced it; the key was not changed.`;
  }
}

import { type Command, Option } from 'commander';
import { AuditEventsService } from '../audit/audit-events.service.js';
import { AuditEventResponse } from '../audit/dto/audit-event.response.js';
import { AUDIT_ACTIONS, type AuditAction } from '../audit-trail/with-audit.js';
import { integer } from './integer.js';
import { MAX_LISTED, noteMoreRows, print, printTable } from './output.js';
import { userByEmail } from './user-commands.js';
import { withApp } from './with-app.js';

interface Options {
  readonly email?: string;
  readonly userId?: string;
  readonly action?: AuditAction;
  readonly excludeAction?: AuditAction;
  readonly actorUserId?: string;
  readonly actorKeyId?: string;
  readonly apiKeyId?: string;
  readonly requestId?: string;
  readonly startDate?: string;
  readonly endDate?: string;
  readonly limit: number;
  readonly json?: true;
}

export function addAuditCommands(audit: Command): void {
  audit
    .command('list')
    .description('List changes of users and API keys, the newest first: who changed what, when and by which request')
    .addOption(new Option('--email <address>', 'only changes of the user with this e-mail address, and of its keys'))
    .addOption(new Option('--user-id <id>', 'only changes of this user and of its keys').conflicts('email'))
    .addOption(new Option('--action <action>', 'only changes of this kind').choices(AUDIT_ACTIONS))
    .addOption(
      new Option(
        '--exclude-action <action>',
        'all changes except those of this kind, such as the users of imports',
      ).choices(AUDIT_ACTIONS),
    )
    .option('--actor-user-id <id>', 'only changes that this user made, with any key')
    .option('--actor-key-id <id>', 'only changes that requests with this key made')
    .option('--api-key-id <id>', 'only changes of this key')
    .option('--request-id <id>', 'only changes by the request with this X-Request-Id')
    .option('--start-date <date>', 'the first day, in UTC, such as 2026-01-31')
    .option('--end-date <date>', 'the last day, in UTC')
    .option('--limit <count>', 'the maximum number of rows', integer(1, MAX_LISTED), 100)
    .option('--json', 'print an array of events instead of a table')
    .action(async ({ email, limit, json, ...filter }: Options) => {
      const { rows, more } = await withApp(async (app) => {
        const userId = email === undefined ? filter.userId : (await userByEmail(app, email)).id;
        const events = app.get(AuditEventsService, { strict: false });
        return events.list({ ...filter, userId }, { limit, offset: 0, after: null });
      });
      const events = rows.map((event) => AuditEventResponse.from(event));
      if (json) print(events);
      else printEvents(events);
      if (more) noteMoreRows(limit);
    });
}

function printEvents(events: readonly AuditEventResponse[]): void {
  printTable(
    ['CREATED', 'ACTION', 'USER', 'KEY', 'ACTOR', 'REQUEST', 'CHANGES'],
    events.map((event) => [
      ...[event.created_at, event.action, event.user_id ?? '', event.api_key_id ?? ''],
      ...[actorOf(event), event.request_id ?? '', JSON.stringify(event.changes)],
    ]),
  );
}

/** The type of the actor, with the account, or the user and the key, if known. */
const actorOf = ({ actor, actor_account, actor_user_id, actor_key_id }: AuditEventResponse): string =>
  [actor, actor_account, actor_user_id, actor_key_id].filter((part) => part !== null).join(' ');

import type { Command } from 'commander';
import { COMMAND_LINE } from '../audit-trail/actor.js';
import { PersonalDataService } from '../personal-data/personal-data.service.js';
import { AdminUserResponse } from '../users/dto/user.response.js';
import { UsersService } from '../users/users.service.js';
import { confirm } from './confirm.js';
import { print, printLine, writeAll } from './output.js';
import { userByEmail } from './user-commands.js';
import { visible } from './visible.js';
import { withApp } from './with-app.js';

export function addPersonalDataCommands(users: Command): void {
  users
    .command('export')
    .description('Print everything that is stored about a user, as one JSON document (docs/user-export.schema.json)')
    .requiredOption('--email <address>', "the user's e-mail address")
    .action(async ({ email }: { email: string }) => {
      await withApp(async (app) => {
        const { id } = await userByEmail(app, email);
        await writeAll(app.get(PersonalDataService, { strict: false }).export(id));
      });
    });
  users
    .command('erase')
    .description(
      'Erase a user for good, as the owner of the tables: its keys stop working, and placeholders replace name, address and names of keys, also in the audit trail. The ledger stays. Safe to repeat',
    )
    .requiredOption('--email <address>', "the user's e-mail address")
    .option('--yes', 'do not ask for confirmation')
    .option('--json', 'print { "user", "erased" } instead of text')
    .action(async ({ email, yes, json }: { email: string; yes?: true; json?: true }) => {
      const { user, erased } = await withApp(async (app) => {
        const { id, email: stored } = await userByEmail(app, email);
        if (!yes) await confirm(`The user ${id} <${visible(stored)}> will be erased for good.`);
        const isErased = await app.get(PersonalDataService, { strict: false }).erase(id, COMMAND_LINE);
        return { user: await app.get(UsersService).getById(id), erased: isErased };
      });
      if (json) print({ user: AdminUserResponse.from(user), erased });
      else
        printLine(
          erased
            ? `User ${user.id} was erased. The address in its place is ${user.email}.`
            : `User ${user.id} had been erased already: nothing was changed.`,
        );
    });
}

import { execFile, execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { useTestApp } from './support/app.js';
import { administer, createDatabase, type TestDatabase } from './support/database.js';
import { temporaryDirectory } from './support/processes.js';
import { DataSource } from 'typeorm';

const run = promisify(execFile);

/** The blocks of shell commands of the page, by their first word or, for ours, their command. */
const blocks = [...readFileSync('docs/operations.md', 'utf8').matchAll(/```sh\n([^`]+)```/g)].map(
  ([, text = '']) => text,
);
const block = (beginning: string): string => {
  const found = blocks.filter((text) => text.startsWith(beginning));
  if (found.length !== 1) throw new Error(`${String(found.length)} blocks begin with ${beginning}`);
  return found[0] ?? '';
};

const CONSOLE_KEY = 'npm run cli -- keys create --email admin@example.com --name console';
const RECOVERY = 'npm run cli -- keys create --email admin@example.com --name recovery';

/**
 * A dump needs programs of the server's version or of a newer one; only a machine with PostgreSQL
 * has them.
 */
async function canDump(): Promise<boolean> {
  const [{ server }] = (await administer(`SELECT current_setting('server_version_num')::int / 10000 AS server`)) as [
    { server: number },
  ];
  try {
    return Number(/ (\d+)/.exec(execFileSync('pg_dump', ['--version'], { encoding: 'utf8' }))?.[1]) >= server;
  } catch {
    return false;
  }
}

const hasDump = await canDump();
if (!hasDump) console.warn('No pg_dump of the version of the server is here: the backup is not tested on it.');
const itWithDump = hasDump ? it : it.skip;

describe('docs/operations.md', () => {
  const app = useTestApp();
  const url = (): string => {
    const { options } = app.nest.get(DataSource);
    return (options as { url: string }).url;
  };
  const shell = async (text: string, env: NodeJS.ProcessEnv = {}): Promise<string> => {
    const { PATH, HOME } = process.env;
    const { stdout } = await run('sh', ['-ec', text], { env: { PATH, HOME, DATABASE_URL: url(), ...env } });
    return stdout;
  };

  const of = (email: string, commands: string): string =>
    commands.replace(/--email \S+/, `--email ${email}`).replace('npm run cli', 'npm run --silent cli');
  const keyIn = (text: string): string => /ua_[0-9A-Za-z]{49}/.exec(text)?.[0] ?? '';

  itWithDump('backs up and restores what the ledger proves to be whole', async () => {
    const ada = await app.given.user();
    const restored: TestDatabase = await createDatabase('empty');
    const { path: directory } = await temporaryDirectory();
    try {
      const commands = block('pg_dump').replaceAll('users-api.dump', join(directory, 'users-api.dump'));
      await shell(commands, { DATABASE_URL: url(), RESTORED_URL: restored.directUrl });
      const sql =
        'SELECT (SELECT count(*)::int FROM users WHERE id = $1) AS users, (SELECT count(*)::int FROM audit_events) AS events';
      const source = new DataSource({ type: 'postgres', url: restored.directUrl });
      await source.initialize();
      const there = await source.query<unknown>(sql, [ada.id]);
      await expect(source.query('DELETE FROM audit_events')).rejects.toThrow('append-only');
      await source.destroy();

      expect(there).toEqual(await app.rows(sql, [ada.id]));
      expect(there).toEqual([expect.objectContaining({ users: 1 })]);
    } finally {
      await restored.drop();
    }
  });

  it('rotates and revokes a key, and makes a new one for the administrator', async () => {
    const email = `${randomUUID()}@example.com`;
    const ada = await app.given.user({ email, isAdmin: true });
    const ofAda = (beginning: string): string => of(email, block(beginning));
    const status = async (key: string): Promise<number> => (await app.as({ ...ada, key }).get('/v1/users/me')).status;

    const rotated = keyIn(await shell(ofAda('npm run cli -- keys rotate')));
    expect([await status(ada.key), await status(rotated)]).toEqual([200, 200]);
    await shell(ofAda('npm run cli -- keys revoke --email'));
    expect([await status(ada.key), await status(rotated)]).toEqual([401, 401]);
    const recovered = keyIn(await shell(ofAda(RECOVERY)));
    expect(await status(recovered)).toBe(200);
    const directory = mkdtempSync(join(tmpdir(), 'users-api-leak-'));
    const leak = join(directory, 'leaked-key.txt');
    writeFileSync(leak, `${recovered}\n`);
    await shell(ofAda('npm run cli -- keys revoke --key').replace('leaked-key.txt', leak));
    rmSync(directory, { recursive: true });
    expect(await status(recovered)).toBe(401);
  });

  it('makes the key for the page at /console, with the scopes that the table explains', async () => {
    const email = `${randomUUID()}@example.com`;
    const ada = await app.given.user({ email, isAdmin: true });
    const [, section = ''] = readFileSync('docs/operations.md', 'utf8').split('\n## The page for operators\n');
    const explained = [...(section.split('\n## ')[0] ?? '').matchAll(/^\| `(ua:\S+)`/gm)].map(([, scope]) => scope);

    const key = keyIn(await shell(of(email, block(CONSOLE_KEY))));

    const { body } = await app.as({ ...ada, key }).get('/v1/api-keys/current');
    expect(body).toMatchObject({ name: 'console', scopes: explained.sort() });
  });
});

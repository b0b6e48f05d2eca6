import { execFile } from 'node:child_process';
import { chmod, chown, mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Account, Programs } from './support/server-process.js';

/** An ordinary account that every system has. It must be able to read this checkout. */
const NOBODY: Account = { uid: 65_534, gid: 65_534 };

/** Only root can run programs as somebody else. */
if (process.getuid?.() === 0) {
  describe('Root in the checkout of another user, whose home is closed to others', () => {
    let programs: Programs;
    let places: string[];
    beforeEach(async () => {
      programs = await Programs.inEmptyDirectory();
      places = [];
      await chmod(programs.cwd, 0o700);
      await chown(programs.cwd, NOBODY.uid, NOBODY.gid);
    });
    afterEach(async () => {
      await programs.dispose();
      for (const place of places) await rm(place, { recursive: true });
    });

    const as = (account: Account | undefined): Programs => Object.assign(programs, { account });
    const cluster = (): string => join(programs.cwd, '.data/postgres-18');
    const create = async (email: string, env: NodeJS.ProcessEnv = {}): Promise<void> => {
      const { code, stderr } = await programs.cli(['users', 'create', '--email', email, '--name', 'Ada'], env);
      expect({ code, stderr }).toMatchObject({ code: 0 });
    };
    const emails = async (env: NodeJS.ProcessEnv = {}): Promise<string[]> => {
      const { stdout, stderr } = await programs.cli(['users', 'list', '--json'], env);
      expect(stderr).not.toContain('/var/lib');
      return stdout.match(/[a-z]+@example\.com/g) ?? [];
    };

    it('works on the database of the server that the user runs', async () => {
      const server = await as(NOBODY).startServer();

      await as(undefined).cli(['users', 'create', '--email', 'ada@example.com', '--name', 'Ada', '--admin']);
      const { stdout } = await as(undefined).cli(['keys', 'create', '--email', 'ada@example.com', '--name', 'x']);
      const [key = ''] = /ua_[0-9A-Za-z]{49}/.exec(stdout) ?? [];
      const response = await fetch(`${server.url}/v1/users/me`, { headers: { 'x-api-key': key } });

      expect(response.status).toBe(200);
      expect(await emails()).toEqual(['ada@example.com', 'admin@example.com']);
    });

    it('starts the server as the user, who can start it again', async () => {
      const env = { DATA_DIR: 'data' };
      as(NOBODY);
      await create('ada@example.com', env);
      await rm(join(programs.cwd, 'data/postgres-18/server.log'));

      as(undefined);
      await create('bob@example.com', env);
      const log = await stat(join(programs.cwd, 'data/postgres-18/server.log'));
      as(NOBODY);

      expect(log.uid).toBe(NOBODY.uid);
      expect(await emails(env)).toEqual(['bob@example.com', 'ada@example.com']);
    });

    it('makes a first database that belongs to the user', async () => {
      await create('ada@example.com');

      as(NOBODY);

      expect((await stat(cluster())).uid).toBe(NOBODY.uid);
      expect(await emails()).toEqual(['ada@example.com']);
    });

    it('works on the database of an account without a name, as files from outside a container have', async () => {
      const nameless = { uid: 54_321, gid: 54_321 };
      as(NOBODY);
      await create('ada@example.com');
      await promisify(execFile)('chown', ['-R', '54321:54321', programs.cwd]);

      as(undefined);

      expect(await emails()).toEqual(['ada@example.com']);
      as(nameless);
      expect(await emails()).toEqual(['ada@example.com']);
    });

    it('refuses a cluster that belongs to root, and one that belongs to another user', async () => {
      as(NOBODY);
      await create('ada@example.com');

      await chown(cluster(), 0, 0);
      const ofRoot = await as(undefined).cli(['users', 'list']);
      await chown(cluster(), 1, 1);
      const ofAnother = await as(NOBODY).cli(['users', 'list']);

      expect([ofRoot.code, ofAnother.code]).toEqual([1, 1]);
      expect(ofRoot.stderr).toMatch(
        /The data directory cannot be .*\.data: .*postgres-18 belongs to root, as which PostgreSQL does not run/,
      );
      expect(ofAnother.stderr).toMatch(/postgres-18 belongs to another user \(1\)/);
    });

    it('refuses a data directory that cannot be read', async () => {
      await mkdir(join(programs.cwd, '.data'), { mode: 0o700 });

      const { code, stderr } = await as(NOBODY).cli(['users', 'list']);

      expect(code).toBe(1);
      expect(stderr).toMatch(/The data directory cannot be .*\.data: EACCES: permission denied/);
    });

    it('keeps to a database below /var/lib that earlier starts have filled, until there is one in .data', async () => {
      await chown(programs.cwd, 0, 0);
      const first = await as(undefined).cli(['users', 'create', '--email', 'ada@example.com', '--name', 'Ada']);
      const [place = ''] = /\/var\/lib\/users-api\/users-api-test-[^ ,\n]+/.exec(first.stderr) ?? [];
      places.push(place);

      // The account "postgres" can enter the directory now, and its owner is another one: neither
      // counts.
      await chmod(programs.cwd, 0o755);
      await chown(programs.cwd, NOBODY.uid, NOBODY.gid);
      const second = await programs.cli(['users', 'list', '--json']);
      const refused = await as(NOBODY).cli(['users', 'list']);
      const chosen = await programs.cli(['users', 'list', '--json'], { DATA_DIR: '.data' });
      const third = await as(undefined).cli(['users', 'list', '--json']);

      expect(second.stdout).toContain('ada@example.com');
      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain(`an earlier start as root put the data in ${place}`);
      expect(chosen).toMatchObject({ code: 0, stdout: '[]\n' });
      expect(third.stdout).not.toContain('ada@example.com');
      expect(third.stderr).toContain(`An earlier start as root left another database in ${place}`);
    });
  });
}

import { DataSource } from 'typeorm';
import { generateApiKey } from '../src/common/api-key-format.js';
import { ApiKeysService } from '../src/api-keys/api-keys.service.js';
import { LeakedSecretsService } from '../src/api-keys/leaked-secrets.service.js';
import { FIRST_KEY_NAME } from '../src/onboarding/onboarding.service.js';
import { useTestApp } from './support/app.js';
import type { GivenUser } from './support/given.js';
import { type Ended, Programs } from './support/server-process.js';

const EXPIRES = new Date('2999-01-01T00:00:00Z');

describe('A leaked key', () => {
  const app = useTestApp();
  const keys = (): ApiKeysService => app.nest.get(ApiKeysService);
  const statusWith = async (secret: string): Promise<number> =>
    (await app.anyone().get('/v1/users/me').set('x-api-key', secret)).status;
  const rotate = async (user: GivenUser, overlapSeconds: number): Promise<string> =>
    (await keys().rotate(user.id, FIRST_KEY_NAME, { expiresAt: EXPIRES, overlapSeconds })).secret;
  const events = (user: GivenUser): Promise<unknown[]> =>
    app.rows(`SELECT actor, changes FROM audit_events WHERE user_id = $1 AND action = 'api_key.revoked'`, [user.id]);
  const REVOKED = { revoked_at: { after: expect.any(String) } };

  describe('LeakedSecretsService.revoke', () => {
    const revoke = async (secret: string): Promise<string | undefined> =>
      (await app.nest.get(LeakedSecretsService).revoke([secret]))[0]?.outcome;

    it('revokes the key alone, whoever owns it, and once however often it is repeated', async () => {
      const ada = await app.given.user();
      const bob = await app.given.user();

      expect([await revoke(ada.key), await revoke(ada.key)]).toEqual(['revoked', 'already_ended']);

      expect(await events(ada)).toEqual([{ actor: 'APPLICATION', changes: REVOKED }]);
      expect([await statusWith(ada.key), await statusWith(bob.key)]).toEqual([401, 200]);
    });

    it('leaves an expired key as it is', async () => {
      const ada = await app.given.user();
      await app.given.sql(`UPDATE api_keys SET expires_at = statement_timestamp() WHERE user_id = $1`, [ada.id]);

      expect(await revoke(ada.key)).toBe('already_ended');

      expect(await keys().getByName(ada.id, FIRST_KEY_NAME)).toMatchObject({ status: 'EXPIRED' });
      expect(await events(ada)).toEqual([]);
    });

    it('tells that a secret was replaced without overlap, and leaves the key alone', async () => {
      const ada = await app.given.user();
      const next = await rotate(ada, 0);

      expect(await revoke(ada.key)).toBe('already_ended');

      expect(await statusWith(next)).toBe(200);
    });

    it('asks no database for texts that are no secrets', async () => {
      const statements = await app.statementsDuring(async () => {
        for (const text of ['', 'secret', `${generateApiKey()}x`, generateApiKey().replace(/.$/, '!')])
          expect(await revoke(text)).toBe('unknown');
      });

      expect(statements).toBe(0);
    });
  });

  describe('POST /v1/leaked-keys', () => {
    const report = async (...leaked: string[]) => {
      const admin = await app.given.user({ isAdmin: true });
      return (await app.as(admin).post('/v1/leaked-keys').send({ keys: leaked }).expect(200)).body as {
        results: { outcome: string; prefix: string | null; user_id: string | null; api_key_name: string | null }[];
      };
    };

    it('200 answers in the order given: revoked, already ended, unknown, and is safe to repeat', async () => {
      const [ada, bob, eve] = [await app.given.user(), await app.given.user(), await app.given.user()];
      await keys().revoke(bob.id, FIRST_KEY_NAME);
      const unknown = generateApiKey();
      const leaked = [unknown, bob.key, 'no secret', ada.key];
      const of = (user: GivenUser) => ({
        prefix: user.key.slice(0, 8),
        user_id: user.id,
        api_key_name: FIRST_KEY_NAME,
      });
      const ended = { outcome: 'already_ended', ...of(bob) };
      const nothing = { outcome: 'unknown', prefix: null, user_id: null, api_key_name: null };

      const first = await report(...leaked);
      const second = await report(...leaked);

      const unknownOne = { ...nothing, prefix: unknown.slice(0, 8) };
      expect(first.results).toEqual([unknownOne, ended, nothing, { outcome: 'revoked', ...of(ada) }]);
      expect(second.results).toEqual([unknownOne, ended, nothing, { outcome: 'already_ended', ...of(ada) }]);
      expect([await statusWith(ada.key), await statusWith(eve.key)]).toEqual([401, 200]);
      expect(await events(ada)).toEqual([{ actor: 'API_KEY', changes: REVOKED }]);
      const trail = JSON.stringify(await app.rows('SELECT * FROM audit_events'));
      for (const secret of [ada.key, bob.key, unknown]) expect(trail).not.toContain(secret.slice(8));
    });

    it('200 revokes the whole key for a superseded secret in its overlap, and afterwards leaves it alone', async () => {
      const [ada, bob] = [await app.given.user(), await app.given.user()];
      const next = [await rotate(ada, 3600), await rotate(bob, 3600)];
      await app.given.sql(
        `UPDATE superseded_secrets SET expires_at = statement_timestamp()
          WHERE api_key_id IN (SELECT id FROM api_keys WHERE user_id = $1)`,
        [bob.id],
      );

      const { results } = await report(ada.key, bob.key);

      expect(results.map(({ outcome }) => outcome)).toEqual(['revoked', 'already_ended']);
      expect(await Promise.all(next.map(statusWith))).toEqual([401, 200]);
    });

    it('200 is one event where a key is reported twice, also with both of its secrets', async () => {
      const ada = await app.given.user();
      const next = await rotate(ada, 3600);

      const { results } = await report(ada.key, next, ada.key);

      expect(results.map(({ outcome }) => outcome)).toEqual(Array(3).fill('revoked'));
      expect(await events(ada)).toHaveLength(1);
    });

    it.each([
      [{}],
      [{ keys: [] }],
      [{ keys: 'x' }],
      [{ keys: [7] }],
      [{ keys: [null] }],
      [{ keys: Array(101).fill('x') }],
    ])('400 for %j', async (body) => {
      const admin = await app.given.user({ isAdmin: true });

      expect((await app.as(admin).post('/v1/leaked-keys').send(body)).status).toBe(400);
    });
  });

  describe('users-api keys revoke --key', () => {
    let programs: Programs;
    beforeAll(async () => {
      programs = await Programs.inEmptyDirectory();
    });
    afterAll(async () => {
      await programs.dispose();
    });

    const env = (): NodeJS.ProcessEnv => ({
      DATABASE_URL: (app.nest.get(DataSource).options as { url: string }).url,
    });
    /**
     * Gives a secret on standard input, as a text editor may: with a byte order mark and a line
     * break.
     */
    const revoke = (secret: string, ...options: string[]): Promise<Ended> =>
      programs.shell(`printf '\\357\\273\\277%s\\r\\n' "$LEAKED" | $CLI keys revoke --key - ${options.join(' ')}`, {
        ...env(),
        LEAKED: secret,
      });

    it('revokes the key that is on standard input, says whose it was, and is safe to repeat', async () => {
      const ada = await app.given.user({ email: 'ada@example.com' });

      const first = await revoke(ada.key);
      const second = await revoke(ada.key, '--json');

      expect(first).toMatchObject({ code: 0, stderr: '' });
      expect(first.stdout).toMatch(/^The API key first-key was revoked\. It belongs to <ada@example\.com>\.\n/);
      expect(JSON.parse(second.stdout)).toEqual({
        id: expect.any(String),
        created_at: expect.any(String),
        last_used_at: null,
        expires_at: expect.any(String),
        status: 'REVOKED',
        name: FIRST_KEY_NAME,
        prefix: ada.key.slice(0, 8),
        scopes: null,
        rate_limit_per_minute: null,
        user_id: ada.id,
        email: 'ada@example.com',
        status_before: 'REVOKED',
      });
      expect(await statusWith(ada.key)).toBe(401);
      expect(await events(ada)).toEqual([{ actor: 'COMMAND_LINE', changes: REVOKED }]);
      const trail = JSON.stringify(await app.rows('SELECT * FROM audit_events'));
      for (const text of [trail, first.stdout, second.stdout]) expect(text).not.toContain(ada.key.slice(8));
    });

    it('says why a secret did not work any more, and leaves its key as it is', async () => {
      const [ada, bob] = [await app.given.user(), await app.given.user()];
      const next = await rotate(ada, 3600);
      await app.given.sql('UPDATE superseded_secrets SET expires_at = statement_timestamp()');
      await app.given.sql('UPDATE api_keys SET expires_at = statement_timestamp() WHERE user_id = $1', [bob.id]);

      const [superseded, expired] = [await revoke(ada.key, '--json'), await revoke(bob.key)];

      expect(JSON.parse(superseded.stdout)).toMatchObject({ status: 'ACTIVE', status_before: 'SUPERSEDED' });
      expect(expired.stdout).toMatch(/^The API key first-key had expired already\. It belongs to </);
      expect(await statusWith(next)).toBe(200);
      expect([await events(ada), await events(bob)]).toEqual([[], []]);
    });

    it('fails for a secret of no key, and for what is none, without repeating it', async () => {
      const unknown = generateApiKey();
      const malformed = `${unknown.slice(0, -1)}!`;

      const results = [
        await revoke(unknown),
        await revoke(malformed),
        await revoke('x'.repeat(100_000)),
        await revoke(''),
      ];

      expect(results.map(({ code, stdout }) => [code, stdout])).toEqual(results.map(() => [1, '']));
      const shape = 'users-api: The secret does not have the shape and checksum of an API key\n';
      expect(results.map(({ stderr }) => stderr)).toEqual([
        'users-api: No API key has this secret. A rotation may have replaced it, and then it works no longer\n',
        ...[shape, shape, shape],
      ]);
    });

    it('refuses a key among its arguments, with the reason and without repeating it', async () => {
      const { key } = await app.given.user();

      for (const words of [['--key', key], [`--key=${key}`], ['--key', '-', key], ['--key', key, '--limit', key]]) {
        const { code, stdout, stderr } = await programs.cli(['keys', 'revoke', ...words], env());

        expect([code, stdout]).toEqual([1, '']);
        expect(stderr).not.toContain(key.slice(8));
      }
      const { stderr } = await programs.cli(['keys', 'revoke', '--key', key], env());
      expect(stderr).toMatch(/^users-api: --key takes only "-", for standard input: other processes .* can read arg/);
      expect(await statusWith(key)).toBe(200);
    });

    it('asks at a terminal, and shows nothing of what is typed', async () => {
      const { key } = await app.given.user();

      const program = programs.startInTerminal(['keys', 'revoke', '--key', '-'], env());
      await program.says(/not shown:\r\n/);
      program.type(`${key}\r`);
      const { code, stdout } = await program.end();

      expect(code).toBe(0);
      expect(stdout).toContain('The API key first-key was revoked.');
      expect(stdout).not.toContain(key.slice(8));
    });

    it('ends at a Ctrl-C when it asks, and revokes nothing', async () => {
      const program = programs.startInTerminal(['keys', 'revoke', '--key', '-'], env());
      await program.says(/not shown:\r\n/);
      program.type('\x03');

      expect(await program.end()).toMatchObject({ code: 130, stdout: expect.not.stringContaining('users-api:') });
    });
  });
});

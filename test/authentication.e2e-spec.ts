import { request as httpRequest } from 'node:http';
import { generateApiKey } from '../src/common/api-key-format.js';
import { digestOf } from '../src/api-keys/api-key.secret.js';
import { useTestApp } from './support/app.js';

const ME = '/v1/users/me';
const REFUSED = { status: 401, message: 'The API key is not valid' };
const MISSING = { status: 401, message: 'An API key is required in the x-api-key header' };

describe('The x-api-key header', () => {
  const app = useTestApp();

  it('401 says so when it is missing, with WWW-Authenticate', async () => {
    const response = await app.anyone().get(ME);

    expect(response.status).toBe(401);
    expect(response.body).toEqual(MISSING);
    expect(response.headers['www-authenticate']).toBe('ApiKey realm="users-api", header="x-api-key"');
  });

  it('401 for a key that was never made, even where a stored key and its user have the id of nobody', async () => {
    const nil = '00000000-0000-0000-0000-000000000000';
    await app.given.sql(`INSERT INTO users (id, name, email) VALUES ($1, 'Nil', 'nil@example.com')`, [nil]);
    await app.given.sql(
      `INSERT INTO api_keys (id, user_id, name, expires_at, prefix, secret_digest)
       VALUES ($1, $1, 'nil', '2999-01-01', 'ua_00000', sha256('nil'))`,
      [nil],
    );

    const response = await app.anyone().get('/v1/users/me').set('x-api-key', generateApiKey());

    expect(response.status).toBe(401);
  });

  it('401 gives one and the same answer to every key that does not work', async () => {
    const revoked = await app.given.user();
    const expired = await app.given.user();
    const inactive = await app.given.user();
    await app.given.sql('UPDATE api_keys SET revoked_at = now() WHERE user_id = $1', [revoked.id]);
    await app.given.sql('UPDATE api_keys SET expires_at = now() WHERE user_id = $1', [expired.id]);
    await app.given.sql(`UPDATE users SET status = 'INACTIVE' WHERE id = $1`, [inactive.id]);
    const { key } = await app.given.user();
    const refused = [
      generateApiKey(),
      revoked.key,
      expired.key,
      inactive.key,
      'malformed',
      key.slice(0, -1),
      `${key}0`,
      key.slice(0, -1) + (key.endsWith('0') ? '1' : '0'), // a typing error
      key.toUpperCase(),
      `Bearer ${key}`,
      `"${key}"`,
      digestOf(key).toString('hex'),
    ];

    const responses = await Promise.all(refused.map((header) => app.anyone().get(ME).set('x-api-key', header)));

    for (const response of responses) {
      expect(response.status).toBe(401);
      expect(response.body).toEqual(REFUSED);
      expect(response.headers['www-authenticate']).toBe('ApiKey realm="users-api", header="x-api-key"');
    }
  });

  it('401 refuses a key that is sent twice, even the same one', async () => {
    const { key } = await app.given.user();

    const status = await new Promise((resolve, reject) => {
      httpRequest({ port: app.port, host: '127.0.0.1', path: ME, headers: { 'x-api-key': [key, key] } }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
        .on('error', reject)
        .end();
    });

    expect(status).toBe(401);
  });

  it('401 refuses a key anywhere but in the header', async () => {
    const { key } = await app.given.user();

    const responses = await Promise.all([
      app.anyone().get(`${ME}?x-api-key=${key}&api_key=${key}`),
      app.anyone().get(ME).set('Authorization', `Bearer ${key}`),
      app.anyone().get(ME).set('Cookie', `x-api-key=${key}`),
      app.anyone().patch(ME).send({ 'x-api-key': key }),
    ]);

    for (const response of responses) expect(response.body).toEqual(MISSING);
  });

  it('401 refuses a made-up key without asking the database', async () => {
    const madeUp = ['ua_', 'x'.repeat(52), `ua_${'A'.repeat(49)}`, generateApiKey().replace(/.$/, '!')];

    const statements = await app.statementsDuring(() =>
      Promise.all(madeUp.map((key) => app.anyone().patch(ME).set('x-api-key', key).send({ name: 'Eve' }))),
    );

    expect(statements).toBe(0);
  });

  it('401 tells a caller without a valid key nothing about its body', async () => {
    const bodies = ['{"name":', '[]', '{"emial":1}', ' '.repeat(20_000)];

    const responses = await Promise.all([
      ...bodies.map((body) => app.anyone().patch(ME).set('Content-Type', 'application/json').send(body)),
      app.anyone().patch(ME).set('Content-Type', 'text/plain').send('hello'),
    ]);

    for (const response of responses) expect(response.body).toEqual(MISSING);
  });

  it('401 refuses a revoked or expired key and an inactive user from the next request on', async () => {
    const changes = [
      'UPDATE api_keys SET revoked_at = now() WHERE user_id = $1',
      'UPDATE api_keys SET expires_at = statement_timestamp() WHERE user_id = $1',
      `UPDATE users SET status = 'INACTIVE' WHERE id = $1`,
    ];

    for (const change of changes) {
      const user = await app.given.user();
      expect((await app.as(user).get(ME)).status).toBe(200);
      await app.given.sql(change, [user.id]);
      expect((await app.as(user).get(ME)).status).toBe(401);
    }
  });

  it('keeps no key at rest, only its digest and the prefix that its owner knows it by', async () => {
    const { key, id } = await app.given.user();

    const [row] = (await app.rows('SELECT * FROM api_keys WHERE user_id = $1', [id])) as [
      { secret_digest: Buffer; prefix: string },
    ];

    expect(row.secret_digest).toEqual(digestOf(key));
    expect(key.startsWith(row.prefix)).toBe(true);
    expect(row.prefix).toHaveLength(8);
    expect(JSON.stringify(row)).not.toContain(key.slice(8, 20));
  });
});

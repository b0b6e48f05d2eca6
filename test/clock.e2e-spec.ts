import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { generateApiKey } from '../src/common/api-key-format.js';
import { administer, createDatabase, type TestDatabase } from './support/database.js';
import { Programs, type RunningServer } from './support/server-process.js';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

interface WireKey {
  readonly secret: string;
  readonly status: string;
}

describe.each([
  ['an hour ahead', HOUR_MS],
  ['an hour behind', -HOUR_MS],
])('On a machine whose clock is %s of the database', (_, shiftMs) => {
  const admin = generateApiKey();
  let programs: Programs;
  let database: TestDatabase;
  let server: RunningServer;
  beforeAll(async () => {
    [programs, database] = await Promise.all([Programs.inEmptyDirectory(), createDatabase()]);
    server = await programs.startServer({
      DATABASE_URL: database.url,
      BOOTSTRAP_ADMIN_KEY: admin,
      NODE_OPTIONS: `--import ${pathToFileURL(resolve('test/support/shifted-clock.js')).href}`,
      CLOCK_SHIFT_MS: String(shiftMs),
    });
  });
  afterAll(async () => {
    await programs.dispose();
    await database.drop();
  });

  const call = (method: string, path: string, body?: object, key = admin): Promise<Response> =>
    fetch(`${server.url}/v1/${path}`, {
      method,
      headers: { 'x-api-key': key, 'content-type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
    });
  /** An instant by the database's clock. */
  const inMinutes = async (minutes: number): Promise<string> => {
    const [row] = await administer<{ instant: Date }>(
      `SELECT now() + interval '${String(minutes)} minutes' AS instant`,
      database.url,
    );
    return row?.instant.toISOString() ?? '';
  };
  const make = async (name: string, minutes: number): Promise<Response> =>
    call('POST', 'api-keys', { name, expires_at: await inMinutes(minutes) });
  const expire = (name: string): Promise<unknown> =>
    administer(`UPDATE api_keys SET expires_at = now() - interval '30 minutes' WHERE name = '${name}'`, database.url);
  const statusOf = async (key: string): Promise<number> => (await call('GET', 'users/me', undefined, key)).status;

  it('the process does read that clock', () => {
    const times = server.output().matchAll(/"time":(?:"([^"]+)"|(\d+))/g);
    const [last] = [...times].slice(-1);

    const offMs = new Date(last?.[1] ?? Number(last?.[2])).getTime() - Date.now();

    expect(Math.round(offMs / HOUR_MS)).toBe(shiftMs / HOUR_MS);
  });

  it('201 makes a key that expires in half an hour, and it works; 400 refuses one that expired half an hour ago', async () => {
    const made = await make('soon', 30);
    const { secret, status } = (await made.json()) as WireKey;
    const refused = await make('past', -30);

    expect([made.status, status, await statusOf(secret)]).toEqual([201, 'ACTIVE', 200]);
    expect([refused.status, await refused.json()]).toEqual([
      400,
      { status: 400, message: 'expires_at must be in the future' },
    ]);
  });

  it('401 for a key that expired half an hour ago, listed as EXPIRED, and 409 for bringing it back', async () => {
    const { secret } = (await (await make('over', 30)).json()) as WireKey;
    const before = await statusOf(secret);

    await expire('over');

    const listed = (await (await call('GET', 'api-keys/over')).json()) as WireKey;
    const prolonged = await call('PATCH', 'api-keys/over', { expires_at: await inMinutes(30) });
    const rotated = await call('POST', 'api-keys/over/rotate', { expires_at: await inMinutes(30) });
    expect([before, await statusOf(secret), listed.status]).toEqual([200, 401, 'EXPIRED']);
    expect([prolonged.status, rotated.status]).toEqual([409, 409]);
  });

  it('moves an expiry to half an hour from now, and not to half an hour ago', async () => {
    await make('moving', 600);

    const moved = await call('PATCH', 'api-keys/moving', { expires_at: await inMinutes(30) });
    const refused = await call('PATCH', 'api-keys/moving', { expires_at: await inMinutes(-30) });

    expect([moved.status, refused.status]).toEqual([200, 400]);
  });

  it('a rotated secret lives for its overlap of half an hour by the clock of the database, and no longer', async () => {
    const { secret: old } = (await (await make('turning', 600)).json()) as WireKey;
    const until = await inMinutes(30);

    await call('POST', 'api-keys/turning/rotate', { expires_at: await inMinutes(600), overlap_seconds: 1800 });

    const during = await call('GET', 'users/me', undefined, old);
    const sunset = Date.parse(during.headers.get('sunset') ?? '');
    await administer(`UPDATE superseded_secrets SET expires_at = now() - interval '1 second'`, database.url);
    expect([during.status, await statusOf(old)]).toEqual([200, 401]);
    expect(Math.abs(sunset - Date.parse(until))).toBeLessThan(MINUTE_MS);
  });
});

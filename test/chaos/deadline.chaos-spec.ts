import { once } from 'node:events';
import { chmod } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { generateApiKey } from '../../src/common/api-key-format.js';
import { openEmbeddedPostgres } from '../../src/embedded-postgres/open-embedded-postgres.js';
import { Administrator } from '../support/administrator.js';
import { Programs } from '../support/server-process.js';

/**
 * Milliseconds that each response of the database takes: within the bounds of one statement, beyond
 * those of a rotation.
 */
const SLOW_MS = 700;
const POOL = 4;
const CLIENTS = 8;
/** Milliseconds between the header and the body. */
const BODIES_AFTER_MS = [0, 300, 1_500];
const RUN_MS = 20_000;
const LIMIT_MS = 3_000;

interface Sample {
  readonly bodyAfterMs: number;
  readonly answer: string;
  /** Milliseconds from the last byte of the request. */
  readonly ms: number;
}

/** A connection to the database on which each response takes some time more. */
async function slowWire(databaseUrl: string): Promise<{ url: string; delay: (ms: number) => void; close: () => void }> {
  const url = new URL(databaseUrl);
  const [port, host] = [Number(url.port), url.hostname];
  let delayMs = 0;
  const server = createServer((client) => {
    const database = connect(port, host);
    client.on('error', () => database.destroy()).pipe(database);
    database.on('error', () => client.destroy());
    database.on('data', (chunk) => setTimeout(() => client.write(chunk), delayMs)).on('close', () => client.destroy());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.href,
    delay: (ms) => {
      delayMs = ms;
    },
    close: () => server.close(),
  };
}

describe(`With a database each of whose responses takes ${String(SLOW_MS)} ms`, () => {
  it('each response comes within 3 s after the last byte of its request, however late the body arrives', async () => {
    const programs = await Programs.inEmptyDirectory();
    await chmod(programs.cwd, 0o755);
    const database = await openEmbeddedPostgres({
      dataDir: `${programs.cwd}/.data`,
      owner: true,
      log: () => undefined,
    });
    const wire = await slowWire(database.url);
    const key = generateApiKey();
    const { url } = await programs.startServer({
      DATABASE_URL: wire.url,
      DATABASE_POOL_SIZE: String(POOL),
      BOOTSTRAP_ADMIN_KEY: key,
      RATE_LIMIT_PER_MINUTE: '0',
    });
    const administrator = new Administrator(url, key);
    const secrets: string[] = [];
    while (secrets.length < CLIENTS)
      secrets.push((await administrator.makeCaller(`caller-${String(secrets.length)}`)).secret);

    const requests = [
      ['PATCH', '/v1/users/me', '{"name":"Changed"}'],
      ['POST', '/v1/api-keys/key/rotate', '{"expires_at":"2100-01-01T00:00:00Z","overlap_seconds":604800}'],
      ['POST', '/v1/api-keys', '{"name":"second-key","expires_at":"2100-01-01T00:00:00Z"}'],
    ] as const;
    const samples: Sample[] = [];
    const send = async (secret: string, n: number): Promise<void> => {
      const [method, path, body] = requests[n % requests.length] ?? requests[0];
      const bodyAfterMs = BODIES_AFTER_MS[Math.floor(n / requests.length) % BODIES_AFTER_MS.length] ?? 0;
      const headers = { 'x-api-key': secret, 'content-type': 'application/json', 'content-length': body.length };
      const sent = request(url + path, { method, headers });
      const response = once(sent, 'response') as Promise<[IncomingMessage]>;
      if (bodyAfterMs > 0) {
        sent.flushHeaders();
        await Promise.race([sleep(bodyAfterMs), response]);
      }
      const lastByte = performance.now();
      sent.end(body);
      const [received] = await response;
      received.resume();
      samples.push({
        bodyAfterMs,
        answer: `${String(received.statusCode)} ${received.headers['retry-after'] ?? ''}`.trim(),
        ms: performance.now() - lastByte,
      });
    };

    await Promise.all(secrets.map((secret, n) => send(secret, n))); // opens the connections of the pool
    samples.length = 0;
    wire.delay(SLOW_MS);
    const end = performance.now() + RUN_MS;
    await Promise.all(
      secrets.map(async (secret, client) => {
        for (let n = client; performance.now() < end; n += 1) await send(secret, n);
      }),
    );
    wire.delay(0);
    await programs.dispose();
    wire.close();
    await database.close();

    const count = (answer: string): number => samples.filter((sample) => sample.answer === answer).length;
    process.stdout.write(
      `${JSON.stringify({
        database_ms: SLOW_MS,
        requests: samples.length,
        answers: Object.fromEntries([...new Set(samples.map(({ answer }) => answer))].map((a) => [a, count(a)])),
        slowest_ms_by_delay_of_the_body: Object.fromEntries(
          BODIES_AFTER_MS.map((after) => [
            after,
            Math.round(Math.max(...samples.filter(({ bodyAfterMs }) => bodyAfterMs === after).map(({ ms }) => ms))),
          ]),
        ),
      })}\n`,
    );

    expect(samples.filter(({ ms }) => ms >= LIMIT_MS)).toEqual([]);
    expect(samples.filter(({ answer }) => !/^(20[01]|409|503 1)$/.test(answer))).toEqual([]);
  });
});

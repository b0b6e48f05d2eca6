import { generateApiKey } from '../src/common/api-key-format.js';
import { Connection } from './support/connection.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import { Programs, type RunningServer } from './support/server-process.js';

const isRefused = async (server: RunningServer): Promise<void> => {
  for (;;) {
    try {
      await fetch(`${server.url}/livez`, { headers: { connection: 'close' } });
    } catch {
      return;
    }
  }
};

describe('A server that is told to stop', () => {
  const key = generateApiKey();
  const body = JSON.stringify({ name: 'Ada Lovelace' });
  const get = `GET /v1/users/me HTTP/1.1\r\nHost: a\r\nx-api-key: ${key}\r\n\r\n`;
  const patch =
    `PATCH /v1/users/me HTTP/1.1\r\nHost: a\r\nx-api-key: ${key}\r\n` +
    `Content-Type: application/json\r\nContent-Length: ${String(body.length)}\r\n\r\n`;

  let programs: Programs;
  let database: TestDatabase;
  beforeEach(async () => {
    [programs, database] = await Promise.all([Programs.inEmptyDirectory(), createDatabase()]);
  });
  afterEach(async () => {
    await programs.dispose();
    await database.drop();
  });
  const start = (drainMs: number, env: NodeJS.ProcessEnv = {}): Promise<RunningServer> =>
    programs.startServer({
      DATABASE_URL: database.url,
      BOOTSTRAP_ADMIN_KEY: key,
      SHUTDOWN_DRAIN_MS: String(drainMs),
      ...env,
    });

  it('503 at /readyz while it drains, serves all the same, and takes leave with Connection: close', async () => {
    const server = await start(3_000);
    const kept = await Connection.to(server);
    kept.send(get);
    await kept.answers(/"credits_balance":0}/);
    const first = kept.received;
    kept.received = '';

    const ended = server.end('SIGTERM');
    let ready: Response;
    do ready = await fetch(`${server.url}/readyz`);
    while (ready.status === 200);
    const newcomer = await fetch(`${server.url}/v1/users/me`, { headers: { 'x-api-key': key } });
    kept.send(get);
    await kept.closes();

    expect(first).toMatch(/^HTTP\/1\.1 200 /);
    expect(first).not.toMatch(/^Connection: close/im);
    expect([ready.status, await ready.json()]).toEqual([503, { status: 503, message: 'The service is stopping' }]);
    expect([newcomer.status, newcomer.headers.get('connection')]).toEqual([200, 'close']);
    expect(kept.received).toMatch(/^HTTP\/1\.1 200 /);
    expect(kept.received).toMatch(/^Connection: close\r$/im);
    expect((await ended).code).toBe(0);
  });

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'finishes the request that is in flight, takes no new connection and closes idle ones, then ends with 0: %s',
    async (signal) => {
      const server = await start(0);
      const idle = await Connection.to(server);
      idle.send(get);
      await idle.answers(/"credits_balance":0}/);
      const busy = await Connection.to(server);
      busy.send(patch + body.slice(0, 5));
      await fetch(`${server.url}/livez`); // so the server has read what came before

      const ended = server.end(signal);
      await isRefused(server);
      await idle.closes();
      busy.send(body.slice(5));
      await busy.closes();

      expect(busy.received).toMatch(/^HTTP\/1\.1 200 /);
      expect(busy.received).toMatch(/^Connection: close\r$/im);
      expect(busy.received).toContain('"name":"Ada Lovelace"');
      expect((await ended).code).toBe(0);
    },
  );

  // Node stops to look for late requests once its server closes: one of these connections would
  // have held it up for ever.
  it('waits for no request that does not come whole: a silent connection is closed, half a request is 408', async () => {
    const server = await start(0);
    const [silent, header, withBody] = await Promise.all([1, 2, 3].map(() => Connection.to(server)));
    header?.send('GET /v1/users/me HTTP/1.1\r\nHost: a\r\n');
    withBody?.send(patch + body.slice(0, 5));
    await fetch(`${server.url}/livez`); // so the server has read what came before

    const ended = server.end('SIGTERM');
    await Promise.all([silent?.closes(), header?.closes(), withBody?.closes()]);

    expect(silent?.received).toBe('');
    for (const late of [header, withBody]) {
      expect(late?.received).toMatch(/^HTTP\/1\.1 408 /);
      expect(late?.received).toMatch(/{"status":408,"message":"Request Timeout"}$/);
    }
    expect((await ended).code).toBe(0);
  });

  // A process that is paused accepts nothing: the kernel completes the connections, and keeps them
  // in the listener's queue.
  it.each([0, 500])(
    'answers requests that were sent before SIGTERM on connections that it had not accepted, with a drain time of %i ms',
    async (drainMs) => {
      const server = await start(drainMs);
      await server.pause();
      const early = await Promise.all(Array.from({ length: 20 }, () => Connection.to(server)));
      await Promise.all(early.map((connection, n) => connection.sent(n % 2 === 0 ? get : patch + body)));

      const ended = server.end('SIGTERM');
      server.signal('SIGCONT');
      await Promise.all(early.map((connection) => connection.closes()));

      for (const { received } of early) {
        expect(received).toMatch(/^HTTP\/1\.1 200 /);
        expect(received).toMatch(/^Connection: close\r$/im);
        expect(received).toMatch(/"credits_balance":0}$/);
      }
      expect((await ended).code).toBe(0);
    },
  );

  it('answers scrapes of the metrics that were sent before SIGTERM on connections that it had not accepted', async () => {
    const server = await start(0, { METRICS_PORT: '0' });
    const port = Number((await server.says(/Metrics on port (\d+)/))[1]);
    await server.pause();
    const scrapes = await Promise.all(Array.from({ length: 10 }, () => Connection.toPort(port)));
    await Promise.all(scrapes.map((scrape) => scrape.sent('GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n')));

    const ended = server.end('SIGTERM');
    server.signal('SIGCONT');
    await Promise.all(scrapes.map((scrape) => scrape.closes()));

    for (const { received } of scrapes) {
      expect(received).toMatch(/^HTTP\/1\.1 200 /);
      expect(received).toContain('\nprocess_start_time_seconds ');
    }
    expect((await ended).code).toBe(0);
  });

  it('takes two signals that come as one for one: a terminal sends Ctrl-C to npm, too, which passes it on', async () => {
    const server = await start(0);
    const busy = await Connection.to(server);
    busy.send(patch + body.slice(0, 5));
    await fetch(`${server.url}/livez`); // so the server has read what came before

    process.kill(server.pid, 'SIGSTOP'); // so that both are there when it goes on, whatever else the machine does
    const ended = [server.end('SIGINT'), server.end('SIGTERM')];
    process.kill(server.pid, 'SIGCONT');
    await isRefused(server);
    busy.send(body.slice(5));
    await busy.closes();

    expect(busy.received).toMatch(/^HTTP\/1\.1 200 /);
    expect((await Promise.all(ended)).map(({ code }) => code)).toEqual([0, 0]);
  });

  it.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const)('ends at once at a second %s, whatever it is busy with', async (signal, code) => {
    const server = await start(60_000);
    const busy = await Connection.to(server);
    busy.send(patch);
    const first = server.end(signal);
    const signals = setInterval(() => void server.end(signal), 50); // two that come within 100 ms are one

    const ended = await first;
    clearInterval(signals);

    expect(ended.code).toBe(code);
    await busy.closes();
    expect(busy.received).toBe('');
  });
});

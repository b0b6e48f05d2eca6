import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';
import { administer, createDatabase, serverUrl, type TestDatabase } from './support/database.js';
import { SELF_SIGNED } from './support/self-signed.js';
import { type Ended, Programs } from './support/server-process.js';

/**
 * Its first label is longer than a name can be, so it does not resolve, and no name server is
 * asked.
 */
const NOWHERE = `${'x'.repeat(64)}.invalid`;

const SSL_REQUEST_BYTES = 8;

/** Says that it has TLS, as PostgreSQL does, and shows a certificate that nobody signed. */
const selfSigned = (socket: Socket): void => {
  socket.on('error', () => undefined);
  socket.once('readable', () => {
    socket.read(SSL_REQUEST_BYTES);
    socket.write('S');
    new TLSSocket(socket, { isServer: true, ...SELF_SIGNED }).on('error', () => undefined);
  });
};

describe('A start that cannot succeed', () => {
  let programs: Programs;
  let database: TestDatabase;
  const servers: Server[] = [];
  beforeAll(async () => {
    database = await createDatabase();
  });
  beforeEach(async () => {
    programs = await Programs.inEmptyDirectory();
  });
  afterEach(async () => {
    await programs.dispose();
    for (const server of servers.splice(0)) {
      server.close();
      await once(server, 'close');
    }
  });
  afterAll(() => database.drop());

  const listen = async (server: Server): Promise<number> => {
    servers.push(server.listen(0, '127.0.0.1'));
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  };
  /** Ended with the message alone, and had not begun to wait. */
  const expectRefusal = ({ code, stdout, stderr }: Ended, message: string | RegExp): void => {
    expect(stderr).toEqual(typeof message === 'string' ? `${message}\n` : expect.stringMatching(message));
    expect({ code, waited: stdout.includes('does not answer yet') }).toEqual({ code: 1, waited: false });
  };
  const direct = (change: (url: URL) => void): string => {
    const url = new URL(serverUrl());
    change(url);
    return url.href;
  };

  describe('because of its database does not wait for it, and says why:', () => {
    it('a name that does not resolve', async () => {
      const ended = await programs.failToStart({ DATABASE_URL: `postgres://app:secret@${NOWHERE}/x` });

      expectRefusal(
        ended,
        `The database at ${NOWHERE}/x cannot be used: the name of its host does not resolve (ENOTFOUND)`,
      );
    });

    it('several hosts, between which the driver cannot choose', async () => {
      const ended = await programs.failToStart({ DATABASE_URL: 'postgres://app:secret@a:5432,b:5432/x' });

      expectRefusal(
        ended,
        'The environment is not valid:\n  DATABASE_URL must lead to one server, without target_session_attrs and load_balance_hosts, which the driver does not support: give one address that follows the primary: that of HAProxy, a Kubernetes Service or a virtual address',
      );
    });

    it.each([
      ['a web server', () => createHttpServer((_, response) => response.end())],
      [
        'a server that reads lines, as Redis',
        () =>
          createServer((socket) => {
            let read = '';
            socket
              .on('error', () => undefined)
              .on('data', (chunk) => {
                read += chunk.toString('latin1');
                if (read.startsWith('PING\r\n')) socket.end('+PONG\r\n');
              });
          }),
      ],
      [
        'a server that speaks first, as SSH',
        () =>
          createServer((socket) => {
            socket
              .on('error', () => undefined)
              .resume()
              .write('SSH-2.0-OpenSSH_10.0\r\n');
          }),
      ],
    ])('%s at its port', async (_, make) => {
      const at = `127.0.0.1:${String(await listen(make()))}/x`;

      const ended = await programs.failToStart({ DATABASE_URL: `postgres://app:secret@${at}` });

      expectRefusal(ended, `The database at ${at} cannot be used: the server at that address is not PostgreSQL`);
    });

    it('a certificate that cannot be verified', async () => {
      const at = `localhost:${String(await listen(createServer(selfSigned)))}/x`;

      const ended = await programs.failToStart({ DATABASE_URL: `postgres://app:secret@${at}?sslmode=verify-full` });

      expectRefusal(
        ended,
        `The database at ${at} cannot be used: its certificate cannot be verified (self-signed certificate). sslrootcert in the URL names the file with the certificate of its authority`,
      );
    });

    it('a file of its URL that is not there', async () => {
      const ended = await programs.failToStart({
        DATABASE_URL: direct((url) => (url.search = '?sslmode=verify-full&sslrootcert=/nowhere/ca.pem')),
      });

      expectRefusal(ended, /^The database at \S+ cannot be used: ENOENT: no such file .* '\/nowhere\/ca.pem'\n$/);
    });

    it('no TLS', async () => {
      const ended = await programs.failToStart({
        DATABASE_URL: direct((url) => (url.search = '?sslmode=verify-full')),
      });

      expectRefusal(
        ended,
        /^The database at \S+ cannot be used: the server has no TLS, which sslmode in the URL requires\n$/,
      );
    });

    it('a database that does not exist', async () => {
      const ended = await programs.failToStart({ DATABASE_URL: direct((url) => (url.pathname = '/nowhere')) });

      expectRefusal(ended, /^The database at \S+\/nowhere cannot be used: database "nowhere" does not exist\n$/);
    });

    it('a password that is wrong, or none', async () => {
      await chmod(programs.cwd, 0o755);
      const embedded = await programs.startServer();
      const port =
        (await readFile(join(programs.cwd, '.data/postgres-18/postmaster.pid'), 'utf8')).split('\n')[3] ?? '';
      const at = `127.0.0.1:${port}/postgres`;

      const wrong = await programs.failToStart({ DATABASE_URL: `postgres://postgres:guess@${at}` });
      const none = await programs.failToStart({ DATABASE_URL: `postgres://postgres@${at}` });
      const variable = await programs.failToStart({ DATABASE_URL: `postgres://postgres@${at}`, PGPASSWORD: 'guess' });
      await embedded.end('SIGTERM');

      const refused = `The database at ${at} cannot be used: password authentication failed for user "postgres"`;
      expectRefusal(wrong, refused);
      expectRefusal(variable, refused);
      expectRefusal(
        none,
        `The database at ${at} cannot be used: it requires a password, and neither DATABASE_URL nor PGPASSWORD has one`,
      );
    });

    it('an encoding other than UTF8', async () => {
      const latin = `users_api_test_${randomBytes(6).toString('hex')}`;
      await administer(
        `CREATE DATABASE ${latin} ENCODING 'LATIN1' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`,
      );
      const url = direct((other) => (other.pathname = `/${latin}`));
      try {
        const ended = await programs.failToStart({ DATABASE_URL: url });

        expectRefusal(ended, /cannot be used: its encoding is LATIN1 and must be UTF8, as of CREATE DATABASE … /);
      } finally {
        await administer(`DROP DATABASE ${latin} WITH (FORCE)`);
      }
    });

    if (process.env.TEST_POOLER)
      it('a pooler in transaction mode that nobody has named', async () => {
        const ended = await programs.failToStart({ DATABASE_URL: database.url, DATABASE_TRANSACTION_POOLER: 'false' });

        expectRefusal(
          ended,
          /^The database at \S+ cannot be used: a connection pooler .*\(unsupported startup parameter: \w+\)\. Set DATABASE_TRANSACTION_POOLER=true, .*\n$/,
        );
      });
  });

  describe('because of where it is to listen names the variables:', () => {
    it('a HOST that does not resolve', async () => {
      const ended = await programs.failToStart({ DATABASE_URL: database.url, HOST: NOWHERE });

      expect(ended).toMatchObject({
        code: 1,
        stderr: `Cannot listen with HOST=${NOWHERE}, PORT=0: getaddrinfo ENOTFOUND ${NOWHERE}\n`,
      });
    });

    it('a HOST of another machine', async () => {
      const ended = await programs.failToStart({ DATABASE_URL: database.url, HOST: '203.0.113.1' });

      expect(ended).toMatchObject({
        code: 1,
        stderr:
          'Cannot listen with HOST=203.0.113.1, PORT=0: listen EADDRNOTAVAIL: address not available 203.0.113.1\n',
      });
    });

    it('a METRICS_PORT that is taken', async () => {
      const port = String(await listen(createServer()));

      const ended = await programs.failToStart({ DATABASE_URL: database.url, METRICS_PORT: port });

      expect(ended).toMatchObject({
        code: 1,
        stderr: `Cannot listen with HOST=127.0.0.1, METRICS_PORT=${port}: listen EADDRINUSE: address already in use 127.0.0.1:${port}\n`,
      });
    });
  });

  describe('because of .env names it:', () => {
    const dotEnv = (): string => join(programs.cwd, '.env');

    it('a directory', async () => {
      await mkdir(dotEnv());

      const [server, cli] = await Promise.all([programs.failToStart({}), programs.cli(['users', 'list'])]);

      expectRefusal(server, 'The environment is not valid:\n  .env cannot be read: it is a directory');
      expect(cli).toMatchObject({ code: 1, stderr: expect.stringContaining('.env cannot be read: it is a directory') });
      await rm(dotEnv(), { recursive: true });
    });

    // The parser would take the rest for a comment, "app" for the host and "12" for its port, and a
    // message would repeat them.
    it('a "#" that is not in quotes and cuts a password', async () => {
      await writeFile(
        dotEnv(),
        'DATABASE_URL=postgres://app:12#34@db.invalid/x # a comment\nPGPASSWORD="56#78" # another\n',
      );

      const ended = await programs.failToStart({});

      expectRefusal(
        ended,
        'The environment is not valid:\n  .env cuts DATABASE_URL at its #, which begins a comment there: put the value in quotes',
      );
    });
  });

  it.each(['#', '/', '?', '%'])(
    'because of a "%s" in a password that is not encoded prints no part of it',
    async (sign) => {
      const value = `12${sign}secret@127.0.0.1:1/0`;

      const ended = await programs.failToStart({
        DATABASE_URL: `postgres://app:${value}`,
        REDIS_URL: `redis://app:${value}`,
        OTEL_EXPORTER_OTLP_ENDPOINT: `http://app:${value}`,
      });

      expect(ended.code).toBe(1);
      expect(
        ended.stderr.match(/^ {2}(DATABASE_URL|REDIS_URL|OTEL_EXPORTER_OTLP_ENDPOINT) must be a well-formed URL/gm),
      ).toHaveLength(3);
      expect(ended.stdout + ended.stderr).not.toMatch(/12|secret/);
    },
  );

  it('because of a URL that a tool has cut at the "#" of a password repeats nothing of it', async () => {
    const ended = await programs.failToStart({ DATABASE_URL: `postgres://${NOWHERE}:12` });

    expectRefusal(
      ended,
      'The database of DATABASE_URL cannot be used: the name of its host does not resolve (ENOTFOUND)',
    );
  });

  it('warns of variables whose names are almost ours, and not of their values', async () => {
    const env = { DATABASE_URL: database.url, PORTT: 'value-1', DATABASE_URl: 'value-2', LOG_LEVLE: 'value-3' };

    const server = await programs.startServer(env);
    const { stderr } = await programs.cli(['users', 'list'], env);
    await server.end('SIGTERM');

    for (const output of [server.output(), stderr]) {
      expect(output).toContain('PORTT in the environment has no meaning here; PORT is meant, perhaps');
      expect(output).toContain('DATABASE_URl in the environment has no meaning here; DATABASE_URL is meant, perhaps');
      expect(output).toContain('LOG_LEVLE in the environment has no meaning here; LOG_LEVEL is meant, perhaps');
      expect(output).not.toContain('value-');
    }
  });
});

import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline';
import { createDatabase, type TestDatabase } from './support/database.js';
import {
  commandLine,
  compile,
  installExample,
  pack,
  run,
  type StartedExample,
  startExample,
} from './support/packed.js';
import { type OwnProcess, startProcess, temporaryDirectory } from './support/processes.js';

type Headers = Readonly<Record<string, string>>;
interface Caller {
  readonly id: string;
  readonly key: string;
}

const JWT_SECRET = 'only for the tests';
/** What `ThrottlerModule` of the example admits in a minute. */
const LIMIT = 20;

describe('The package in examples/gateway-app', () => {
  let host: string;
  let database: TestDatabase;
  let started: StartedExample;
  let token: string;

  beforeAll(async () => {
    const { path } = await temporaryDirectory();
    host = await installExample('examples/gateway-app', path, await pack(path));
    await compile(host);
    database = await createDatabase('empty');
    started = await startExample(host, { DATABASE_URL: database.directUrl, JWT_SECRET });
    const program = `import { JwtService } from '@nestjs/jwt'; console.log(new JwtService({ secret: '${JWT_SECRET}' }).sign({ sub: 'Bob' }));`;
    ({ stdout: token } = await run(process.execPath, ['--input-type=module', '-e', program], { cwd: host }));
  }, 300_000);
  afterAll(async () => {
    await started.app.end();
    await database.drop();
  });

  async function createCaller(): Promise<Caller> {
    const words = ['users', 'create', '--email', `${randomUUID()}@example.com`, '--name', 'Ada'];
    const { user, api_key: key } = (await commandLine(host, started.env, words)) as {
      user: { id: string };
      api_key: string;
    };
    return { id: user.id, key };
  }

  async function call(path: string, headers: Headers = {}, init: RequestInit = {}): Promise<[number, unknown]> {
    const answer = await fetch(started.url + path, { ...init, headers: { ...headers, ...(init.headers as Headers) } });
    return [answer.status, await answer.json()];
  }
  const withKey = ({ key }: Caller): Headers => ({ 'x-api-key': key });
  const withToken = (): Headers => ({ authorization: `Bearer ${token.trim()}` });
  const json = (method: string, body: object): RequestInit => ({
    method,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });

  it('serves our routes below the global prefix, without its guards, in its envelope', async () => {
    const caller = await createCaller();

    expect(await call('/api/v1/users/me', withKey(caller))).toEqual([
      200,
      { data: expect.objectContaining({ id: caller.id }) },
    ]);
    expect(await call('/api/v1/users/me', withKey(caller), json('PATCH', { name: 'Grace' }))).toEqual([
      200,
      { data: expect.objectContaining({ name: 'Grace' }) },
    ]);
    for (let request = 0; request <= LIMIT; request += 1)
      expect((await call('/api/v1/api-keys', withKey(caller)))[0]).toBe(200);
  });

  it('wraps no error, neither of our routes nor of its own', async () => {
    const caller = await createCaller();
    const refused = (status: number) => [status, { status, message: expect.any(String) }];

    expect(await call('/api/v1/users/me')).toEqual(refused(401));
    expect(await call('/api/v1/users/me', withKey(caller), json('PATCH', { nickname: 'x' }))).toEqual(refused(400));
    expect(await call('/api/v1/users', withKey(caller))).toEqual(refused(403));
    expect(await call('/api/v1/api-keys/none', withKey(caller))).toEqual(refused(404));
    expect(await call('/api/v1/reports/key')).toEqual(refused(401));
    expect(await call('/api/v1/reports/conflict', withKey(caller))).toEqual([
      409,
      { statusCode: 409, error: 'Conflict', message: 'The report exists' },
    ]);
  });

  it('admits to its routes callers with a key, with a token, or with either', async () => {
    const caller = await createCaller();
    const mine = [200, { data: { caller: caller.id } }];
    const ofToken = [200, { data: { caller: 'Bob' } }];
    const pleaseToken = [401, { statusCode: 401, error: 'Unauthorized', message: 'JWT please' }];

    expect(await call('/api/v1/reports/key', withKey(caller))).toEqual(mine);
    expect(await call('/api/v1/reports/token', withToken())).toEqual(ofToken);
    expect(await call('/api/v1/reports/token', withKey(caller))).toEqual(pleaseToken);
    expect(await call('/api/v1/reports/either', withKey(caller))).toEqual(mine);
    expect(await call('/api/v1/reports/either', withToken())).toEqual(ofToken);
    expect(await call('/api/v1/reports/either')).toEqual(pleaseToken);
    expect(await call('/api/v1/reports/either', { ...withToken(), 'x-api-key': 'wrong' })).toEqual([
      401,
      { status: 401, message: 'The API key is not valid' },
    ]);
  });

  it('authenticates the callers of its resolvers, with the error codes of GraphQL', async () => {
    const caller = await createCaller();
    const query = async (text: string, headers?: Headers) =>
      (await call('/graphql', headers, json('POST', { query: text })))[1] as {
        data: unknown;
        errors?: { message: string; extensions: { code: string } }[];
      };
    const errors = async (text: string, headers?: Headers) =>
      (await query(text, headers)).errors?.map(({ message, extensions: { code } }) => [code, message]);

    expect(await query('{ owner { id name } }', withKey(caller))).toEqual({
      data: { owner: { id: caller.id, name: 'Ada' } },
    });
    expect(await errors('{ owner { id } }')).toEqual([
      ['UNAUTHENTICATED', 'An API key is required in the x-api-key header'],
    ]);
    expect(await errors('{ reportCount }', withKey(caller))).toEqual([
      ['FORBIDDEN', 'Only administrators may do this'],
    ]);
  });

  it('checks the handshake of a WebSocket with each message, so that a revoked key is refused by the next one', async () => {
    const caller = await createCaller();
    const client = startProcess(process.execPath, ['dist/send-reports.js'], {
      cwd: host,
      env: { ...started.env, URL: started.url, API_KEY: caller.key },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const answers = linesOf(client);
    const send = (title: string) => client.child.stdin?.write(`${title}\n`);

    expect(await answers.next()).toEqual('connected');
    send('one');
    expect(await answers.next()).toEqual({ title: 'one', caller: caller.id });
    expect((await call('/api/v1/api-keys/current', withKey(caller), { method: 'DELETE' }))[0]).toBe(200);
    send('two');
    expect(await answers.next()).toEqual({ status: 401, message: 'The API key is not valid' });
    await client.end();
  });
});

function linesOf({ child: { stdout } }: OwnProcess): { next: () => Promise<unknown> } {
  if (!stdout) throw new Error('The program has no output');
  const lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  return { next: async () => JSON.parse((await lines.next()).value as string) as unknown };
}

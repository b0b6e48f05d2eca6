import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { chmod } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Administrator } from '../support/administrator.js';
import { startHaproxy } from '../support/haproxy.js';
import { freePort } from '../support/ports.js';
import type { OwnProcess } from '../support/processes.js';
import { Programs, type RunningServer } from '../support/server-process.js';

const CELLS = ['eu', 'us'] as const;
type CellName = (typeof CELLS)[number];

const USERS = 10;
const REQUESTS = 2_000;
const CLIENTS = 8;

/** HAProxy before two cells, given as `host:port`. */
async function startProxy(
  cells: Readonly<Record<CellName, string>>,
  isReady: (url: string) => Promise<boolean>,
): Promise<{ readonly url: string; readonly proxy: OwnProcess }> {
  const listen = `127.0.0.1:${String(await freePort())}`;
  const url = `http://${listen}`;
  const env = { LISTEN: listen, CELL_EU: cells.eu, CELL_US: cells.us };
  return { url, proxy: await startHaproxy('deploy/cells/haproxy.cfg', env, () => isReady(url)) };
}

const statusOf = async (url: string, headers: Readonly<Record<string, string>>): Promise<number> =>
  (await fetch(url, { headers }).catch(() => null))?.status ?? 0;

describe('deploy/cells/haproxy.cfg, before servers that say which cell they are', () => {
  const servers: Server[] = [];
  let url: string;
  let proxy: OwnProcess;
  beforeAll(async () => {
    const places = await Promise.all(
      CELLS.map(async (name) => {
        const server = createServer((_, response) => response.end(name)).listen(0, '127.0.0.1');
        servers.push(server);
        await once(server, 'listening');
        return [name, `127.0.0.1:${String((server.address() as AddressInfo).port)}`] as const;
      }),
    );
    const cells = Object.fromEntries(places) as Record<CellName, string>;
    ({ url, proxy } = await startProxy(cells, async (at) => {
      const statuses = await Promise.all(CELLS.map((name) => statusOf(at, { 'x-api-key': `ua_${name}_` })));
      return statuses.every((status) => status === 200);
    }));
  });
  afterAll(async () => {
    await proxy.end();
    for (const server of servers) server.close();
  });

  it.each<[string, Record<string, string>, CellName]>([
    ['a key of the second cell', { 'x-api-key': 'ua_us_abc' }, 'us'],
    ['a key of the first cell', { 'x-api-key': 'ua_eu_abc' }, 'eu'],
    ['a bearer token', { authorization: 'Bearer ua_us_abc' }, 'us'],
    ['a bearer token of the first cell', { authorization: 'Bearer ua_eu_abc' }, 'eu'],
    ['a scheme in lower case, and several blanks', { authorization: 'bearer  ua_us_abc' }, 'us'],
    ['a key, before a bearer token of another cell', { 'x-api-key': 'ua_us_a', authorization: 'Bearer ua_eu_a' }, 'us'],
    ['a key from before there were cells', { 'x-api-key': 'ua_usabc' }, 'eu'],
    ['a prefix in another case', { 'x-api-key': 'UA_US_abc' }, 'eu'],
    ['a prefix that is not at the start', { 'x-api-key': 'x ua_us_abc' }, 'eu'],
    ['another scheme', { authorization: 'Basic ua_us_abc' }, 'eu'],
    ['an unknown prefix', { 'x-api-key': 'ua_ap_abc' }, 'eu'],
    ['no key', {}, 'eu'],
  ])('routes %s to its cell: %j → %s', async (_, headers, cell) => {
    const response = await fetch(`${url}/v1/anything?key=ua_us_abc`, { headers });

    expect(await response.text()).toBe(cell);
  });
});

interface Cell {
  readonly name: CellName;
  readonly programs: Programs;
  readonly port: number;
  readonly administratorKey: string;
  readonly environment: NodeJS.ProcessEnv;
  server: RunningServer;
}

async function startCell(name: CellName): Promise<Cell> {
  const programs = await Programs.inEmptyDirectory();
  await chmod(programs.cwd, 0o755); // its embedded PostgreSQL runs as another account where we are root
  const prefix = { API_KEY_PREFIX: `ua_${name}_` };
  const administratorKey = (await programs.cli(['keys', 'generate'], prefix)).stdout.trim();
  const port = await freePort();
  const environment = {
    ...prefix,
    BOOTSTRAP_ADMIN_KEY: administratorKey,
    RATE_LIMIT_PER_MINUTE: '0',
    TRUST_PROXY: '1',
    PORT: String(port),
  };
  return { name, programs, port, administratorKey, environment, server: await programs.startServer(environment) };
}

describe('Two cells, each with instances and a PostgreSQL of its own, behind deploy/cells/haproxy.cfg', () => {
  let cells: readonly Cell[];
  let url: string;
  let proxy: OwnProcess;
  beforeAll(async () => {
    cells = [await startCell('eu'), await startCell('us')];
    const places = cells.map(({ name, port }) => [name, `127.0.0.1:${String(port)}`]);
    ({ url, proxy } = await startProxy(Object.fromEntries(places) as Record<CellName, string>, areServed));
  });
  afterAll(async () => {
    await proxy.end();
    for (const { programs } of cells) await programs.dispose();
  });

  const ask = (key: string, path = 'users/me', init: RequestInit = {}): Promise<Response> =>
    fetch(`${url}/v1/${path}`, { ...init, headers: { 'x-api-key': key, 'content-type': 'application/json' } });
  const areServed = async (at: string): Promise<boolean> => {
    const keys = cells.map(({ administratorKey }) => ({ 'x-api-key': administratorKey }));
    return (await Promise.all(keys.map((key) => statusOf(`${at}/v1/users/me`, key)))).every((status) => status === 200);
  };
  /** The same names and addresses in each cell. */
  const makeCallers = async (): Promise<{ id: string; secret: string; cell: Cell }[]> => {
    const suffix = randomUUID();
    const callers = [];
    for (const cell of cells)
      for (let user = 0; user < USERS; user += 1) {
        const administrator = new Administrator(url, cell.administratorKey);
        callers.push({ ...(await administrator.makeCaller(`caller-${String(user)}-${suffix}`)), cell });
      }
    return callers;
  };

  it('200 for every request, from the cell of its key, with the same addresses in both', async () => {
    const callers = await makeCallers();
    let misrouted = 0;
    let sent = 0;
    const began = performance.now();

    const client = async (): Promise<void> => {
      while (sent < REQUESTS) {
        const caller = callers[sent++ % callers.length];
        if (!caller) return;
        const response = await ask(caller.secret);
        const { id } = (await response.json()) as { id?: string };
        if (response.status !== 200 || id !== caller.id) misrouted += 1;
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, client));
    const seconds = (performance.now() - began) / 1000;
    process.stdout.write(
      `${JSON.stringify({ cells: cells.length, users: callers.length, requests: sent, misrouted, requests_per_second: Math.round(sent / seconds) })}\n`,
    );

    expect(callers.every(({ secret, cell }) => secret.startsWith(`ua_${cell.name}_`))).toBe(true);
    expect(misrouted).toBe(0);
  });

  it('200 of forward-auth from the cell of the key, also as a bearer token', async () => {
    const callers = await makeCallers();
    const [first] = callers;
    const last = callers.at(-1);
    const forward = (headers: Record<string, string>): Promise<Response> =>
      fetch(`${url}/v1/forward-auth`, { headers });

    const responses = await Promise.all(
      [first, last].flatMap((caller) => [
        forward({ authorization: `Bearer ${caller?.secret ?? ''}` }),
        forward({ 'x-api-key': caller?.secret ?? '' }),
      ]),
    );
    const both = await forward({ authorization: `Bearer ${last?.secret ?? ''}`, 'x-api-key': last?.secret ?? '' });

    expect(responses.map(({ headers }) => headers.get('x-user-id'))).toEqual([
      first?.id,
      first?.id,
      last?.id,
      last?.id,
    ]);
    expect(both.status).toBe(401);
  });

  it('200 of verify, allowed, for a gateway that asks with its key of the cell that the verified key names', async () => {
    const callers = await makeCallers();
    /** A key of the gateway in each cell, by the prefix. */
    const keys = new Map(cells.map(({ name, administratorKey }) => [`ua_${name}_`, administratorKey]));
    const verify = async (key: string, ownKey: string | undefined): Promise<unknown> => {
      const init = { method: 'POST', body: JSON.stringify({ key }) };
      return (await ask(ownKey ?? '', 'verify', init)).json();
    };
    const prefixOf = (key: string): string => key.slice(0, key.lastIndexOf('_') + 1);

    const own = await Promise.all(callers.map(({ secret }) => verify(secret, keys.get(prefixOf(secret)))));
    const [first] = callers;
    const elsewhere = await verify(first?.secret ?? '', cells[1]?.administratorKey);

    expect(own).toMatchObject(callers.map(({ id }) => ({ allowed: true, user_id: id })));
    expect(elsewhere).toMatchObject({ allowed: false, reason: 'malformed', user_id: null });
  });

  it('409 for an address that the same cell has', async () => {
    const user = JSON.stringify({ name: 'Ada', email: `${randomUUID()}@example.com` });
    const post = (cell: Cell | undefined): Promise<Response> =>
      ask(cell?.administratorKey ?? '', 'users', { method: 'POST', body: user });

    const [first, second, again] = [await post(cells[0]), await post(cells[1]), await post(cells[1])];

    expect([first.status, second.status, again.status]).toEqual([201, 201, 409]);
  });

  it('401 alike without a key, and for a key of one cell at the other', async () => {
    const [eu, us] = cells;
    const direct = await fetch(`${eu?.server.url ?? ''}/v1/users/me`, {
      headers: { 'x-api-key': us?.administratorKey ?? '' },
    });
    const missing = await fetch(`${url}/v1/users/me`);

    expect([direct.status, missing.status]).toEqual([401, 401]);
  });

  it('503 with Retry-After for the keys of a cell that is down, while each request of the other cell is 200', async () => {
    const callers = await makeCallers();
    const [eu, us] = cells as [Cell, Cell];
    const of = (cell: Cell): string => callers.find((caller) => caller.cell === cell)?.secret ?? '';
    await us.server.end('SIGKILL');

    const statuses = new Set<number>();
    let down = await ask(of(us));
    while (down.headers.get('retry-after') === null || statuses.size === 0) {
      statuses.add((await ask(of(eu))).status);
      await sleep(20);
      down = await ask(of(us));
    }
    const body: unknown = await down.json();
    us.server = await us.programs.startServer(us.environment);
    while ((await ask(of(us))).status !== 200) {
      statuses.add((await ask(of(eu))).status);
      await sleep(20);
    }

    expect({ status: down.status, body }).toEqual({
      status: 503,
      body: { status: 503, message: expect.any(String) as string },
    });
    expect([...statuses]).toEqual([200]);
  });
});

/*
 * The reference: a hand-written server that is optimized only for speed. It has `node:http`, `pg`
 * and prepared statements: one for the key of each request and one for its work. It has no
 * framework, no log and no audit trail, and the only check of a body is that the name is a string.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import pg from 'pg';

interface Row {
  readonly id: string;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly status: string;
  readonly name: string;
  readonly email: string;
  readonly credits_balance: string;
}

const COLUMNS = 'id, created_at, updated_at, status, name, email, credits_balance';

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });
pool.on('error', () => undefined);

interface Caller {
  readonly user_id: string;
  readonly is_admin: boolean;
}

async function authenticate(key: string | undefined): Promise<Caller | undefined> {
  const { rows } = await pool.query<Caller>({
    name: 'authenticate',
    text: `SELECT k.user_id, u.is_admin FROM api_keys k JOIN users u ON u.id = k.user_id
            WHERE k.secret_digest = $1 AND k.revoked_at IS NULL AND k.expires_at > now() AND u.status = 'ACTIVE'`,
    values: [
      createHash('sha256')
        .update(key ?? '')
        .digest(),
    ],
  });
  return rows[0];
}

async function patch(id: string, name: string): Promise<Row | undefined> {
  const { rows } = await pool.query<Row>({
    name: 'patch',
    text: `UPDATE users SET name = $2, updated_at = now(), version = version + 1 WHERE id = $1 RETURNING ${COLUMNS}`,
    values: [id, name],
  });
  return rows[0];
}

async function read(id: string): Promise<Row | undefined> {
  const { rows } = await pool.query<Row>({
    name: 'read',
    text: `SELECT ${COLUMNS} FROM users WHERE id = $1`,
    values: [id],
  });
  return rows[0];
}

/** A movement and its entry in one statement and one commit. */
async function spend(charge: Charge): Promise<object | undefined> {
  const { rows } = await pool.query<{ credits: string; balance_after: string }>({
    name: 'spend',
    text: `WITH moved AS (
             UPDATE users SET credits_balance = credits_balance - $2::bigint, version = version + 1,
                              updated_at = greatest(clock_timestamp(), updated_at + interval '1 ms')
              WHERE id = $1 AND credits_balance >= $2::bigint
             RETURNING id, credits_balance, updated_at)
           INSERT INTO credit_entries (created_at, user_id, credits, balance_after, transaction_id, transaction_type, actor)
           SELECT updated_at, id, -$2::bigint, credits_balance, $3, 'MANUAL_ADJUSTMENT', 'APPLICATION' FROM moved
           RETURNING id, created_at, credits, transaction_id, transaction_type, balance_after`,
    values: [charge.user_id, charge.amount, charge.transaction_id],
  });
  const [row] = rows;
  return row && { ...row, credits: Number(row.credits), balance_after: Number(row.balance_after) };
}

interface Charge {
  readonly user_id: string;
  readonly amount: number;
  readonly transaction_id: string;
}

function body(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    request.setEncoding('utf8');
    request.on('data', (chunk: string) => (text += chunk));
    request.on('end', () => {
      resolve(text);
    });
    request.on('error', reject);
  });
}

function send(response: ServerResponse, status: number, value: unknown): void {
  const text = JSON.stringify(value);
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) });
  response.end(text);
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const caller = await authenticate(request.headers['x-api-key'] as string | undefined);
  if (!caller) {
    send(response, 401, {});
    return;
  }
  if (request.url === '/v1/billing/credits-deduct') {
    if (!caller.is_admin) {
      send(response, 403, {});
      return;
    }
    const entry = await spend(JSON.parse(await body(request)) as Charge);
    send(response, entry ? 200 : 402, entry ?? {});
    return;
  }
  if (request.url !== '/v1/users/me') {
    send(response, 404, {});
    return;
  }
  const id = caller.user_id;
  if (request.method === 'GET') {
    send(response, 200, wire(await read(id)));
    return;
  }
  const { name } = JSON.parse(await body(request)) as { name: unknown };
  if (typeof name === 'string') send(response, 200, wire(await patch(id, name)));
  else send(response, 400, {});
}

const wire = (row: Row | undefined): unknown => row && { ...row, credits_balance: Number(row.credits_balance) };

const server = createServer((request, response) => {
  answer(request, response).catch((error: unknown) => {
    send(response, 500, { message: String(error) });
  });
});
server.listen(Number(process.env.PORT), '127.0.0.1', () => {
  console.log(`Listening on http://127.0.0.1:${String((server.address() as { port: number }).port)}`);
});

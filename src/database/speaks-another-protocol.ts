import { connect, type NetConnectOpts } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';

/** Milliseconds for the connection and the response. */
const PATIENCE_MS = 1_000;

/**
 * PostgreSQL's SSLRequest. The response is only `S` or `N`, or an error message: `E` and a length
 * of four bytes.
 */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

const isPostgres = (answer: Buffer): boolean => /^(?:[SN]$|E(?:\0|$))/.test(answer.toString('latin1'));

/** A line for servers that read lines, such as Redis. */
const PING = Buffer.from('PING\r\n');

/**
 * Whether the server at an address responds with another protocol than PostgreSQL's: a web server,
 * Redis, SSH or MySQL, for example. False if nothing listens or responds. Takes 2 s at most.
 */
export async function speaksAnotherProtocol(url: string): Promise<boolean> {
  const plain = new URL(url);
  if (plain.searchParams.get('sslnegotiation') === 'direct') return false;
  // The driver would read the files in these parameters, which may be the cause of the failure.
  for (const name of ['sslmode', 'sslcert', 'sslkey', 'sslrootcert']) plain.searchParams.delete(name);
  const { host, port } = new pg.Client({ connectionString: plain.href });
  const at = host.startsWith('/') ? { path: join(host, `.s.PGSQL.${String(port)}`) } : { host, port };
  const answer = (await ask(at, SSL_REQUEST)) ?? (await ask(at, PING));
  return answer !== undefined && !isPostgres(answer);
}

/** @returns the first response on a new connection; undefined without a response */
function ask(at: NetConnectOpts, request: Buffer): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const socket = connect(at);
    const giveUp = setTimeout(() => socket.destroy(), PATIENCE_MS);
    socket.write(request); // once connected
    socket.once('data', (answer) => {
      resolve(answer);
      socket.destroy();
    });
    socket.on('error', () => undefined); // 'close' follows
    socket.once('close', () => {
      clearTimeout(giveUp);
      resolve(undefined);
    });
  });
}

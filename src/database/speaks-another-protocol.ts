import { connect, type NetConnectOpts } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';

/** Milliseconds for a connection and the answer. */
const PATIENCE_MS = 1_000;

/**
 * PostgreSQL's SSLRequest. The answer is `S` or `N` alone, or an error message: `E` and a length of
 * four bytes.
 */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

const isPostgres = (answer: Buffer): boolean => /^(?:[SN]$|E(?:\0|$))/.test(answer.toString('latin1'));

/** For servers that read lines, such as Redis, and so wait for the end of one. */
const PING = Buffer.from('PING\r\n');

/**
 * Whether what listens at an address answers, and not as PostgreSQL does: a web server, Redis, SSH,
 * MySQL and the like. False where nothing listens or nothing is answered. Takes 2 s at most.
 */
export async function speaksAnotherProtocol(url: string): Promise<boolean> {
  const plain = new URL(url);
  if (plain.searchParams.get('sslnegotiation') === 'direct') return false;
  // The driver would read the files that these name, and they may be what is wrong.
  for (const name of ['sslmode', 'sslcert', 'sslkey', 'sslrootcert']) plain.searchParams.delete(name);
  const { host, port } = new pg.Client({ connectionString: plain.href });
  const at = host.startsWith('/') ? { path: join(host, `.s.PGSQL.${String(port)}`) } : { host, port };
  const answer = (await ask(at, SSL_REQUEST)) ?? (await ask(at, PING));
  return answer !== undefined && !isPostgres(answer);
}

/** @returns what is answered first, on a connection of its own; undefined for nothing */
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

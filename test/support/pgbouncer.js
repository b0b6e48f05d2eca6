import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Starts PgBouncer in transaction mode before a PostgreSQL server, on a port of its own; it ends
 * with the run of Jest.
 *
 * @param {string} server the URL of an administrator of that server
 * @returns {Promise<string>} the address of the pooler, as host:port
 */
export async function startPgBouncer(server) {
  const { hostname, port, username, password } = new URL(server);
  const directory = join(process.env.TEST_RUN_DIRECTORY, 'pgbouncer');
  mkdirSync(directory);
  const listen = await freePort();
  const [config, users] = [join(directory, 'pgbouncer.ini'), join(directory, 'users.txt')];
  writeFileSync(users, `"${decodeURIComponent(username)}" "${decodeURIComponent(password)}"\n`);
  writeFileSync(
    config,
    `[databases]
* = host=${hostname} port=${port || '5432'}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${listen}
unix_socket_dir =
auth_type = trust
auth_file = ${users}
pool_mode = transaction
max_client_conn = 1000
default_pool_size = 8
server_idle_timeout = 5
`,
  );
  chmodSync(directory, 0o755);
  // It refuses to run as root, and takes the account of the server then.
  const asRoot = process.getuid?.() === 0 ? ['-u', 'postgres'] : [];
  const pooler = spawn('pgbouncer', ['-q', ...asRoot, config], {
    env: { PATH: `${process.env.PATH}:/usr/sbin` },
    stdio: ['ignore', 'ignore', 'inherit'],
    detached: true,
  });
  await once(pooler, 'spawn'); // or its error, when there is no such program
  writeFileSync(join(process.env.TEST_RUN_DIRECTORY, 'processes', String(pooler.pid)), '');
  while (!(await listens(listen))) {
    if (pooler.exitCode !== null) throw new Error(`PgBouncer ended with ${String(pooler.exitCode)}`);
    await sleep(20);
  }
  pooler.unref();
  return `127.0.0.1:${listen}`;
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

function listens(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => {
      resolve(false);
    });
  });
}

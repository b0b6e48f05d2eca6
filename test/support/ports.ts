import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';

export { freePort } from '../../src/embedded-postgres/free-port.js';

/**
 * Finds a free port below those that outgoing connections use (32768 and above on Linux), so that
 * a server can take it again after it was down for a while.
 */
export async function reservedPort(): Promise<number> {
  for (;;) {
    const server = createServer().listen(randomInt(20_000, 32_000), '127.0.0.1');
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    return port;
  }
}

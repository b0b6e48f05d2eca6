import { appendFile, chmod, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { startTestApp } from '../support/app.js';
import { Collector } from '../support/collector.js';
import { createDatabase } from '../support/database.js';
import { startProxy } from '../support/proxy.js';
import { Programs } from '../support/server-process.js';

/*
 * Run by `fixtures.e2e-spec.ts` in a Jest of its own. Nothing here ends what it starts, and each
 * process that it starts is noted in the file LEAKS.
 */

const note = (text: string): Promise<void> => appendFile(process.env.LEAKS ?? '', `${text}\n`);
const never = new Promise<never>(() => undefined);

async function startEverything(): Promise<void> {
  const database = await createDatabase();
  await note(`database ${new URL(database.url).pathname.slice(1)}`);
  await note(`database ${process.env.TEST_TEMPLATE ?? ''}`);
  await startProxy(database.url);
  await Collector.start();
  const app = await startTestApp(database.url);
  const ada = await app.given.user();
  await app.hold('SELECT FROM users WHERE id = $1 FOR UPDATE', [ada.id]);

  const programs = await Programs.inEmptyDirectory();
  await chmod(programs.cwd, 0o755);
  const server = await programs.startServer(); // with a PostgreSQL server of its own
  await note(`pid ${String(server.pid)}`);
  const [pid = ''] = (await readFile(join(programs.cwd, '.data/postgres-18/postmaster.pid'), 'utf8')).split('\n');
  await note(`pid ${pid}`);
  const frozen = await programs.startServer({ DATABASE_URL: database.url });
  await note(`pid ${String(frozen.pid)}`);
  process.kill(frozen.pid, 'SIGSTOP'); // it hears of no request to end
  await note(`worker ${String(process.pid)}`);
}

if (process.env.LEAK_UNTIL === 'timeout') {
  describe('A hook that does not end in time', () => {
    beforeAll(startEverything);
    beforeAll(() => never, 50);

    it('fails its tests', () => undefined);
  });

  describe('A test that does not end in time', () => {
    it('fails', async () => {
      const silent = createServer().listen(0, '127.0.0.1').unref();
      await new Promise((listening) => silent.once('listening', listening));
      const { port } = silent.address() as { port: number };
      const programs = await Programs.inEmptyDirectory();
      await programs.startServer({ DATABASE_URL: `postgresql://127.0.0.1:${String(port)}/none` });
    }, 1_000);
  });
} else {
  it('goes on until it is killed', async () => {
    await startEverything();
    await note('up');
    await never;
  });
}

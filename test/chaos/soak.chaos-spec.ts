import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import autocannon from 'autocannon';
import { generateApiKey } from '../../src/common/api-key-format.js';
import { openEmbeddedPostgres } from '../../src/embedded-postgres/open-embedded-postgres.js';
import { Administrator } from '../support/administrator.js';
import { freePort } from '../support/ports.js';
import { startProcess } from '../support/processes.js';
import { Programs } from '../support/server-process.js';

const MINUTES = Number(process.env.CHAOS_SOAK_MINUTES ?? 20);
/** Of the time, before which memory is not judged: caches fill, and code is compiled. */
const WARM_UP = 0.25;
const SAMPLE_EVERY_MS = Math.max(1_000, (MINUTES * 60_000) / 120);
const SHARE = 0.7;
const CALLERS = 100;
const CONNECTIONS = 32;
const MB = 1024 * 1024;

/** Megabytes that may be added in ten minutes. */
const SLOPE_LIMIT = 1;

interface Sample {
  readonly minutes: number;
  /** Of the heap and of buffers, after a collection. */
  readonly heldMb: number;
  readonly rssMb: number;
  readonly files: number;
}

/** Of the line of least squares through the points, per ten units of x. */
function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (pick: 0 | 1): number => points.reduce((sum, point) => sum + point[pick], 0) / points.length;
  const [x, y] = [mean(0), mean(1)];
  const covariance = points.reduce((sum, point) => sum + (point[0] - x) * (point[1] - y), 0);
  return (10 * covariance) / points.reduce((sum, point) => sum + (point[0] - x) ** 2, 0);
}

describe(`${String(MINUTES)} minutes at ${String(SHARE * 100)} % of what the server can do`, () => {
  it(
    'no request fails, memory does not grow, file descriptors stay',
    async () => {
      const programs = await Programs.inEmptyDirectory();
      await chmod(programs.cwd, 0o755);
      const database = await openEmbeddedPostgres({
        dataDir: `${programs.cwd}/.data`,
        owner: true,
        log: () => undefined,
      });
      const admin = generateApiKey();
      const port = await freePort();
      const url = `http://127.0.0.1:${String(port)}`;
      const samplesFile = `${programs.cwd}/heap.jsonl`;
      const { child: server } = startProcess(
        process.execPath,
        [
          '--no-allocation-site-pretenuring', // as the image starts it
          ...['--import', resolve('test/support/heap-after-collection.js'), resolve('dist/app/main.js')],
        ],
        {
          cwd: programs.cwd,
          env: {
            PATH: process.env.PATH,
            PORT: String(port),
            DATABASE_URL: database.url,
            BOOTSTRAP_ADMIN_KEY: admin,
            RATE_LIMIT_PER_MINUTE: '999999999',
            METRICS_PORT: '0',
            HEAP_SAMPLES: samplesFile,
          },
          stdio: ['ignore', 'ignore', 'inherit'],
        },
      );
      while (!(await fetch(`${url}/readyz`).catch(() => null))?.ok) await sleep(50);

      const administrator = new Administrator(url, admin);
      const keys: string[] = [];
      while (keys.length < CALLERS) keys.push((await administrator.makeCaller(`caller-${String(keys.length)}`)).secret);

      /** Half of the requests change a name; a tenth are refused; the rest read. */
      const load = (seconds: number, rate?: number): Promise<autocannon.Result> => {
        let turn = 0;
        return autocannon({
          url,
          connections: CONNECTIONS,
          duration: seconds,
          ...(rate !== undefined && { overallRate: rate }),
          requests: keys.flatMap((key) => [
            ...Array.from({ length: 5 }, () => ({
              method: 'PATCH' as const,
              path: '/v1/users/me',
              headers: { 'x-api-key': key, 'content-type': 'application/json' },
              setupRequest: (request: autocannon.Request) => ({
                ...request,
                body: JSON.stringify({ name: `Turn ${String((turn += 1))}` }),
              }),
            })),
            ...Array.from({ length: 3 }, () => ({
              method: 'GET' as const,
              path: '/v1/users/me',
              headers: { 'x-api-key': key },
            })),
            { method: 'GET' as const, path: '/v1/api-keys', headers: { 'x-api-key': key } },
            { method: 'GET' as const, path: '/v1/users/me', headers: { 'x-api-key': generateApiKey() } },
          ]),
        });
      };
      await load(5);
      const { requests: most } = await load(10);
      const rate = Math.floor(most.average * SHARE);

      const samples: Sample[] = [];
      const start = performance.now();
      const done = { yet: false };
      const sampling = (async () => {
        while (!done.yet) {
          await sleep(SAMPLE_EVERY_MS);
          const before = existsSync(samplesFile) ? readFileSync(samplesFile, 'utf8').length : 0;
          server.kill('SIGUSR2');
          while (!existsSync(samplesFile) || readFileSync(samplesFile, 'utf8').length === before) await sleep(20);
          const last = readFileSync(samplesFile, 'utf8').trim().split('\n').at(-1) ?? '{}';
          const { heapUsed, external, rss } = JSON.parse(last) as { heapUsed: number; external: number; rss: number };
          samples.push({
            minutes: (performance.now() - start) / 60_000,
            heldMb: (heapUsed + external) / MB,
            rssMb: rss / MB,
            files: readdirSync(`/proc/${String(server.pid)}/fd`).length,
          });
        }
      })();
      const result = await load(MINUTES * 60, rate);
      done.yet = true;
      await sampling;
      server.kill('SIGTERM');
      const [code] = (await once(server, 'exit')) as [number | null];
      await database.close();
      await programs.dispose();

      const judged = samples.filter(({ minutes }) => minutes > MINUTES * WARM_UP && minutes < MINUTES);
      const statuses = Object.fromEntries(
        Object.entries(result.statusCodeStats ?? {}).map(([status, { count }]) => [status, count]),
      );
      const figures = {
        minutes: MINUTES,
        most_per_second: Math.round(most.average),
        per_second: Math.round(result.requests.average),
        requests: result.requests.total,
        statuses,
        errors: result.errors + result.timeouts,
        p99_ms: result.latency.p99,
        held_mb: [judged[0]?.heldMb, judged.at(-1)?.heldMb].map((mb) => Number(mb?.toFixed(1))),
        held_mb_in_10_minutes: Number(slope(judged.map(({ minutes, heldMb }) => [minutes, heldMb])).toFixed(2)),
        rss_mb_in_10_minutes: Number(slope(judged.map(({ minutes, rssMb }) => [minutes, rssMb])).toFixed(2)),
        files: [Math.min(...judged.map(({ files }) => files)), Math.max(...judged.map(({ files }) => files))],
      };
      process.stdout.write(`${JSON.stringify(figures)}\n`);

      expect(code).toBe(0);
      expect(figures.errors).toBe(0);
      expect(Object.keys(statuses)).toEqual(['200', '401']);
      expect(figures.held_mb_in_10_minutes).toBeLessThan(SLOPE_LIMIT);
      expect((figures.files[1] ?? NaN) - (figures.files[0] ?? NaN)).toBeLessThanOrEqual(5);
    },
    MINUTES * 60_000 + 120_000,
  );
});

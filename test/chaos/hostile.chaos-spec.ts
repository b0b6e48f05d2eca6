import { once } from 'node:events';
import { randomInt } from 'node:crypto';
import { chmod } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { generateApiKey } from '../../src/common/api-key-format.js';
import { fuzz, randomFrom } from '../support/fuzz.js';
import { scrape } from '../support/metrics.js';
import { startProcess } from '../support/processes.js';
import { Programs, type RunningServer } from '../support/server-process.js';

const FUZZ_ROUNDS = Number(process.env.CHAOS_FUZZ_ROUNDS ?? 25);
const FUZZ_REQUESTS = 4_000;
const CONNECTIONS = 1_000;
const SLOW_SECONDS = 20;
const HEALTHY_P99_LIMIT_MS = 200;

const percentile = (values: readonly number[], p: number): number =>
  [...values].sort((a, b) => a - b)[Math.ceil(values.length * p) - 1] ?? NaN;
const median = (values: readonly number[]): number => percentile(values, 0.5);

describe('Hostile clients', () => {
  let programs: Programs;
  let server: RunningServer;
  let metricsPort: number;
  const key = generateApiKey();

  beforeAll(async () => {
    programs = await Programs.inEmptyDirectory();
    await chmod(programs.cwd, 0o755);
    server = await programs.startServer({
      BOOTSTRAP_ADMIN_KEY: key,
      RATE_LIMIT_PER_MINUTE: '0',
      METRICS_PORT: '0',
    });
    metricsPort = Number((await server.says(/Metrics on port (\d+)/))[1]);
  });
  afterAll(() => programs.dispose());

  const memory = async (): Promise<number> =>
    ((await scrape(metricsPort)).get('process_resident_memory_bytes') ?? NaN) / 2 ** 20;

  it(
    `who send ${String(FUZZ_ROUNDS * FUZZ_REQUESTS)} mutated requests get no server error and no improper answer, and take no memory`,
    async () => {
      const seed = Number(process.env.FUZZ_SEED ?? randomInt(2 ** 32));
      process.stdout.write(`FUZZ_SEED=${String(seed)}\n`);
      const random = randomFrom(seed);
      const { paths } = (await (await fetch(`${server.url}/docs-json`)).json()) as { paths: object };
      const operations = Object.entries(paths).flatMap(([path, methods]) =>
        Object.keys(methods as object).map((method) => `${method.toUpperCase()} ${path}`),
      );
      const made = async (email: string, ...flags: string[]): Promise<{ user: { id: string }; api_key: string }> => {
        const words = ['users', 'create', '--email', email, '--name', 'Fuzz', '--json', ...flags];
        const { stdout, stderr } = await programs.cli(words);
        if (stdout === '') throw new Error(stderr);
        return JSON.parse(stdout) as { user: { id: string }; api_key: string };
      };

      const faults: string[] = [];
      const statuses: Record<string, number> = {};
      const memories: number[] = [];
      for (let round = 0; round < FUZZ_ROUNDS; round += 1) {
        // New ones each time, since what is sent revokes keys and deactivates users.
        const admin = await made(`admin-${String(round)}@example.com`, '--admin');
        const user = await made(`user-${String(round)}@example.com`);
        const target = { adminKey: admin.api_key, userKey: user.api_key, userId: user.user.id, keyName: 'first-key' };
        const port = Number(new URL(server.url).port);
        const result = await fuzz(port, operations, target, random, { requests: FUZZ_REQUESTS, atOnce: 32 });
        faults.push(...result.faults);
        for (const [status, count] of Object.entries(result.statuses)) {
          statuses[status] = (statuses[status] ?? 0) + count;
        }
        memories.push(await memory());
      }

      const quarter = Math.ceil(memories.length / 4);
      const [second, last] = [median(memories.slice(quarter, 2 * quarter)), median(memories.slice(-quarter))];
      process.stdout.write(
        `${JSON.stringify({
          requests: FUZZ_ROUNDS * FUZZ_REQUESTS,
          faults: faults.length,
          statuses,
          memory_mb: { second_quarter: Math.round(second), last_quarter: Math.round(last) },
        })}\n`,
      );
      expect(faults).toEqual([]);
      expect(last).toBeLessThan(second * 1.15);
      expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
    },
    60_000 + FUZZ_ROUNDS * 60_000,
  );

  it.each([
    ['headers', ['-H', '-t', 'GET'], '/v1/users/me'],
    ['bodies', ['-B', '-t', 'PATCH', '-s', '8192', '-f', 'application/json\r\nx-api-key: KEY'], '/v1/users/me'],
    ['ranges', ['-R', '-t', 'HEAD', '-a', '10', '-b', '3000'], '/docs'],
    ['readers', ['-X', '-w', '10', '-y', '20', '-n', '5', '-z', '32', '-k', '3'], '/docs/swagger-ui-bundle.js'],
  ] as const)(
    `${String(CONNECTIONS)} connections of slow %s leave a healthy client every answer, and soon`,
    async (name, mode, path) => {
      const { child: slow } = startProcess(
        'slowhttptest',
        [
          ...mode.map((word) => word.replace('KEY', key)), // the program takes no headers but this one
          ...['-c', String(CONNECTIONS), '-r', '500', '-i', '3', '-x', '16', '-l', String(SLOW_SECONDS), '-p', '3'],
          ...['-u', `${server.url}${path}`],
        ],
        { stdio: 'ignore' },
      );
      await once(slow, 'spawn');
      const durations: number[] = [];
      let failed = 0;
      for (let n = 0; slow.exitCode === null; n += 1) {
        const begun = performance.now();
        const response = await fetch(`${server.url}/v1/users/me`, {
          method: 'PATCH',
          headers: { 'x-api-key': key, 'content-type': 'application/json' },
          body: JSON.stringify({ name: `Healthy ${String(n)}` }),
        }).catch(() => null);
        if ((await response?.text()) === undefined || response?.status !== 200) failed += 1;
        durations.push(performance.now() - begun);
        await sleep(20);
      }
      process.stdout.write(
        `${JSON.stringify({
          slow: name,
          connections: CONNECTIONS,
          healthy_requests: durations.length,
          failed,
          p50_ms: Math.round(median(durations)),
          p99_ms: Math.round(percentile(durations, 0.99)),
        })}\n`,
      );

      expect(failed).toBe(0);
      expect(percentile(durations, 0.99)).toBeLessThan(HEALTHY_P99_LIMIT_MS);
    },
    120_000,
  );
});

import { chmod } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { Client } from 'pg';
import { generateApiKey } from '../../src/common/api-key-format.js';
import { openEmbeddedPostgres } from '../../src/embedded-postgres/open-embedded-postgres.js';
import { Administrator } from '../support/administrator.js';
import { Programs } from '../support/server-process.js';

const SAMPLES = Number(process.env.CHAOS_TIMING_SAMPLES ?? 4_000);
/**
 * Of Welch's t, the bound of leakage assessments: two sets of times that differ by more are told
 * apart.
 */
const T_LIMIT = 4.5;

interface Moments {
  readonly mean: number;
  readonly variance: number;
  readonly count: number;
}

/**
 * Of the quicker nine tenths: the slowest are the machine's doing, and would hide a difference
 * rather than show one.
 */
function momentsOf(times: readonly number[]): Moments {
  const kept = [...times].sort((a, b) => a - b).slice(0, Math.floor(times.length * 0.9));
  const mean = kept.reduce((sum, time) => sum + time, 0) / kept.length;
  const variance = kept.reduce((sum, time) => sum + (time - mean) ** 2, 0) / (kept.length - 1);
  return { mean, variance, count: kept.length };
}

const welch = (a: Moments, b: Moments): number =>
  (a.mean - b.mean) / Math.sqrt(a.variance / a.count + b.variance / b.count);

describe('The time that a refused key takes', () => {
  it(
    'does not tell why it is refused',
    async () => {
      const programs = await Programs.inEmptyDirectory();
      await chmod(programs.cwd, 0o755);
      const database = await openEmbeddedPostgres({
        dataDir: `${programs.cwd}/.data`,
        owner: true,
        log: () => undefined,
      });
      const admin = generateApiKey();
      const server = await programs.startServer({
        DATABASE_URL: database.url,
        BOOTSTRAP_ADMIN_KEY: admin,
        RATE_LIMIT_PER_MINUTE: '0',
      });
      const administrator = new Administrator(server.url, admin);
      const [revoked, expired, inactive, superseded] = [
        await administrator.makeCaller('revoked'),
        await administrator.makeCaller('expired'),
        await administrator.makeCaller('inactive'),
        await administrator.makeCaller('superseded'),
      ];
      const client = new Client({ connectionString: database.url });
      await client.connect();
      await client.query('UPDATE api_keys SET revoked_at = now() WHERE user_id = $1', [revoked.id]);
      await client.query('UPDATE api_keys SET expires_at = now() WHERE user_id = $1', [expired.id]);
      await client.query(`UPDATE users SET status = 'INACTIVE' WHERE id = $1`, [inactive.id]);
      await fetch(`${server.url}/v1/api-keys/key/rotate`, {
        method: 'POST',
        headers: { 'x-api-key': superseded.secret, 'content-type': 'application/json' },
        body: JSON.stringify({ expires_at: '2099-01-01T00:00:00Z', overlap_seconds: 3600 }),
      });
      await client.query('UPDATE superseded_secrets SET expires_at = now()');
      await client.query('VACUUM ANALYZE');
      await client.end();

      const keys = {
        unknown: generateApiKey(),
        revoked: revoked.secret,
        expired: expired.secret,
        'of an inactive user': inactive.secret,
        'superseded, its overlap over': superseded.secret,
      };
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      const time = (key: string): Promise<number> =>
        new Promise((resolve, reject) => {
          const begun = process.hrtime.bigint();
          request(`${server.url}/v1/users/me`, { agent, headers: { 'x-api-key': key } }, (response) => {
            expect(response.statusCode).toBe(401);
            response.resume().once('end', () => {
              resolve(Number(process.hrtime.bigint() - begun) / 1000);
            });
          })
            .once('error', reject)
            .end();
        });

      const names = Object.keys(keys) as (keyof typeof keys)[];
      const times = new Map(names.map((name) => [name, [] as number[]]));
      for (let sample = -200; sample < SAMPLES; sample += 1) {
        // In turns, each beginning as often as the others, so that a slow moment of the machine
        // meets all of them.
        for (const [index] of names.entries()) {
          const name = names[(index + sample + 200) % names.length];
          if (name === undefined) continue;
          const microseconds = await time(keys[name]);
          if (sample >= 0) times.get(name)?.push(microseconds);
        }
      }
      agent.destroy();
      await programs.dispose();
      await database.close();

      const unknown = momentsOf(times.get('unknown') ?? []);
      const compared = names
        .filter((name) => name !== 'unknown')
        .map((name) => {
          const moments = momentsOf(times.get(name) ?? []);
          return { key: name, mean_us: Math.round(moments.mean), t: Number(welch(moments, unknown).toFixed(2)) };
        });
      process.stdout.write(
        `${JSON.stringify({ samples: SAMPLES, unknown_mean_us: Math.round(unknown.mean), compared })}\n`,
      );
      expect(compared.filter(({ t }) => Math.abs(t) >= T_LIMIT)).toEqual([]);
    },
    60_000 + SAMPLES * 60,
  );
});

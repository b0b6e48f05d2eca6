import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { generateApiKey } from '../../src/common/api-key-format.js';
import { PatroniCluster, type PatroniNode } from '../support/patroni.js';
import { RecordedLoad } from '../support/recorded-load.js';
import { Programs } from '../support/server-process.js';

/** How often each event happens, and a part of the names of those that do. */
const ROUNDS = Number(process.env.CHAOS_ROUNDS ?? 1);
const CHOSEN = process.env.CHAOS_EVENTS ?? '';
/**
 * Over etcd's v3 API, Patroni 3.0.2 loses acknowledged changes, so that the test must fail
 * (docs/reliability.md).
 */
const ETCD_API = process.env.CHAOS_ETCD3 === 'true' ? 'etcd3' : 'etcd';
const ROUND_TIMEOUT_MS = 15 * 60_000;
const EVENT_TIMEOUT_MS = 3 * 60_000;
const LIMIT_MS = 3_000;
/** Findings of each kind that a failure shows. */
const SHOWN = 5;
/** The changes on a new primary before the node that was frozen goes on. */
const CHANGES_MEANWHILE = 300;

interface Event {
  /** Undefined where the primary stays. */
  readonly movesPrimary?: true;
  readonly of: (cluster: PatroniCluster) => Promise<PatroniNode>;
  readonly begin: (node: PatroniNode) => Promise<void>;
  /** Undefined where the node comes back by itself. */
  readonly end?: (node: PatroniNode) => Promise<void>;
}

const primary = (cluster: PatroniCluster): Promise<PatroniNode> => cluster.primary();
const standby = (cluster: PatroniCluster): Promise<PatroniNode> => cluster.synchronousStandby();

const EVENTS: Readonly<Record<string, Event>> = {
  'planned switchover': { movesPrimary: true, of: primary, begin: (node) => node.switchover() },
  'kill -9 of the postmaster': { movesPrimary: true, of: primary, begin: (node) => node.killPostmaster() },
  'kill -9 of the primary and its Patroni': {
    movesPrimary: true,
    of: primary,
    begin: (node) => node.signalAll('SIGKILL'),
    end: (node) => node.start(),
  },
  'SIGSTOP of the primary': {
    movesPrimary: true,
    of: primary,
    begin: (node) => node.signalPostgres('SIGSTOP'),
    end: (node) => node.signalPostgres('SIGCONT'),
  },
  'SIGSTOP of the primary and its Patroni': {
    movesPrimary: true,
    of: primary,
    begin: (node) => node.signalAll('SIGSTOP'),
    end: (node) => node.signalAll('SIGCONT'),
  },
  'kill -9 of the synchronous standby and its Patroni': {
    of: standby,
    begin: (node) => node.signalAll('SIGKILL'),
    end: (node) => node.start(),
  },
  'SIGSTOP of the synchronous standby and its Patroni': {
    of: standby,
    begin: (node) => node.signalAll('SIGSTOP'),
    end: (node) => node.signalAll('SIGCONT'),
  },
};

/** Asks a node again and again whether it is a primary, and notes when it becomes one. */
class Watch {
  readonly promotions: number[] = [];
  private readonly stopping = new AbortController();
  private isPrimary = true; // until the first answer, which is no promotion
  private readonly running: Promise<void>;

  constructor(readonly node: PatroniNode) {
    this.running = this.run();
  }

  private async run(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      const client = new Client({
        connectionString: this.node.superuserUrl,
        connectionTimeoutMillis: 500,
        query_timeout: 500,
      });
      client.on('error', () => undefined);
      try {
        await client.connect();
        for (;;) {
          const { rows } = await client.query<{ writable: boolean }>('SELECT NOT pg_is_in_recovery() AS writable');
          const writable = rows[0]?.writable ?? false;
          if (writable && !this.isPrimary) this.promotions.push(performance.now());
          this.isPrimary = writable;
          await sleep(20, undefined, { signal: this.stopping.signal });
        }
      } catch {
        await sleep(50);
      } finally {
        void client.end().catch(() => undefined);
      }
    }
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }
}

const within = async (what: string, work: Promise<void>): Promise<void> => {
  const limit = new AbortController();
  const late = sleep(EVENT_TIMEOUT_MS, undefined, { signal: limit.signal }).then(() => {
    throw new Error(`${what} did not end in ${String(EVENT_TIMEOUT_MS)} ms`);
  });
  late.catch(() => undefined);
  await Promise.race([work, late]).finally(() => {
    limit.abort();
  });
};

const report = (figures: object): void => {
  process.stdout.write(`${JSON.stringify(figures)}\n`);
};

describe(`Two instances behind HAProxy, on three PostgreSQL nodes under Patroni, in ${String(ROUNDS)} rounds of failovers`, () => {
  it(
    'lose and double no acknowledged change, show none as undone, accept no revoked key, and fail no request but with 503',
    async () => {
      const cluster = await PatroniCluster.start(ETCD_API);
      const programs = await Programs.inEmptyDirectory();
      const key = generateApiKey();
      const env = { DATABASE_URL: cluster.url, BOOTSTRAP_ADMIN_KEY: key, RATE_LIMIT_PER_MINUTE: '0' };
      const instances = [await programs.startServer(env), await programs.startServer(env)];
      const load = await RecordedLoad.begin(
        instances.map(({ url }) => url),
        key,
      );
      const watches = cluster.nodes.map((node) => new Watch(node));

      const events = Object.entries(EVENTS).filter(([name]) => name.includes(CHOSEN));
      const happen = async (name: string, { movesPrimary, of, begin, end }: Event): Promise<void> => {
        await load.progresses(CHANGES_MEANWHILE);
        const node = await of(cluster);
        const began = performance.now();
        const promotion = (): number | undefined =>
          watches.flatMap(({ promotions }) => promotions).find((at) => at > began);
        await begin(node);
        if (movesPrimary) while (promotion() === undefined) await sleep(20);
        await load.progresses(CHANGES_MEANWHILE);
        await end?.(node);
        await cluster.settled();
        await load.progresses(CHANGES_MEANWHILE);

        const times = load.acknowledged.filter((at) => at > began - 1_000);
        const outage = Math.max(...times.slice(1).map((at, index) => at - (times[index] ?? at)));
        const promoted = promotion();
        const first = times.find((at) => at > (promoted ?? Infinity));
        report({
          event: name,
          promoted_after_ms: promoted && Math.round(promoted - began),
          longest_outage_ms: Math.round(outage),
          first_200_after_promotion_ms: promoted && first && Math.round(first - promoted),
        });
      };
      // Compared all the same, where a cluster does not come back to order.
      let failure: unknown;
      try {
        for (let round = 0; round < ROUNDS; round += 1)
          for (const [name, event] of events) await within(name, happen(name, event));
      } catch (error) {
        failure = error;
      }
      await load.stop();
      await Promise.all(watches.map((watch) => watch.stop()));
      const database = new Client({ connectionString: cluster.url });
      await database.connect();
      const comparison = await load.compare(async <Row extends object>(text: string) => {
        const { rows } = await database.query<Row>(text);
        return rows;
      });
      await database.end();
      const reconciled = await programs.cli(['credits', 'reconcile'], { DATABASE_URL: cluster.url });
      const ended = await Promise.all(instances.map((instance) => instance.end('SIGTERM')));
      await programs.dispose();
      await cluster.dispose();

      const { lost, doubled, ...acknowledged } = comparison;
      const { requests, statuses, slowestMs, looksWithRevokedKeys, stale, accepted, unexpected } = load;
      report({
        events: ROUNDS * events.length,
        requests,
        statuses,
        slowest_ms: Math.round(slowestMs),
        acknowledged,
        looks_with_revoked_keys: looksWithRevokedKeys,
        lost: lost.length,
        doubled: doubled.length,
        stale: stale.length,
        accepted: accepted.length,
        unexpected: unexpected.length,
      });
      const findings = Object.entries({ lost, doubled, stale, accepted, unexpected });
      expect(findings.flatMap(([kind, found]) => found.slice(0, SHOWN).map((one) => `${kind}: ${one}`))).toEqual([]);
      expect(failure).toBeUndefined();
      expect(slowestMs).toBeLessThan(LIMIT_MS);
      expect(reconciled.code).toBe(0);
      expect(ended.map(({ code }) => code)).toEqual([0, 0]); // neither was restarted
      expect(Math.min(...Object.values(acknowledged))).toBeGreaterThan(0);
    },
    ROUNDS * ROUND_TIMEOUT_MS,
  );
});

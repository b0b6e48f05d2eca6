/*
 * The load, in a process of its own: each connection has users of its own and renames them in turn,
 * so that the last name of each is known. Takes its orders as JSON in its only argument, and prints
 * what it saw as JSON.
 */
import autocannon from 'autocannon';

export interface Load {
  readonly urls: readonly string[];
  readonly method: 'GET' | 'PATCH';
  /** One for each user. */
  readonly keys: readonly string[];
  readonly connections: number;
  /** Requests of all connections together. */
  readonly amount: number;
  /**
   * So many of them first, which are not measured: meanwhile the generator's own code is being
   * compiled.
   */
  readonly unmeasured: number;
  /** Tells the names of one run from those of another. */
  readonly run: string;
}

export interface Seen {
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  /** Answers that were anything but 200, and requests without one. */
  readonly failed: number;
  /** By key: the name that was sent last. */
  readonly names: Readonly<Record<string, string>>;
}

/** Names that each user gets in turn: consecutive ones differ, so every request is a change. */
const NAMES = 4;

async function load({ urls, method, keys, connections, amount, unmeasured, run }: Load): Promise<Seen> {
  const names: Record<string, string> = {};
  let connection = 0;
  let failed = 0;
  let seen = 0;
  const durations: number[] = [];

  let start = 0;
  let end = 0; // of the last answer: the generator itself looks up only once a second whether it is done
  const result = await autocannon({
    url: urls as unknown as string, // one connection each in turn, of which its types know nothing
    connections,
    amount,
    setupClient: (client) => {
      const own = keys.filter((_, index) => index % connections === connection % connections);
      connection += 1;
      const turns = Array.from({ length: NAMES }, (_, turn) =>
        own.map((key) => ({ key, name: `${run} ${String(turn)}` })),
      ).flat();
      client.setRequests(
        turns.map(({ key, name }) => ({
          method,
          path: '/v1/users/me',
          headers: { 'x-api-key': key, ...(method === 'PATCH' && { 'content-type': 'application/json' }) },
          ...(method === 'PATCH' && { body: JSON.stringify({ name }) }),
        })),
      );
      let answered = 0;
      client.on('response', (status, _bytes, ms) => {
        const turn = turns[answered % turns.length];
        answered += 1;
        seen += 1;
        end = performance.now();
        start ||= end - ms;
        if (seen > unmeasured) durations.push(ms);
        else start = end;
        if (status !== 200) failed += 1;
        else if (turn && method === 'PATCH') names[turn.key] = turn.name;
      });
    },
  });

  durations.sort((a, b) => a - b);
  const percentile = (p: number): number => durations[Math.ceil(durations.length * p) - 1] ?? NaN;
  return {
    perSecond: durations.length / ((end - start) / 1000),
    p50: percentile(0.5),
    p99: percentile(0.99),
    failed: failed + result.errors + result.timeouts + (amount - seen),
    names,
  };
}

console.log(JSON.stringify(await load(JSON.parse(process.argv[2] ?? '{}') as Load)));

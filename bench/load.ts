/*
 * The load, in a process of its own: each connection has users of its own and renames them in turn,
 * so that the last name of each is known, or spends a credit of one account after the other. Takes
 * its orders as JSON in its only argument, and prints what it saw as JSON.
 */
import autocannon from 'autocannon';

export interface Load {
  readonly urls: readonly string[];
  readonly method: 'GET' | 'PATCH' | 'POST';
  /** One for each user. */
  readonly keys: readonly string[];
  /** Users who are charged by `POST`, with the first key. */
  readonly accounts: readonly string[];
  readonly connections: number;
  /** Requests of all connections together. */
  readonly amount: number;
  /**
   * So many of them first, which are not measured: meanwhile the generator's own code is being
   * compiled.
   */
  readonly unmeasured: number;
  /** Tells the names and transactions of one run from those of another. */
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

async function load(order: Load): Promise<Seen> {
  const { urls, method, keys, connections, amount, unmeasured, run } = order;
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
        method === 'POST'
          ? charges(order, connection)
          : turns.map(({ key, name }) => ({
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

/** A request for each account of the connection, or for the only one, with a new id each time. */
function charges({ keys: [key = ''], accounts, connections, run }: Load, connection: number): autocannon.Request[] {
  const own = accounts.filter((_, index) => accounts.length === 1 || index % connections === connection % connections);
  let sent = 0;
  return own.map((user_id) => ({
    method: 'POST',
    path: '/v1/billing/credits-deduct',
    headers: { 'x-api-key': key, 'content-type': 'application/json' },
    setupRequest: (request) => {
      sent += 1;
      const transaction_id = `${run} ${String(connection)} ${String(sent)}`;
      return { ...request, body: JSON.stringify({ user_id, amount: 1, transaction_id }) };
    },
  }));
}

console.log(JSON.stringify(await load(JSON.parse(process.argv[2] ?? '{}') as Load)));

/*
 * The load generator, in a separate process: each connection renames its own users in turn, so that
 * the last name of each is known, or spends or holds a credit of one account after the other, or
 * verifies keys. Takes a `Load` as JSON in its only argument, and prints a `Seen` as JSON.
 */
import autocannon from 'autocannon';
import { type Holding, holdings } from './holds.js';
import { type Verification, verifications } from './verify.js';

export interface Load {
  readonly urls: readonly string[];
  /** `GET` and `PATCH` are of /v1/users/me. */
  readonly kind: 'GET' | 'PATCH' | 'charge' | Holding | Verification;
  /** One for each user. */
  readonly keys: readonly string[];
  /** Users whose credits are spent or held, in requests with the first key. */
  readonly accounts: readonly string[];
  readonly connections: number;
  /**
   * Number of units of all connections together: requests, or pairs of requests if the kind names
   * two.
   */
  readonly amount: number;
  /**
   * Number of units before these that are not measured, because the generator's own code is being
   * compiled meanwhile.
   */
  readonly unmeasured: number;
  /** Distinguishes the names and transactions of one run from those of another. */
  readonly run: string;
}

export interface Seen {
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  /**
   * The number of responses other than 200 and 201 or that refused the call, and of units with
   * missing responses.
   */
  readonly failed: number;
  /** The name that was sent last, by key. */
  readonly names: Readonly<Record<string, string>>;
}

/**
 * Number of names that each user gets in turn: consecutive names differ, so every request is a
 * change.
 */
const NAMES = 4;

async function load(order: Load): Promise<Seen> {
  const { urls, kind, keys, connections, amount, unmeasured, run } = order;
  const unit = kind.includes(', then ') ? 2 : 1; // requests
  const names: Record<string, string> = {};
  let connection = 0;
  let failed = 0;
  let refused = 0;
  let seen = 0;
  const durations: number[] = [];

  let start = 0;
  let end = 0; // of the last response: the generator itself checks only once a second whether it is done
  const result = await autocannon({
    url: urls as unknown as string, // one for each connection in turn, which its types do not allow
    connections,
    amount: amount * unit,
    setupClient: (client) => {
      const own = keys.filter((_, index) => index % connections === connection % connections);
      connection += 1;
      const turns = Array.from({ length: NAMES }, (_, turn) =>
        own.map((key) => ({ key, name: `${run} ${String(turn)}` })),
      ).flat();
      client.setRequests(requests(order, own, turns, connection, () => (refused += 1)));
      let answered = 0;
      let unitMs = 0;
      client.on('response', (status, _bytes, ms) => {
        const turn = turns[answered % turns.length];
        answered += 1;
        if (status !== 200 && status !== 201) failed += 1;
        else if (turn && kind === 'PATCH') names[turn.key] = turn.name;
        unitMs += ms;
        if (answered % unit > 0) return;
        seen += 1;
        end = performance.now();
        start ||= end - unitMs;
        if (seen > unmeasured) durations.push(unitMs);
        else start = end;
        unitMs = 0;
      });
    },
  });

  durations.sort((a, b) => a - b);
  const percentile = (p: number): number => durations[Math.ceil(durations.length * p) - 1] ?? NaN;
  return {
    perSecond: durations.length / ((end - start) / 1000),
    p50: percentile(0.5),
    p99: percentile(0.99),
    failed: failed + refused + result.errors + result.timeouts + (amount - seen),
    names,
  };
}

interface Turn {
  readonly key: string;
  readonly name: string;
}

/** The requests that one connection sends repeatedly. */
function requests(
  order: Load,
  own: readonly string[],
  turns: readonly Turn[],
  connection: number,
  refused: () => void,
): autocannon.Request[] {
  const { kind } = order;
  if (kind === 'charge') return charges(order, connection);
  if (kind === 'charge, then charge' || kind === 'hold, then capture')
    return holdings(order, accountsOf(order, connection), connection);
  if (kind !== 'GET' && kind !== 'PATCH') return verifications(order, own, connection, refused);
  return turns.map(({ key, name }) => ({
    method: kind,
    path: '/v1/users/me',
    headers: { 'x-api-key': key, ...(kind === 'PATCH' && { 'content-type': 'application/json' }) },
    ...(kind === 'PATCH' && { body: JSON.stringify({ name }) }),
  }));
}

/** A request for each account of the connection, or for the only one, with a new id each time. */
function charges(order: Load, connection: number): autocannon.Request[] {
  const {
    keys: [key = ''],
    run,
  } = order;
  let sent = 0;
  return accountsOf(order, connection).map((user_id) => ({
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

const accountsOf = ({ accounts, connections }: Load, connection: number): readonly string[] =>
  accounts.filter((_, index) => accounts.length === 1 || index % connections === connection % connections);

console.log(JSON.stringify(await load(JSON.parse(process.argv[2] ?? '{}') as Load)));

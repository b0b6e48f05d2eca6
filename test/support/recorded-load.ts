import { randomInt, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Administrator } from './administrator.js';

/** Clients of each kind. */
const CUSTOMERS = 16;
const REVOKERS = 2;

/** Keys that the last revocations ended, which are tried again and again. */
const RECENT = 50;

const FAR = '2099-01-01T00:00:00Z';

interface Customer {
  readonly id: string;
  readonly key: string;
  /** The number in the last name that was acknowledged. */
  renamed: number;
  /** The balance after the last acknowledged movement. */
  balance: number;
  /** Of a movement that was not acknowledged when the load stopped, and that may have been made. */
  pending: number;
}

interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

type Sql = <Row extends object>(text: string) => Promise<Row[]>;

/** What was acknowledged and is not there, or is there twice, or was otherwise wrong. */
export interface Comparison {
  readonly changes: number;
  readonly movements: number;
  readonly revocations: number;
  readonly lost: readonly string[];
  readonly doubled: readonly string[];
}

/**
 * Clients that change names, move credits and revoke keys through two instances, and record all
 * that is acknowledged; others read what must be seen, and use keys that must be refused.
 */
export class RecordedLoad {
  readonly statuses: Record<string, number> = {};
  /** When a change was acknowledged, in milliseconds of `performance.now()`. */
  readonly acknowledged: number[] = [];
  /** Responses that showed less than was acknowledged before the request was sent. */
  readonly stale: string[] = [];
  /** Responses other than 401 and 503 to a revoked key. */
  readonly accepted: string[] = [];
  readonly unexpected: string[] = [];
  requests = 0;
  looksWithRevokedKeys = 0;
  slowestMs = 0;

  private readonly customers: Customer[] = [];
  private readonly names: string[] = [];
  /** The id of the entry of each acknowledged movement. */
  private readonly movements = new Map<string, string>();
  private readonly revoked: string[] = [];
  private readonly running: Promise<void>[] = [];
  private going = true;

  private constructor(
    private readonly urls: readonly string[],
    private readonly administratorKey: string,
  ) {}

  static async begin(urls: readonly string[], administratorKey: string): Promise<RecordedLoad> {
    const load = new RecordedLoad(urls, administratorKey);
    const administrator = new Administrator(urls[0] ?? '', administratorKey);
    const make = async (name: string): Promise<Customer> => {
      const { id, secret } = await administrator.makeCaller(name);
      return { id, key: secret, renamed: 0, balance: 0, pending: 0 };
    };
    while (load.customers.length < CUSTOMERS)
      load.customers.push(await make(`customer-${String(load.customers.length)}`));
    for (const customer of load.customers) load.repeat(() => load.serve(customer));
    for (let revoker = 0; revoker < REVOKERS; revoker += 1) {
      const { key } = await make(`revoker-${String(revoker)}`);
      load.repeat(() => load.revokeKey(key));
    }
    for (const url of urls) {
      load.repeat(() => load.read(url, load.customers[randomInt(CUSTOMERS)]));
      load.repeat(() => load.tryRevoked(url));
    }
    return load;
  }

  private repeat(work: () => Promise<void>): void {
    const loop = async (): Promise<void> => {
      while (this.going) {
        await work();
        await sleep(randomInt(5, 16));
      }
    };
    this.running.push(loop());
  }

  /** Waits until changes have been acknowledged from now on. */
  async progresses(changes: number): Promise<void> {
    const target = this.acknowledged.length + changes;
    while (this.acknowledged.length < target) await sleep(20);
  }

  async stop(): Promise<void> {
    this.going = false;
    await Promise.all(this.running);
  }

  private async serve(customer: Customer): Promise<void> {
    const turn = randomInt(10);
    if (turn < 4) await this.rename(customer);
    else if (turn < 7) await this.move(customer);
    else await this.read(this.anyUrl(), customer);
  }

  private attempts = 0;

  private async rename(customer: Customer): Promise<void> {
    const number = (this.attempts += 1);
    const name = `Name ${String(number)}`;
    const { status, body } = await this.send(customer.key, this.anyUrl(), 'PATCH', 'users/me', [200, 503], { name });
    if (status !== 200) return;
    if (body.name !== name) this.stale.push(`PATCH to "${name}" returned "${String(body.name)}"`);
    this.acknowledge();
    customer.renamed = number;
    this.names.push(`${customer.id} ${name}`);
  }

  /** Adds credits, and repeats the request until it is acknowledged, as a caller does. */
  private async move(customer: Customer): Promise<void> {
    const request = { user_id: customer.id, amount: randomInt(1, 10), transaction_id: randomUUID() };
    customer.pending = request.amount;
    while (this.going) {
      const url = this.anyUrl();
      const add = 'billing/credits-add';
      const { status, body } = await this.send(this.administratorKey, url, 'POST', add, [200, 503], request);
      if (status === 200) {
        this.acknowledge();
        customer.balance += request.amount;
        customer.pending = 0;
        if (body.balance_after !== customer.balance)
          this.stale.push(`balance_after ${String(body.balance_after)} instead of ${String(customer.balance)}`);
        this.movements.set(`${customer.id} ${request.transaction_id}`, String(body.id));
        return;
      }
      await sleep(randomInt(20, 100));
    }
  }

  private async read(url: string, customer: Customer | undefined): Promise<void> {
    if (!customer) return;
    const { key, renamed, balance } = customer;
    const { status, body } = await this.send(key, url, 'GET', 'users/me', [200, 503]);
    if (status !== 200) return;
    const shown = Number(/^Name (\d+)$/.exec(String(body.name))?.[1] ?? 0);
    if (shown < renamed) this.stale.push(`name ${String(shown)} after ${String(renamed)}`);
    if (Number(body.credits_balance) < balance)
      this.stale.push(`balance ${String(body.credits_balance)} after ${String(balance)}`);
  }

  /** Makes a key, uses it on both instances, revokes it, and tries it on both. */
  private async revokeKey(owner: string): Promise<void> {
    const name = randomUUID();
    const body = { name, expires_at: FAR };
    const created = await this.untilServed((url, isRepeat) =>
      // A repeat after 503 may find the key of the first request, whose secret nobody has received.
      this.send(owner, url, 'POST', 'api-keys', isRepeat ? [201, 409, 503] : [201, 503], body),
    );
    if (created.status === 503) return; // stopped
    const secret = created.status === 201 ? String(created.body.secret) : undefined;
    if (secret !== undefined)
      for (const url of this.urls) await this.send(secret, url, 'GET', 'api-keys/current', [200, 503]);
    const revoked = await this.untilServed((url) => this.send(owner, url, 'DELETE', `api-keys/${name}`, [200, 503]));
    if (revoked.status !== 200) return;
    this.acknowledge();
    if (secret === undefined) return;
    this.revoked.push(secret);
    for (const url of this.urls) await this.useRevoked(url, secret);
  }

  private async tryRevoked(url: string): Promise<void> {
    const recent = this.revoked.slice(-RECENT);
    if (recent.length > 0) await this.useRevoked(url, recent[randomInt(recent.length)] ?? '');
  }

  private async useRevoked(url: string, secret: string): Promise<number> {
    this.looksWithRevokedKeys += 1;
    const { status } = await this.send(secret, url, 'GET', 'api-keys/current', [401, 503]);
    if (status !== 401 && status !== 503) this.accepted.push(`${secret.slice(0, 8)}: ${String(status)}`);
    return status;
  }

  private async untilServed(work: (url: string, isRepeat: boolean) => Promise<Answer>): Promise<Answer> {
    for (let isRepeat = false; ; isRepeat = true) {
      const answer = await work(this.anyUrl(), isRepeat);
      if (answer.status !== 503 || !this.going) return answer;
      await sleep(randomInt(20, 100));
    }
  }

  private anyUrl(): string {
    return this.urls[randomInt(this.urls.length)] ?? '';
  }

  private acknowledge(): void {
    this.acknowledged.push(performance.now());
  }

  private async send(
    key: string,
    url: string,
    method: string,
    path: string,
    expected: readonly number[],
    body?: object,
  ): Promise<Answer> {
    this.requests += 1;
    const sent = performance.now();
    try {
      const response = await fetch(`${url}/v1/${path}`, {
        method,
        headers: { 'x-api-key': key, 'content-type': 'application/json' },
        ...(body && { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      const { status } = response;
      this.slowestMs = Math.max(this.slowestMs, performance.now() - sent);
      this.statuses[status] = (this.statuses[status] ?? 0) + 1;
      if (!expected.includes(status) || (status === 503 && response.headers.get('retry-after') === null))
        this.unexpected.push(`${method} /v1/${path}: ${String(status)} ${status < 400 ? '' : text}`);
      return { status, body: JSON.parse(text) as Answer['body'] };
    } catch (error) {
      const { cause, message } = error as Error;
      this.unexpected.push(`${method} /v1/${path}: ${cause instanceof Error ? cause.message : message}`);
      return { status: 503, body: {} };
    }
  }

  /** Compares all that was acknowledged with what is stored, once the clients have stopped. */
  async compare(sql: Sql): Promise<Comparison> {
    const changes = await sql<{ found: string }>(
      `SELECT user_id || ' ' || (changes #>> '{name,after}') AS found
         FROM audit_events WHERE action = 'user.updated' AND changes ? 'name'`,
    );
    const entries = await sql<{ found: string; id: string }>(
      `SELECT user_id || ' ' || transaction_id AS found, id FROM credit_entries`,
    );
    const stored = await sql<{ id: string; name: string; balance: string }>(
      'SELECT id, name, credits_balance AS balance FROM users',
    );
    const changed = countsOf(changes.map(({ found }) => found));
    const moved = countsOf(entries.map(({ found }) => found));
    const entryIds = new Map(entries.map(({ found, id }) => [found, id]));
    const users = new Map(stored.map((user) => [user.id, user]));

    const lost = [
      ...this.names.filter((name) => !changed.has(name)),
      ...[...this.movements].flatMap(([movement, id]) => (entryIds.get(movement) === id ? [] : [movement])),
      ...this.customers.flatMap(({ id, renamed, balance, pending }) => {
        const user = users.get(id);
        const isKept =
          Number(/\d+$/.exec(user?.name ?? '')?.[0] ?? 0) >= renamed &&
          [balance, balance + pending].includes(Number(user?.balance));
        return isKept ? [] : [`user ${id}: ${String(user?.name)}, ${String(user?.balance)}`];
      }),
    ];
    for (const secret of this.revoked)
      for (const url of this.urls) while ((await this.useRevoked(url, secret)) === 503) await sleep(50);
    const isTwice = ([, count]: readonly [string, number]): boolean => count > 1;
    const doubled = [...[...changed].filter(isTwice), ...[...moved].filter(isTwice)].map(([what]) => what);
    return {
      changes: this.names.length,
      movements: this.movements.size,
      revocations: this.revoked.length,
      lost,
      doubled,
    };
  }
}

function countsOf(values: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

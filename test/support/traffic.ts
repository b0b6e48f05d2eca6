import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { generateApiKey } from '../../src/common/api-key-format.js';

export interface Sample {
  /** As the document has it: "GET /v1/users/me". */
  readonly route: string;
  /** When it was sent, in milliseconds of `performance.now()`. */
  readonly at: number;
  readonly ms: number;
  readonly status: number;
  readonly retryAfter: string | null;
  /** What a 200 of `POST /v1/verify` says of a key that always works; null of other responses. */
  readonly allowed: boolean | null;
}

/** Not sent: it ends the key that sends it. */
export const UNSENT = 'DELETE /v1/api-keys/current';

interface Request {
  readonly route: string;
  readonly path: string;
  readonly body?: object;
}

const FAR = '2099-01-01T00:00:00.000Z';

/**
 * Requests to every route of the API, one after the other for each client, without a pause, until
 * they are stopped.
 */
export class Traffic {
  readonly samples: Sample[] = [];
  private going = true;
  private readonly clients: Promise<void>[] = [];

  private constructor(
    private readonly url: string,
    private readonly key: string,
    private readonly headers: Readonly<Record<string, string>>,
  ) {}

  /** @param key of an administrator */
  static async begin(
    url: string,
    key: string,
    {
      clients = 6,
      headers = {},
    }: { readonly clients?: number; readonly headers?: Readonly<Record<string, string>> } = {},
  ): Promise<Traffic> {
    const traffic = new Traffic(url, key, headers);
    await traffic.prepare();
    for (let client = 0; client < clients; client += 1) traffic.clients.push(traffic.sendAll(client));
    return traffic;
  }

  /** Sends one kind of request again and again. */
  repeat(route: string, path: string, body?: object): void {
    const loop = async (): Promise<void> => {
      while (this.going) {
        await this.send({ route, path, ...(body && { body }) });
        await sleep(10);
      }
    };
    this.clients.push(loop());
  }

  async stop(): Promise<readonly Sample[]> {
    this.going = false;
    await Promise.all(this.clients);
    return this.samples;
  }

  private victim = '';
  private customer = '';
  private customerKey = '';
  private readonly holds = { open: '', voided: '', captured: '' };

  /** Rows that many requests may change again and again. */
  private async prepare(): Promise<void> {
    const user = async (): Promise<string> => {
      const response = await this.fetch('POST', '/v1/users', { name: 'U', email: `${randomUUID()}@example.com` });
      return ((await response.json()) as { id: string }).id;
    };
    this.victim = await user();
    this.customer = await user();
    const credits = { user_id: this.customer, amount: 1_000_000, transaction_id: 'first' };
    await this.fetch('POST', '/v1/billing/credits-add', credits);
    for (const kind of ['open', 'voided', 'captured'] as const) {
      const hold = { user_id: this.customer, amount: 1, transaction_id: kind, expires_in_seconds: 604_800 };
      const response = await this.fetch('POST', '/v1/billing/holds', hold);
      this.holds[kind] = ((await response.json()) as { id: string }).id;
    }
    for (const path of ['/v1/api-keys', `/v1/users/${this.customer}/api-keys`])
      for (const name of ['rotating', 'changing', 'revoked']) await this.fetch('POST', path, { name, expires_at: FAR });
    const created = await this.fetch('POST', `/v1/users/${this.customer}/api-keys`, {
      name: 'charged',
      expires_at: FAR,
    });
    this.customerKey = ((await created.json()) as { secret: string }).secret;
  }

  private requests(): Request[] {
    const { victim, customer, holds } = this;
    const soon = new Date(Date.now() + 3_000).toISOString(); // so that no user has too many active keys
    const unique = randomUUID();
    const credits = { user_id: customer, amount: 1, transaction_id: unique };
    return [
      { route: 'GET /v1/users/me', path: '/v1/users/me' },
      { route: 'PATCH /v1/users/me', path: '/v1/users/me', body: { name: unique } },
      { route: 'POST /v1/api-keys', path: '/v1/api-keys', body: { name: unique, expires_at: soon } },
      { route: 'GET /v1/api-keys', path: '/v1/api-keys' },
      { route: 'GET /v1/api-keys/current', path: '/v1/api-keys/current' },
      { route: 'GET /v1/api-keys/{key_name}', path: '/v1/api-keys/changing' },
      { route: 'PATCH /v1/api-keys/{key_name}', path: '/v1/api-keys/changing', body: { expires_at: FAR } },
      { route: 'DELETE /v1/api-keys/{key_name}', path: '/v1/api-keys/revoked' },
      {
        route: 'POST /v1/api-keys/{key_name}/rotate',
        path: '/v1/api-keys/rotating/rotate',
        body: { expires_at: FAR, overlap_seconds: 60 },
      },
      { route: 'GET /v1/billing/credit-history', path: '/v1/billing/credit-history' },
      { route: 'POST /v1/users', path: '/v1/users', body: { name: 'U', email: `${unique}@example.com` } },
      { route: 'GET /v1/users', path: '/v1/users' },
      { route: 'GET /v1/users', path: '/v1/users?search=example' },
      { route: 'GET /v1/users/{user_id}', path: `/v1/users/${customer}` },
      { route: 'PATCH /v1/users/{user_id}', path: `/v1/users/${customer}`, body: { name: unique, status: 'ACTIVE' } },
      { route: 'DELETE /v1/users/{user_id}', path: `/v1/users/${victim}` },
      {
        route: 'POST /v1/users/{user_id}/api-keys',
        path: `/v1/users/${customer}/api-keys`,
        body: { name: unique, expires_at: soon },
      },
      { route: 'GET /v1/users/{user_id}/api-keys', path: `/v1/users/${customer}/api-keys` },
      { route: 'GET /v1/users/{user_id}/api-keys/{key_name}', path: `/v1/users/${customer}/api-keys/changing` },
      {
        route: 'PATCH /v1/users/{user_id}/api-keys/{key_name}',
        path: `/v1/users/${customer}/api-keys/changing`,
        body: { expires_at: FAR },
      },
      { route: 'DELETE /v1/users/{user_id}/api-keys/{key_name}', path: `/v1/users/${customer}/api-keys/revoked` },
      {
        route: 'POST /v1/users/{user_id}/api-keys/{key_name}/rotate',
        path: `/v1/users/${customer}/api-keys/rotating/rotate`,
        body: { expires_at: FAR, overlap_seconds: 60 },
      },
      { route: 'POST /v1/leaked-keys', path: '/v1/leaked-keys', body: { keys: [generateApiKey()] } },
      { route: 'GET /v1/forward-auth', path: '/v1/forward-auth?scope=jobs:write' },
      { route: 'POST /v1/verify', path: '/v1/verify', body: { key: this.key } },
      {
        route: 'POST /v1/verify',
        path: '/v1/verify',
        body: { key: this.customerKey, charge: { amount: 1, transaction_id: unique } },
      },
      {
        route: 'POST /v1/verify',
        path: '/v1/verify',
        body: { key: this.customerKey, hold: { amount: 1, transaction_id: `hold-${unique}`, expires_in_seconds: 1 } },
      },
      { route: 'GET /v1/audit-events', path: '/v1/audit-events' },
      { route: 'POST /v1/billing/credits-add', path: '/v1/billing/credits-add', body: { ...credits, amount: 5 } },
      {
        route: 'POST /v1/billing/credits-deduct',
        path: '/v1/billing/credits-deduct',
        body: { ...credits, transaction_id: `spend-${unique}` },
      },
      { route: 'GET /v1/billing/balance', path: '/v1/billing/balance' },
      { route: 'GET /v1/users/{user_id}/balance', path: `/v1/users/${customer}/balance` },
      {
        route: 'POST /v1/billing/holds',
        path: '/v1/billing/holds',
        body: { ...credits, transaction_id: `held-${unique}`, expires_in_seconds: 1 },
      },
      { route: 'GET /v1/billing/holds', path: `/v1/billing/holds?user_id=${customer}` },
      { route: 'GET /v1/billing/holds/{hold_id}', path: `/v1/billing/holds/${holds.open}` },
      {
        route: 'POST /v1/billing/holds/{hold_id}/capture',
        path: `/v1/billing/holds/${holds.captured}/capture`,
        body: { amount: 1 },
      },
      { route: 'DELETE /v1/billing/holds/{hold_id}', path: `/v1/billing/holds/${holds.voided}` },
      { route: 'GET /readyz', path: '/readyz' },
      { route: 'GET /livez', path: '/livez' },
    ];
  }

  private async sendAll(client: number): Promise<void> {
    for (let next = client * 3; this.going; next += 1) {
      const requests = this.requests();
      const request = requests[next % requests.length];
      if (request) await this.send(request);
      await sleep(5);
    }
  }

  private async send({ route, path, body }: Request): Promise<void> {
    const at = performance.now();
    const [method = ''] = route.split(' ');
    const response = await this.fetch(method, path, body);
    const text = await response.text();
    const ms = performance.now() - at;
    const { status, headers } = response;
    const isVerification = route === 'POST /v1/verify' && status === 200;
    const allowed = isVerification ? (JSON.parse(text) as { allowed: boolean }).allowed : null;
    this.samples.push({ route, at, ms, status, retryAfter: headers.get('retry-after'), allowed });
  }

  private fetch(method: string, path: string, body?: object): Promise<Response> {
    return fetch(this.url + path, {
      method,
      headers: { 'x-api-key': this.key, 'content-type': 'application/json', ...this.headers },
      ...(body && { body: JSON.stringify(body) }),
    });
  }
}

/** The routes of the document, but for those that need no key and serve the document itself. */
export async function documentedRoutes(url: string): Promise<string[]> {
  const { paths } = (await (await fetch(`${url}/docs-json`)).json()) as { paths: Record<string, object> };
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
}

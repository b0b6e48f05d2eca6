import fc from 'fast-check';
import {
  ApiKeysService,
  AuthenticationService,
  DomainError,
  type KeyWithSecret,
  STATUS_OF,
  type VerificationRefusal,
  VerificationService,
} from '../src/index.js';
import { startTestApp, type TestApp } from './support/app.js';
import { createDatabase, type TestDatabase } from './support/database.js';

/** Steps through the services; `npm run test:scopes` makes 100,000. A tenth of them over HTTP. */
const STEPS = Number(process.env.SCOPE_STEPS ?? 600);
const HTTP_STEPS = Math.max(300, Math.floor(STEPS / 10));
/** Each sequence begins with new keys, since scopes only shrink: a long one ends with nothing. */
const SEQUENCE = 50;
const SEED = Number(process.env.SCOPE_SEED ?? Date.now());
/** Far more than they take (ms). */
const TIMEOUT_MS = Math.max(120_000, 60 * STEPS);

const SOON = new Date('2098-01-01T00:00:00.000Z');
const LATER = new Date('2099-01-01T00:00:00.000Z');

type Scopes = readonly string[] | null;

/** The scopes of the one key whose secret is known at first: no other may exceed them. */
const OWN = ['a', 'b', 'ua:keys:write', 'ua:verify'];
const GIVEN: Readonly<Record<string, Scopes>> = { own: OWN, weak: ['a'], strong: ['a', 'c'], other: ['c'], all: null };

type State = 'current' | 'overlapping' | 'superseded' | 'unknown';

interface Secret {
  readonly text: string;
  readonly key: ModelKey;
  state: State;
}

interface ModelKey {
  name: string;
  scopes: Scopes;
  expiresAt: Date;
  /** Secrets that are known and not forgotten by the key: the current one, and earlier ones. */
  secrets: Secret[];
}

interface KeyChange {
  readonly name: string;
  readonly newName: string | undefined;
  readonly scopes: Scopes | undefined;
  readonly expiresAt: Date;
  readonly newExpiry: Date | undefined;
  readonly overlapSeconds: number;
}

interface Step extends KeyChange {
  readonly kind: 'create' | 'update' | 'rotate' | 'verify';
  /** Selects one of the secrets that are known. */
  readonly secret: number;
  readonly required: readonly string[];
}

/** What a change of a key is answered: an HTTP status, and the secret where there is one. */
interface Outcome {
  readonly status: number;
  readonly secret?: string;
}

interface Verified {
  readonly allowed: boolean;
  readonly reason: VerificationRefusal | null;
  readonly userId: string | null;
  readonly name: string | null;
  readonly scopes: Scopes;
  readonly expiresAt: string | null;
  readonly isSuperseded: boolean;
}

/** A way to the application. */
interface Transport {
  create(secret: string, change: KeyChange): Promise<Outcome>;
  update(secret: string, change: KeyChange): Promise<Outcome>;
  rotate(secret: string, change: KeyChange): Promise<Outcome>;
  verify(secret: string, required: readonly string[]): Promise<Verified>;
}

/** What keys may do, and what is answered to those who know some of their secrets. */
class Model {
  private readonly keys = new Map<string, ModelKey>();
  /** Secrets that two rotations have replaced. */
  private readonly forgotten: Secret[] = [];

  constructor(
    private readonly ownerId: string,
    /** Whether a change of keys needs a scope of the caller's, as the routes do. */
    private readonly needsScope: boolean,
  ) {}

  /** @param secret where it is known */
  add(name: string, scopes: Scopes, expiresAt: Date, secret?: string): void {
    const key: ModelKey = { name, scopes, expiresAt, secrets: [] };
    if (secret !== undefined) key.secrets.push({ text: secret, key, state: 'current' });
    this.keys.set(name, key);
  }

  /** Secrets that are known and work. */
  get reachable(): Secret[] {
    return this.known.filter(({ state }) => state === 'current' || state === 'overlapping');
  }

  /** All secrets that are known, but for the oldest of those that do not work. */
  get known(): Secret[] {
    return [...[...this.keys.values()].flatMap(({ secrets }) => secrets), ...this.forgotten.slice(-5)];
  }

  /** Secrets that may do more than the first one, or for longer. */
  get stronger(): object[] {
    return this.reachable
      .map(({ key: { name, scopes, expiresAt } }) => ({ name, scopes, expiresAt }))
      .filter((key) => key.scopes?.every((scope) => OWN.includes(scope)) !== true || key.expiresAt > SOON);
  }

  /** The status of a change of keys. */
  statusOf(caller: Secret, kind: Step['kind'], change: KeyChange): number {
    const { name, newName, expiresAt } = change;
    if (this.needsScope && caller.key.scopes?.includes('ua:keys:write') !== true) return 403;
    if (caller.state !== 'current') return 403;
    const target = this.keys.get(name);
    if (kind === 'create') {
      if (!isWithin(caller.key, scopesAfter(caller.key, change), expiresAt)) return 403;
      return target ? 409 : 201;
    }
    if (!target) return 404;
    const expiry = kind === 'rotate' ? expiresAt : (change.newExpiry ?? target.expiresAt);
    const after = kind === 'rotate' ? target.scopes : scopesAfter(target, change);
    if (!isWithin(caller.key, target.scopes, expiry) || !isWithin(caller.key, after, expiry)) return 403;
    if (kind === 'rotate') return 201;
    return newName !== undefined && newName !== name && this.keys.has(newName) ? 409 : 200;
  }

  /** Applies a change that was carried out. */
  apply(caller: Secret, kind: Step['kind'], change: KeyChange, secret?: string): void {
    if (kind === 'create') {
      this.add(change.name, scopesAfter(caller.key, change), change.expiresAt, secret);
      return;
    }
    const key = this.keys.get(change.name);
    if (!key) throw new Error(`The model has no key ${change.name}`);
    if (kind === 'rotate') this.rotate(key, change, secret);
    else {
      this.keys.delete(key.name);
      key.scopes = scopesAfter(key, change);
      key.name = change.newName ?? key.name;
      key.expiresAt = change.newExpiry ?? key.expiresAt;
      this.keys.set(key.name, key);
    }
  }

  private rotate(key: ModelKey, { expiresAt, overlapSeconds }: KeyChange, text = ''): void {
    const [ended, working] = [
      key.secrets.filter(({ state }) => state === 'superseded'),
      key.secrets.filter(({ state }) => state !== 'superseded'),
    ];
    for (const secret of ended) secret.state = 'unknown';
    for (const secret of working) secret.state = overlapSeconds > 0 ? 'overlapping' : 'superseded';
    this.forgotten.push(...ended);
    key.secrets = [...working, { text, key, state: 'current' }];
    key.expiresAt = expiresAt;
  }

  /** What a verification of the secret is answered. */
  verified({ key, state }: Secret, required: readonly string[]): Verified {
    if (state === 'superseded' || state === 'unknown') return { ...NOTHING, reason: state };
    // `ua:verify` needs an administrator, whom no scope makes of the owner.
    const isAllowed = required.every((scope) => scope !== 'ua:verify' && (key.scopes?.includes(scope) ?? true));
    return {
      allowed: isAllowed,
      reason: isAllowed ? null : 'insufficient_scope',
      userId: this.ownerId,
      name: key.name,
      scopes: key.scopes,
      expiresAt: key.expiresAt.toISOString(),
      isSuperseded: state === 'overlapping',
    };
  }
}

const NOTHING = {
  allowed: false,
  userId: null,
  name: null,
  scopes: null,
  expiresAt: null,
  isSuperseded: false,
} as const;

/** The scopes of a key once it is changed, or of one that a caller with this key makes. */
const scopesAfter = ({ scopes }: ModelKey, { scopes: named }: KeyChange): Scopes =>
  named === undefined ? scopes : named;

const isWithin = (caller: ModelKey, scopes: Scopes, expiresAt: Date): boolean =>
  caller.scopes === null ||
  (scopes?.every((scope) => caller.scopes?.includes(scope)) === true && expiresAt <= caller.expiresAt);

const NAMES = [...Object.keys(GIVEN), ...Array.from({ length: 4 }, (_, n) => `new-${String(n)}`)];
const name = fc.constantFrom(...NAMES);
const expiresAt = fc.constantFrom(SOON, SOON, SOON, SOON, SOON, LATER);
const STEP: fc.Arbitrary<Step> = fc.record({
  secret: fc.nat(),
  kind: fc.constantFrom('create', 'update', 'rotate', 'verify', 'verify'),
  name,
  newName: fc.option(name, { nil: undefined, freq: 2 }),
  scopes: fc.constantFrom(undefined, undefined, undefined, undefined, null, [], ['a'], ['a', 'b'], ['c'], OWN, OWN),
  expiresAt,
  newExpiry: fc.option(expiresAt, { nil: undefined }),
  overlapSeconds: fc.constantFrom(0, 3600),
  required: fc.subarray(['a', 'b', 'c', 'ua:keys:write', 'ua:profile:read', 'ua:verify', 'z'], { maxLength: 3 }),
});

describe('What any reachable secret may do never grows, and verifications say what it may do:', () => {
  let database: TestDatabase;
  let app: TestApp;
  beforeAll(async () => {
    database = await createDatabase();
    app = await startTestApp(database.url, { RATE_LIMIT_PER_MINUTE: '0' });
  });
  afterAll(async () => {
    await app.close();
    await database.drop();
  });

  function throughServices(userId: string): Transport {
    const [keys, authentication] = [app.nest.get(ApiKeysService), app.nest.get(AuthenticationService)];
    const verification = app.nest.get(VerificationService);
    const outcome = async (status: number, work: () => Promise<KeyWithSecret | undefined>): Promise<Outcome> => {
      try {
        const { secret } = (await work()) ?? {};
        return secret === undefined ? { status } : { status, secret };
      } catch (error) {
        if (error instanceof DomainError) return { status: STATUS_OF[error.kind] };
        throw error;
      }
    };
    return {
      create: (secret, { name, scopes, expiresAt }) =>
        outcome(201, async () => {
          const by = await authentication.authenticate(secret);
          return keys.create({ userId, name, scopes, expiresAt }, { by });
        }),
      update: (secret, { name, newName, scopes, newExpiry }) =>
        outcome(200, async () => {
          const by = await authentication.authenticate(secret);
          await keys.update(userId, name, { name: newName, scopes, expiresAt: newExpiry }, { by });
          return undefined;
        }),
      rotate: (secret, { name, expiresAt, overlapSeconds }) =>
        outcome(201, async () => {
          const by = await authentication.authenticate(secret);
          return keys.rotate(userId, name, { expiresAt, overlapSeconds }, { by });
        }),
      verify: async (key, scopes) => {
        const { allowed, reason, identity } = await verification.verify({ key, scopes });
        return {
          allowed,
          reason,
          userId: identity?.userId ?? null,
          name: identity?.apiKeyName ?? null,
          scopes: identity?.scopes ?? null,
          expiresAt: identity?.expiresAt.toISOString() ?? null,
          isSuperseded: identity?.supersededUntil instanceof Date,
        };
      },
    };
  }

  function overHttp(serviceKey: string): Transport {
    const agent = (secret: string) => app.anyone().set('x-api-key', secret);
    const outcome = ({ status, body }: { readonly status: number; readonly body: unknown }): Outcome => {
      const { secret } = body as { secret?: string };
      return secret === undefined ? { status } : { status, secret };
    };
    return {
      create: async (secret, { name, scopes, expiresAt }) =>
        outcome(await agent(secret).post('/v1/api-keys').send({ name, scopes, expires_at: expiresAt })),
      update: async (secret, { name, newName, scopes, newExpiry }) =>
        outcome(
          await agent(secret).patch(`/v1/api-keys/${name}`).send({ name: newName, scopes, expires_at: newExpiry }),
        ),
      rotate: async (secret, { name, expiresAt, overlapSeconds }) =>
        outcome(
          await agent(secret)
            .post(`/v1/api-keys/${name}/rotate`)
            .send({ expires_at: expiresAt, overlap_seconds: overlapSeconds }),
        ),
      verify: async (key, scopes) => {
        const { body } = await agent(serviceKey).post('/v1/verify').send({ key, scopes }).expect(200);
        const verification = body as Readonly<Record<'user_id' | 'api_key_name' | 'expires_at', string | null>> &
          Pick<Verified, 'allowed' | 'reason' | 'scopes'> & { readonly superseded_until: string | null };
        return {
          allowed: verification.allowed,
          reason: verification.reason,
          userId: verification.user_id,
          name: verification.api_key_name,
          scopes: verification.scopes,
          expiresAt: verification.expires_at,
          isSuperseded: verification.superseded_until !== null,
        };
      },
    };
  }

  /** Keys of a new user, of which the secret of one is known. */
  async function begin(serviceKey: string | null): Promise<{ readonly model: Model; readonly transport: Transport }> {
    const { id } = await app.given.user();
    const model = new Model(id, serviceKey !== null);
    for (const [each, scopes] of Object.entries(GIVEN)) {
      const request = { userId: id, name: each, expiresAt: SOON, scopes };
      const { secret } = await app.nest.get(ApiKeysService).create(request);
      model.add(each, scopes, SOON, each === 'own' ? secret : undefined);
    }
    return { model, transport: serviceKey === null ? throughServices(id) : overHttp(serviceKey) };
  }

  async function newServiceKey(): Promise<string> {
    const { id: userId } = await app.given.user({ isAdmin: true });
    const request = { userId, name: 'service', expiresAt: LATER, scopes: ['ua:verify'] };
    return (await app.nest.get(ApiKeysService).create(request)).secret;
  }

  /** An answer beside that of the model, and its kind. */
  interface Compared {
    readonly answer: unknown;
    readonly expected: unknown;
    readonly result: string | number;
  }

  async function verification(
    model: Model,
    transport: Transport,
    secret: Secret,
    required: readonly string[],
  ): Promise<Compared> {
    const answer = await transport.verify(secret.text, required);
    return { answer, expected: model.verified(secret, required), result: answer.reason ?? 'allowed' };
  }

  async function changed(
    model: Model,
    transport: Transport,
    caller: Secret,
    kind: 'create' | 'update' | 'rotate',
    change: KeyChange,
  ): Promise<Compared> {
    const { status, secret } = await transport[kind](caller.text, change);
    const expected = { change, status: model.statusOf(caller, kind, change) };
    if (status < 300) model.apply(caller, kind, change, secret);
    return { answer: { change, status }, expected, result: status };
  }

  it.each([
    ['the services', STEPS, false],
    ['HTTP', HTTP_STEPS, true],
  ])(
    'through %s, in sequences of %i creations, changes, rotations and verifications',
    async (_, count, isHttp) => {
      const serviceKey = isHttp ? await newServiceKey() : null;
      let { model, transport } = await begin(serviceKey);
      const seen: Record<string, number> = {};
      let number = 0;
      for (const { kind, secret, required, ...change } of fc.sample(STEP, { numRuns: count, seed: SEED })) {
        number += 1;
        if (number % SEQUENCE === 0) ({ model, transport } = await begin(serviceKey));
        const step = { seed: SEED, number, kind };
        const secrets = kind === 'verify' ? model.known : model.reachable;
        const chosen = secrets[secret % secrets.length];
        if (!chosen) throw new Error(`No secret works any more: ${JSON.stringify(step)}`);
        const { result, ...compared } =
          kind === 'verify'
            ? await verification(model, transport, chosen, required)
            : await changed(model, transport, chosen, kind, change);
        const outcome = `${kind} ${String(result)}`;
        seen[outcome] = (seen[outcome] ?? 0) + 1;

        expect({ ...step, answer: compared.answer, stronger: model.stronger }).toEqual({
          ...step,
          answer: compared.expected,
          stronger: [],
        });
      }

      if (process.env.SCOPE_STEPS) process.stdout.write(`${JSON.stringify({ seed: SEED, steps: count, ...seen })}\n`);
      // Otherwise the sequences would show too little.
      expect(Object.keys(seen)).toEqual(expect.arrayContaining(['verify allowed', 'verify insufficient_scope']));
      expect(Object.keys(seen)).toContainEqual(expect.stringMatching(/ 20[01]$/));
      expect(Object.keys(seen)).toContainEqual(expect.stringMatching(/ 403$/));
    },
    TIMEOUT_MS,
  );
});

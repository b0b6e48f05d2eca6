import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';

/** Whom the requests are made for: keys that they may revoke, things that they may change. */
export interface FuzzTarget {
  readonly adminKey: string;
  readonly userKey: string;
  readonly userId: string;
  readonly keyName: string;
}

/** Numbers from 0 below n, the same ones for the same seed. */
type Random = (n: number) => number;

/** Mulberry32: nothing here must be hard to guess, only repeatable. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return (n) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * n);
  };
}

/**
 * Operations of the published document that a valid request is made of, as "METHOD path", with
 * their bodies.
 */
const BODIES: Readonly<Record<string, (target: FuzzTarget) => object>> = {
  'PATCH /v1/users/me': () => ({ name: 'Ada Lovelace' }),
  'POST /v1/api-keys': () => ({ name: randomUUID(), expires_at: '2100-01-01T00:00:00Z' }),
  'PATCH /v1/api-keys/{key_name}': () => ({ expires_at: '2100-01-01T00:00:00Z' }),
  'POST /v1/api-keys/{key_name}/rotate': () => ({ expires_at: '2100-01-01T00:00:00Z', overlap_seconds: 1 }),
  'POST /v1/users': () => ({ name: 'New', email: `${randomUUID()}@example.com` }),
  'PATCH /v1/users/{user_id}': () => ({ name: 'Other', status: 'ACTIVE' }),
  'POST /v1/users/{user_id}/api-keys': () => ({ name: randomUUID(), expires_at: '2100-01-01T00:00:00Z' }),
  'POST /v1/billing/credits-add': ({ userId }) => ({ user_id: userId, amount: 2, transaction_id: randomUUID() }),
  'POST /v1/billing/credits-deduct': ({ userId }) => ({ user_id: userId, amount: 1, transaction_id: randomUUID() }),
};
const QUERIES = [
  '?page=1&items_per_page=2',
  '?status=ACTIVE&email=a@b.example',
  '?start_date=2026-01-01',
  '?user_id=x',
];

/**
 * A valid request for an operation, from a user or an administrator, now and then with fields that
 * change what it means.
 */
export function validRequest(operation: string, target: FuzzTarget, random: Random): string {
  const [method = '', template = ''] = operation.split(' ');
  const path = template.replace('{user_id}', target.userId).replace('{key_name}', target.keyName);
  const body = BODIES[operation] ? JSON.stringify(BODIES[operation](target)) : '';
  const key = random(3) === 0 || path.endsWith('/current') ? target.userKey : target.adminKey;
  const chunked = body !== '' && random(4) === 0;
  return [
    `${method} ${path}${random(4) === 0 ? pick(QUERIES, random) : ''} HTTP/1.1`,
    'Host: 127.0.0.1',
    `x-api-key: ${key}`,
    ...(body === '' ? [] : ['Content-Type: application/json']),
    ...(body === '' ? [] : [chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${String(body.length)}`]),
    ...(random(5) === 0 ? [pick(FIELDS, random)] : []),
    '',
    chunked ? `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n` : body,
  ].join('\r\n');
}

const FIELDS = [
  'Connection: close',
  'If-Match: "1"',
  'If-None-Match: *',
  'X-Request-Id: fuzz',
  'Content-Encoding: gzip',
  'Upgrade: h2c\r\nConnection: Upgrade',
  'X-HTTP-Method-Override: DELETE',
  'X-Forwarded-For: 1.2.3.4',
  'Range: bytes=0-1',
  'Accept: text/html',
  'Content-Type: multipart/form-data; boundary=x',
  'Transfer-Encoding: identity',
  'Content-Length: 0',
  'Host: elsewhere',
  'Trailer: x-api-key',
];
const TOKENS = [
  ...[
    '\u0000',
    '%00',
    '%2e%2e%2f',
    '%',
    '%zz',
    '\r',
    '\n',
    '\t',
    ' ',
    ':',
    '"',
    "'",
    '\\',
    '{',
    '}',
    '[',
    ']',
    ',',
    ';',
  ],
  ...['null', 'true', '-1', '1e400', '0x10', '9007199254740993', '99999999999999999999', 'NaN', '[]', '{}', '""'],
  ...[
    '__proto__',
    'constructor',
    'toString',
    '$where',
    "' OR 1=1 --",
    '\\u0000',
    '\\ud800',
    '\u202e',
    'é',
    '𝔘',
    '\ufeff',
  ],
  ...['../', '//', '/./', '?', '#', '&', '=', '*', 'HTTP/1.0', 'HTTP/2.0', 'GET', 'POST', 'PATCH', 'DELETE', 'TRACE'],
  ...[
    'OPTIONS',
    'HEAD',
    'CONNECT',
    'chunked',
    'a'.repeat(300),
    'a'.repeat(20_000),
    '1970-01-01',
    '+275760-09-13',
    'me',
  ],
];

const pick = <T>(from: readonly T[], random: Random): T => from[random(from.length)] as T;

/**
 * One to four changes: flipped bits, foreign tokens, doubled, moved and missing lines, encoded
 * bytes, a cut.
 */
export function mutate(request: string, random: Random): Buffer {
  let bytes: Buffer = Buffer.from(request);
  for (let rest = 1 + random(4); rest > 0; rest -= 1) bytes = pick(MUTATIONS, random)(bytes, random);
  return bytes;
}

type Mutation = (bytes: Buffer, random: Random) => Buffer;

const spliced = (bytes: Buffer, at: number, length: number, insert: Buffer | string): Buffer =>
  Buffer.concat([bytes.subarray(0, at), Buffer.from(insert), bytes.subarray(at + length)]);

const inLines =
  (change: (lines: string[], at: number, random: Random) => void): Mutation =>
  (bytes, random) => {
    const lines = bytes.toString('latin1').split('\r\n');
    change(lines, random(lines.length), random);
    return Buffer.from(lines.join('\r\n'), 'latin1');
  };

/**
 * The first line and what belongs to it decide most: changes there are tried as often as anywhere
 * else.
 */
const place = (bytes: Buffer, random: Random): number => random(random(2) === 0 ? bytes.length : bytes.length / 4);

const MUTATIONS: readonly Mutation[] = [
  (bytes, random) => {
    const at = place(bytes, random);
    return spliced(bytes, at, 1, Buffer.from([(bytes[at] ?? 0) ^ (1 << random(8))]));
  },
  (bytes, random) => spliced(bytes, place(bytes, random), 0, pick(TOKENS, random)),
  (bytes, random) => spliced(bytes, place(bytes, random), 1 + random(20), pick(TOKENS, random)),
  (bytes, random) => bytes.subarray(0, random(bytes.length)),
  (bytes, random) => {
    const at = place(bytes, random);
    return spliced(bytes, at, 1, `%${(bytes[at] ?? 0).toString(16).padStart(2, '0')}`);
  },
  (bytes, random) => {
    const text = bytes.toString('latin1');
    const words = [...text.matchAll(/[\w-]+/g)];
    if (words.length === 0) return bytes;
    const { index, 0: word } = pick(words, random);
    return spliced(bytes, index, word.length, random(2) === 0 ? pick(words, random)[0] : pick(TOKENS, random));
  },
  (bytes) => Buffer.concat([bytes, bytes]),
  inLines((lines, at) => lines.splice(at, 0, lines[at] ?? '')),
  inLines((lines, at) => lines.splice(at, 1)),
  inLines((lines, at, random) => lines.splice(1 + (at % Math.max(1, lines.length - 3)), 0, pick(FIELDS, random))),
  inLines((lines, at, random) => lines.push(...lines.splice(at, 1 + random(2)))),
];

export interface FuzzAnswer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/**
 * Milliseconds of silence after which a server that has not answered is told that nothing more will
 * come.
 */
const PATIENCE_MS = 100;

/**
 * Sends bytes on a connection of their own, and reads what is answered until all of the first
 * answer is there or the server closes.
 */
export function converse(port: number, request: Buffer): Promise<FuzzAnswer[]> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(request));
    const answersToHead = request.subarray(0, 5).toString() === 'HEAD ';
    let received = '';
    let waiting: NodeJS.Timeout | undefined = setTimeout(() => socket.end(), PATIENCE_MS);
    const finish = (): void => {
      clearTimeout(waiting);
      waiting = undefined;
      socket.destroy();
      try {
        resolve(answersIn(received, answersToHead).answers);
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    };
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
      if (!received.startsWith('HTTP/1.1 100') && answersIn(received, answersToHead).complete) finish();
    });
    socket.on('close', finish);
    socket.on('error', finish);
  });
}

function answersIn(text: string, answersToHead: boolean): { answers: FuzzAnswer[]; complete: boolean } {
  const answers: FuzzAnswer[] = [];
  for (let rest = text; rest !== '';) {
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) return { answers, complete: false };
    const head = rest.slice(0, end);
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1] ?? 0);
    if (status === 0) throw new Error(`No answer in HTTP: ${JSON.stringify(rest.slice(0, 200))}`);
    const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
    const type = /^content-type: (.*)$/im.exec(head)?.[1] ?? '';
    rest = rest.slice(end + 4);
    if (status === 100) continue;
    const empty = answersToHead || status === 304 || rest.startsWith('HTTP/1.1 ');
    const body = empty ? '' : rest.slice(0, length);
    if (!empty && body.length < length) return { answers, complete: false };
    answers.push({ status, type, body });
    rest = rest.slice(body.length);
  }
  return { answers, complete: answers.length > 0 };
}

/** What is wrong with an answer; undefined for one that any caller may get. */
export function faultOf({ status, type, body }: FuzzAnswer): string | undefined {
  if (status >= 500) return 'a server error';
  if (status < 400 || body === '') return undefined;
  if (type !== 'application/json; charset=utf-8') return `a failure in ${type}`;
  const failure = JSON.parse(body) as Record<string, unknown>;
  const { status: repeated, message } = failure;
  const fields = Object.keys(failure).join();
  return repeated === status && typeof message === 'string' && fields === 'status,message'
    ? undefined
    : 'no ErrorResponse';
}

export interface FuzzResult {
  readonly faults: readonly string[];
  readonly statuses: Readonly<Record<string, number>>;
}

/** Sends so many mutated requests, some at a time, made from every operation in turn. */
export async function fuzz(
  port: number,
  operations: readonly string[],
  target: FuzzTarget,
  random: Random,
  { requests, atOnce }: { requests: number; atOnce: number },
): Promise<FuzzResult> {
  const faults: string[] = [];
  const statuses: Record<string, number> = {};
  let sent = 0;
  const client = async (): Promise<void> => {
    while (sent < requests) {
      const bytes = mutate(validRequest(operations[sent % operations.length] ?? '', target, random), random);
      sent += 1;
      const answers = await converse(port, bytes);
      const status = answers[0]?.status ?? 'none';
      statuses[status] = (statuses[status] ?? 0) + 1;
      for (const answer of answers) {
        const fault = faultOf(answer);
        if (fault !== undefined) faults.push(`${fault}: ${JSON.stringify(answer)} to ${bytes.toString('latin1')}`);
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, client));
  return { faults, statuses };
}

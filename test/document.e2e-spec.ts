import { readdir, readFile } from 'node:fs/promises';

interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly allOf?: readonly Schema[];
  readonly items?: Schema;
  readonly enum?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
}
interface Content {
  readonly content?: Readonly<Record<string, { readonly schema: Schema }>>;
}
interface Operation {
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly required?: boolean }[];
  readonly requestBody?: Content;
  readonly responses: Readonly<Record<string, Content & { readonly $ref?: string }>>;
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, Schema>>;
    readonly responses: Readonly<Record<string, Content>>;
  };
}

type Node = Readonly<Record<string, unknown>>;

const read = async (path: string): Promise<Document> => JSON.parse(await readFile(path, 'utf8')) as Document;
const last = (ref: string): string => ref.split('/').at(-1) ?? '';

/** One line for each thing that a client may rely on. */
interface Promises {
  /**
   * Operations, answers, fields of answers, parameters and properties that are taken. None may
   * disappear.
   */
  readonly offered: Set<string>;
  /**
   * Parameters and properties that must be sent, and values that a field of an answer can have.
   * None may be added.
   */
  readonly demanded: Set<string>;
  /** Texts of which any may be sent or returned. */
  readonly open: Set<string>;
}

function promisesOf({ paths, components }: Document): Promises {
  const offered = new Set<string>();
  const demanded = new Set<string>();
  const open = new Set<string>();

  const walk = (at: string, schema: Schema, sent: boolean): void => {
    if (schema.$ref) {
      walk(at, components.schemas[last(schema.$ref)] ?? {}, sent);
      return;
    }
    for (const part of schema.allOf ?? []) walk(at, part, sent);
    if (schema.items) walk(`${at}[]`, schema.items, sent);
    if (schema.type) offered.add(`${at}: ${schema.type}`);
    for (const value of schema.enum ?? []) (sent ? offered : demanded).add(`${at} = ${value}`);
    if (schema.type === 'string' && !schema.enum) open.add(at);
    for (const [name, property] of Object.entries(schema.properties ?? {})) walk(`${at}.${name}`, property, sent);
    for (const name of schema.required ?? []) (sent ? demanded : offered).add(`${at}.${name} is always there`);
  };

  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, { parameters = [], requestBody, responses }] of Object.entries(methods)) {
      const operation = `${method.toUpperCase()} ${path}`;
      offered.add(operation);
      for (const { in: place, name, required } of parameters) {
        offered.add(`${operation} ${place} ${name}`);
        if (required) demanded.add(`${operation} ${place} ${name}`);
      }
      for (const [type, { schema }] of Object.entries(requestBody?.content ?? {})) {
        walk(`${operation} takes ${type}`, schema, true);
      }
      for (const [status, response] of Object.entries(responses)) {
        if (status === '500') continue; // nobody relies on our bugs
        const { content = {} } = response.$ref ? (components.responses[last(response.$ref)] ?? {}) : response;
        offered.add(`${operation} ${status}`);
        for (const [type, { schema }] of Object.entries(content)) walk(`${operation} ${status} ${type}`, schema, false);
      }
    }
  }
  return { offered, demanded, open };
}

/** `GET /v1/users` of a line about it. */
const operationOf = (promise: string): string => promise.split(' ', 2).join(' ');

/** What a client of the one document cannot rely on with the other. */
function broken(before: Document, after: Document): string[] {
  const [old, now] = [promisesOf(before), promisesOf(after)];
  const isTaken = (promise: string): boolean => now.offered.has(promise) || now.open.has(promise.replace(/ = .*$/, ''));
  const opened = new Set(
    [...old.demanded].map((promise) => promise.replace(/ = .*$/, '')).filter((at) => now.open.has(at)),
  );
  return [
    ...[...old.offered].filter((promise) => !isTaken(promise)).map((promise) => `gone: ${promise}`),
    ...[...now.demanded]
      .filter((promise) => !old.demanded.has(promise) && old.offered.has(operationOf(promise)))
      .map((promise) => `new: ${promise}`),
    ...[...opened].map((at) => `new: ${at} = any text`),
  ];
}

/** What release 2.0.0 breaks on purpose; docs/upgrade-2.md says what to do about each. */
const BREAKING_CHANGES = [
  'new: GET /v1/audit-events 200 application/json.data[].action = audit.archived',
  'new: GET /v1/audit-events 200 application/json.data[].action = user.created_by_import',
  'new: GET /v1/audit-events 200 application/json.data[].action = user.erased',
  'new: GET /v1/audit-events 200 application/json.data[].action = users.imported',
  'new: GET /v1/billing/credit-history 200 application/json.data[].transaction_type = any text',
  'new: POST /v1/billing/credits-add 200 application/json.transaction_type = any text',
  'new: POST /v1/billing/credits-deduct 200 application/json.transaction_type = any text',
];

/** What the document no longer offers, and the server still accepts. */
const NO_LONGER_LISTED = /^gone: POST \S+ takes application\/merge-patch\+json[.:]/;

/** The migrations of the last release. */
const RELEASED = ['create-users', 'create-api-keys', 'create-audit-events', 'create-credit-entries'];

it('docs/upgrade-2.md lists every migration since the last release', async () => {
  const names = (await readdir('migrations')).map((file) => file.replace(/^\d+-/, '').replace(/\.ts$/, ''));
  const page = await readFile('docs/upgrade-2.md', 'utf8');
  const table = page.split('\n').filter((line) => line.startsWith('|'));
  const listed = [...table.join('\n').matchAll(/`([a-z0-9]+(?:-[a-z0-9]+)+)`/g)].map(([, name]) => name);

  expect(listed.sort()).toEqual(names.filter((name) => !RELEASED.includes(name)).sort());
});

describe('docs/openapi.json', () => {
  it('keeps what docs/openapi.released.json, the document of the last release, promises, but for what it lists', async () => {
    const found = broken(await read('docs/openapi.released.json'), await read('docs/openapi.json'));

    expect(found.filter((change) => !NO_LONGER_LISTED.test(change)).sort()).toEqual(BREAKING_CHANGES);
  });

  // The comparison itself, so that it cannot rot into one that finds nothing.
  it.each<[finding: string, at: string[], value: unknown]>([
    ['gone: DELETE /v1/users/{user_id}', ['paths', '/v1/users/{user_id}', 'delete'], undefined],
    ['gone: GET /v1/users/me 304', ['paths', '/v1/users/me', 'get', 'responses', '304'], undefined],
    ['gone: GET /v1/users query email', ['paths', '/v1/users', 'get', 'parameters'], undefined],
    [
      'gone: GET /v1/users/me 200 application/json.email: string',
      ['components', 'schemas', 'UserResponse', 'properties', 'email'],
      undefined,
    ],
    [
      'gone: PATCH /v1/users/me takes application/json.name: string',
      ['components', 'schemas', 'UserUpdate', 'properties', 'name'],
      undefined,
    ],
    [
      'new: PATCH /v1/users/me takes application/json.name is always there',
      ['components', 'schemas', 'UserUpdate', 'required'],
      ['name'],
    ],
    [
      'new: GET /v1/users/me 200 application/json.status = GONE',
      ['components', 'schemas', 'UserResponse', 'properties', 'status', 'enum'],
      ['ACTIVE', 'INACTIVE', 'GONE'],
    ],
    [
      'new: GET /v1/users/me 200 application/json.status = any text',
      ['components', 'schemas', 'UserResponse', 'properties', 'status', 'enum'],
      undefined,
    ],
    [
      'gone: PATCH /v1/users/{user_id} takes application/json.status = INACTIVE',
      ['components', 'schemas', 'UserAdminUpdate', 'properties', 'status', 'enum'],
      ['ACTIVE'],
    ],
  ])('would be found out: %s', async (finding, at, value) => {
    const released = await read('docs/openapi.released.json');
    const changed = structuredClone(released);

    const parent = at.slice(0, -1).reduce<unknown>((node, name) => (node as Node)[name], changed);
    Object.assign(parent as Node, { [at.at(-1) ?? '']: value });
    const written = JSON.parse(JSON.stringify(changed)) as Document; // what is undefined is gone

    expect(broken(released, written)).toContain(finding);
  });
});

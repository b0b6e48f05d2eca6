import { METHODS } from 'node:http';
import { readFile } from 'node:fs/promises';
import type { OpenAPIObject } from '@nestjs/swagger';
import { Ajv } from 'ajv';
import { isDate } from '../src/common/validation/date.js';
import { UUID } from '../src/common/validation/uuid.js';
import { useTestApp } from './support/app.js';

type Json = Record<string, unknown>;
interface Operation {
  readonly 'x-accepts-any-method'?: true;
  readonly operationId: string;
  readonly parameters?: readonly {
    readonly name: string;
    readonly description: string;
    readonly example: unknown;
    readonly schema: Json;
  }[];
  readonly security?: unknown[];
  readonly requestBody?: { readonly content: Readonly<Record<string, unknown>> };
  readonly responses: Readonly<Record<string, { $ref?: string }>>;
}

/**
 * The contract that this API was ordered by, in full: the published document may add to it, and
 * never contradict it.
 */
const CONTRACT = {
  openapi: '3.0.0',
  info: {
    title: 'Users API',
    version: '1.0.0',
    description: expect.stringMatching(/^API for user management and authentication\n/) as string,
  },
  paths: {
    '/v1/users/me': {
      patch: {
        tags: ['Users'],
        summary: 'Update current user information',
        requestBody: {
          required: true,
          content: { 'application/json': { schema: { $ref: '#/components/schemas/UserUpdate' } } },
        },
        responses: {
          '200': {
            description: 'User information updated successfully',
            content: { 'application/json': { schema: { $ref: '#/components/schemas/UserResponse' } } },
          },
          '400': { $ref: '#/components/responses/BadRequest' },
          '401': { $ref: '#/components/responses/Unauthorized' },
        },
        security: [{ ApiKeyAuth: [] }],
      },
    },
  },
  components: {
    schemas: {
      UserUpdate: {
        type: 'object',
        properties: { name: { type: 'string', description: 'The updated name of the user' } },
      },
      UserResponse: {
        type: 'object',
        properties: {
          id: { type: 'string', format: 'uuid' },
          created_at: { type: 'string', format: 'date-time' },
          updated_at: { type: 'string', format: 'date-time' },
          status: { type: 'string', enum: ['ACTIVE', 'INACTIVE'] },
          name: { type: 'string' },
          email: { type: 'string', format: 'email' },
          credits_balance: { type: 'integer', description: "The user's current credit balance" },
        },
      },
      ErrorResponse: { type: 'object', properties: { status: { type: 'integer' }, message: { type: 'string' } } },
    },
    responses: {
      BadRequest: {
        description: 'Bad request',
        content: { 'application/json': { schema: { $ref: '#/components/schemas/ErrorResponse' } } },
      },
      Unauthorized: {
        description: 'Unauthorized',
        content: { 'application/json': { schema: { $ref: '#/components/schemas/ErrorResponse' } } },
      },
    },
    securitySchemes: { ApiKeyAuth: { type: 'apiKey', in: 'header', name: 'x-api-key' } },
  },
};

/** The formats of parameters; Ajv knows none by itself. */
const FORMATS = {
  uuid: UUID,
  int32: true,
  date: isDate,
  'date-time': (text: string) => !Number.isNaN(Date.parse(text)),
  email: /^[^@]+@[^@]+$/,
} as const;

/** What the schema of each parameter has beside its type. */
const SAYS_MORE: Readonly<Record<string, string>> = {
  page: 'maximum',
  items_per_page: 'maximum',
  after: 'pattern',
  status: 'enum',
  action: 'enum',
  email: 'format',
  api_key_prefix: 'pattern',
  search: 'pattern',
  created_after: 'format',
  created_before: 'format',
  is_admin: 'type',
  exclude_action: 'enum',
  actor_user_id: 'format',
  request_id: 'maxLength',
  transaction_id: 'maxLength',
  transaction_type: 'pattern',
  user_id: 'format',
  api_key_id: 'format',
  actor_key_id: 'format',
  key_name: 'pattern',
  hold_id: 'pattern',
  scope: 'items',
  'X-Required-Scope': 'maxLength',
  start_date: 'format',
  end_date: 'format',
  expires_before: 'format',
};

/** Every object in a part of the document, but for the examples. */
function* all(part: unknown): Generator<Json> {
  if (typeof part !== 'object' || part === null) return;
  if (!Array.isArray(part)) yield part as Json;
  for (const [name, value] of Object.entries(part)) if (name !== 'example' && name !== 'examples') yield* all(value);
}

describe('The published document', () => {
  const app = useTestApp();
  const published = async () => (await app.anyone().get('/docs-json')).body as OpenAPIObject;
  const operations = async () =>
    Object.entries((await published()).paths).flatMap(([path, methods]) =>
      Object.entries(methods as Record<string, Operation>).map(([method, operation]) => ({ path, method, operation })),
    );

  it('is the one in docs, which `npm run document` writes and the client is generated from', async () => {
    expect(JSON.parse(await readFile('docs/openapi.json', 'utf8'))).toEqual(await published());
  });

  it('holds the whole contract', async () => {
    expect(await published()).toMatchObject(CONTRACT);
  });

  it('has exactly the fields of the contract in its schemas, all of them required in answers', async () => {
    const schemas = (await published()).components?.schemas as Record<
      string,
      { properties: Json; required?: string[] }
    >;

    for (const name of ['UserUpdate', 'UserResponse', 'ErrorResponse'] as const) {
      const fields = Object.keys(CONTRACT.components.schemas[name].properties);
      expect(Object.keys(schemas[name]?.properties ?? {})).toEqual(fields);
      expect(schemas[name]?.required).toEqual(name === 'UserUpdate' ? undefined : fields);
    }
    expect(schemas.UserUpdate).toMatchObject({ additionalProperties: false });
  });

  it('says the rule for the name in words, exactly, and in a simple pattern that refuses no valid name', async () => {
    const { UserUpdate, UserCreate, UserAdminUpdate } = (await published()).components?.schemas as Record<
      string,
      { properties: { name: Json } }
    >;

    for (const schema of [UserUpdate, UserCreate, UserAdminUpdate]) {
      const { name = {} } = schema?.properties ?? {};
      expect(name).toMatchObject({ minLength: 1, maxLength: 255, 'x-exact-rule': expect.stringContaining('255') });
      const exact = new RegExp(name['x-exact-pattern'] as string, 'u');
      expect('Ada Lovelace').toMatch(exact);
      expect('Ada\nLovelace').not.toMatch(exact);
      for (const accepted of ['Ada Lovelace', '\n\u3000Ada\u2028 ', '李小龍', '👩‍👩‍👧', 'x'.repeat(255)])
        expect(accepted).toMatch(new RegExp(name.pattern as string));
    }
  });

  it('has only patterns that RE2, PCRE, Ruby and ECMA-262 without flags can compile', async () => {
    const patterns = [...all(await published())].flatMap(({ pattern }) => (typeof pattern === 'string' ? pattern : []));

    expect(patterns.length).toBeGreaterThan(20);
    for (const pattern of patterns) {
      // No lookaround, no back reference, no property; of escapes, `\xhh` and an escaped dot.
      expect(pattern).toMatch(/^\^.*[^\\]/);
      expect(pattern).not.toMatch(/\(\?(?!:)|\\(?!x[0-9a-f]{2}|[.])|[^\x20-\x7e]/);
      expect(() => new RegExp(pattern)).not.toThrow();
    }
  });

  it('states the length of a text that is accepted, and one character more is refused', async () => {
    const admin = await app.given.user({ isAdmin: true });
    const { schemas = {} } = (await published()).components ?? {};
    const limit = (schema: string, property: string): number =>
      (schemas[schema] as { properties: Record<string, { maxLength: number }> }).properties[property]?.maxLength ?? 0;
    const email = (length: number) => {
      const domain = `${'d'.repeat(63)}.`.repeat(3).slice(0, length - 65 - 4);
      return `${'a'.repeat(64)}@${domain}.com`;
    };
    const instant = (length: number) => `2099-01-01T00:00:00.${'0'.repeat(length - 21)}Z`;
    const post = async (path: string, body: object) => (await app.as(admin).post(path).send(body)).status;
    const cases: [schema: string, property: string, make: (length: number) => string, path: string, rest: object][] = [
      ['UserCreate', 'name', (length) => 'é'.repeat(length), '/v1/users', { email: 'long@example.com' }],
      ['UserCreate', 'email', email, '/v1/users', { name: 'Ada' }],
      ['ApiKeyCreate', 'name', (length) => 'x'.repeat(length), '/v1/api-keys', { expires_at: '2099-01-01T00:00:00Z' }],
      ['ApiKeyCreate', 'expires_at', instant, '/v1/api-keys', { name: 'precise' }],
      [
        'CreditChange',
        'transaction_id',
        (length) => '😀'.repeat(length),
        '/v1/billing/credits-add',
        { user_id: admin.id, amount: 1 },
      ],
      [
        'CreditChange',
        'transaction_type',
        (length) => 'T'.repeat(length),
        '/v1/billing/credits-add',
        { user_id: admin.id, amount: 1, transaction_id: 'type' },
      ],
    ];

    for (const [schema, property, make, path, rest] of cases) {
      const length = limit(schema, property);
      const refused = await post(path, { ...rest, [property]: make(length + 1) });
      const accepted = await post(path, { ...rest, [property]: make(length) });
      expect([schema, property, refused, accepted]).toEqual([
        schema,
        property,
        400,
        path.includes('credits') ? 200 : 201,
      ]);
    }
  });

  it('limits the length of every text, and the size of every number and list', async () => {
    const unlimited = [...all((await published()).paths), ...all((await published()).components)].filter(
      (schema) =>
        (schema.type === 'string' && schema.maxLength === undefined && schema.enum === undefined) ||
        (schema.type === 'integer' && (schema.minimum === undefined || schema.maximum === undefined)) ||
        (schema.type === 'array' && schema.maxItems === undefined),
    );

    expect(unlimited).toEqual([]);
  });

  it('describes each parameter, with an example that its schema accepts', async () => {
    const ajv = new Ajv({ strict: false, formats: FORMATS });
    let count = 0;
    for (const { path, method, operation } of await operations()) {
      for (const { name, description, example, schema } of operation.parameters ?? []) {
        count += 1;
        const valid = ajv.compile(schema);
        expect([method, path, name, description]).toEqual([method, path, name, expect.stringMatching(/.{10}/)]);
        expect([method, path, name, valid(example), valid.errors]).toEqual([method, path, name, true, null]);
        expect(Object.keys(schema)).toContain(name.startsWith('If-') ? 'maxLength' : SAYS_MORE[name]);
      }
    }
    expect(count).toBeGreaterThan(30);
  });

  it('offers application/merge-patch+json for PATCH alone', async () => {
    for (const { method, operation } of await operations())
      expect(Object.keys(operation.requestBody?.content ?? {})).toEqual(
        !operation.requestBody
          ? []
          : method === 'patch'
            ? ['application/json', 'application/merge-patch+json']
            : ['application/json'],
      );
  });

  it('201 for application/merge-patch+json with POST, which the document of 1.x offered', async () => {
    const response = await app
      .as(await app.given.user({ isAdmin: true }))
      .post('/v1/users')
      .type('application/merge-patch+json')
      .send('{"name":"Ada","email":"patch@example.com"}');

    expect(response.status).toBe(201);
  });

  it('introduces the API, and describes the key', async () => {
    const { info, components } = await published();
    const { description = '' } = (components?.securitySchemes?.ApiKeyAuth ?? {}) as { description?: string };

    expect(Array.from((info.description ?? '').matchAll(/^## (.+)$/gm), ([, heading]) => heading)).toEqual([
      'Authentication',
      'Requests',
      'Errors',
      'Pagination',
      'Conditional requests',
      'Rate limits',
      'Retries',
    ]);
    expect(info.description).not.toMatch(/[^\n]\n[^\n]/); // some readers keep single line breaks
    expect(description).toContain('^ua_[0-9A-Za-z]{49}$');
  });

  // A collection that is made from the document and run as a whole revokes its own key last.
  it('ends with DELETE /v1/api-keys/current, whether it is read by paths or by tags', async () => {
    const { tags = [] } = await published();
    const inOrder = (await operations()).map(({ method, path }) => `${method} ${path}`);
    const byTag = tags.map(({ name }) => name);

    expect(inOrder.at(-1)).toBe('delete /v1/api-keys/current');
    expect(inOrder.findIndex((one) => one.includes('/v1/api-keys'))).toBe(
      inOrder.length - inOrder.filter((one) => /^\w+ \/v1\/api-keys/.test(one)).length,
    );
    expect(byTag.at(-1)).toBe('API keys');
  });

  it('has examples of its own for each failure of an operation', async () => {
    const { components } = await published();
    const messages = (response: { $ref?: string; content?: unknown }): string[] => {
      const given = response.$ref ? components?.responses?.[response.$ref.split('/').at(-1) ?? ''] : response;
      const { content } = given as { content: { 'application/json': { examples: Record<string, { value: Json }> } } };
      return Object.values(content['application/json'].examples).map(({ value }) => value.message as string);
    };
    const found = new Map<string, string[]>();
    for (const { operation } of await operations())
      for (const [status, response] of Object.entries(operation.responses))
        if (Number(status) >= 400) found.set(`${operation.operationId} ${status}`, messages(response));

    expect([...found].filter(([, texts]) => texts.length === 0)).toEqual([]);
    expect(found.get('listUsers 400')).toEqual([
      'status must be one of ACTIVE, INACTIVE',
      'email must be an e-mail address',
      'api_key_prefix must be the first characters of a key: its prefix, up to the last _, and five more',
      'search must have 3 to 255 characters, and no control characters',
      expect.stringMatching(/^search needs an index that the database lacks: its operator makes it with CREATE/),
      'created_after must be an instant in RFC 3339, such as 2030-01-01T00:00:00Z',
      'created_after and created_before must be instants, and created_before must be the later one',
      'is_admin must be true or false',
      'page must not be less than 1',
      'The property "limit" is not known here',
    ]);
    expect(found.get('rotateApiKey 409')).toEqual(['The API key is REVOKED, which is final']);
    expect(found.get('deactivateUser 409')).toEqual([
      'The last active administrator cannot be deactivated, demoted or erased',
    ]);
  });

  it('gives every answer with a body an example, and every operation an id', async () => {
    const { components } = await published();
    const resolve = (ref: string): unknown =>
      ref
        .split('/')
        .slice(2)
        .reduce<unknown>((at, name) => (at as Json)[name], components);

    /** Whether a schema, or all it is made of, says what its values look like. */
    const hasExample = (schema: {
      $ref?: string;
      example?: unknown;
      type?: string;
      items?: object;
      properties?: Json;
      allOf?: object[];
    }): boolean => {
      if (schema.$ref) return hasExample(resolve(schema.$ref) as object);
      if (schema.allOf) return schema.allOf.every(hasExample);
      if (schema.items) return schema.example !== undefined || hasExample(schema.items);
      if (schema.properties)
        return Object.values(schema.properties).every((property) => hasExample(property as object));
      return schema.example !== undefined;
    };

    const all = await operations();
    expect(all.length).toBeGreaterThan(20);
    for (const { path, method, operation } of all) {
      expect(operation.operationId).toMatch(/^[a-z][A-Za-z]+$/);
      for (const [status, given] of Object.entries(operation.responses)) {
        const response = (given.$ref ? resolve(given.$ref) : given) as {
          content?: Record<string, { schema: object; examples?: Json }>;
        };
        const missing = Object.values(response.content ?? {}).filter(
          ({ schema, examples }) => Object.keys(examples ?? {}).length === 0 && !hasExample(schema),
        );
        expect([method, path, status, missing]).toEqual([method, path, status, []]);
      }
    }
  });

  it('lists every answer that the two paths can give', async () => {
    const { paths } = await published();

    expect(Object.keys(paths['/v1/users/me']?.get?.responses ?? {})).toEqual([
      '200',
      '304',
      '401',
      '403',
      '429',
      '500',
      '503',
    ]);
    expect(Object.keys(paths['/v1/users/me']?.patch?.responses ?? {})).toEqual([
      '200',
      '400',
      '401',
      '403',
      '412',
      '413',
      '415',
      '429',
      '500',
      '503',
    ]);
  });

  it('documents every route that the application serves, but for pages and the way to them', async () => {
    const { router } = app.nest.getHttpAdapter().getInstance() as unknown as {
      router: { stack: { route?: { path: string; methods: Record<string, boolean> } }[] };
    };
    const served = router.stack.flatMap(({ route }) =>
      route && route.path !== '/' && !/^\/(docs|console)/.test(route.path)
        ? Object.keys(route.methods).map((method) => `${method} ${route.path}`)
        : [],
    );

    const documented = (await operations()).flatMap(({ method, path, operation }) => {
      const methods = operation['x-accepts-any-method'] ? METHODS.map((name) => name.toLowerCase()) : [method];
      return methods.map((name) => `${name} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`);
    });

    expect(served.sort()).toEqual(documented.sort());
  });
});

describe('An answer of the API', () => {
  const app = useTestApp();

  it('may load, run and frame nothing in a browser, whether it is a success or a failure', async () => {
    for (const path of ['/livez', '/v1/users/me', '/nowhere']) {
      const { headers } = await app.anyone().get(path);

      expect(headers['content-security-policy']).toBe("default-src 'none';frame-ancestors 'none'");
      expect(headers['x-content-type-options']).toBe('nosniff');
    }
  });
});

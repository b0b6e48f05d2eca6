import { readFile } from 'node:fs/promises';
import type { OpenAPIObject } from '@nestjs/swagger';
import { useTestApp } from './support/app.js';

type Json = Record<string, unknown>;
interface Operation {
  readonly operationId: string;
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
  info: { title: 'Users API', version: '1.0.0', description: 'API for user management and authentication' },
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

  it('says the rule for the name', async () => {
    const { properties } = (await published()).components?.schemas?.UserUpdate as { properties: { name: Json } };

    expect(properties.name).toMatchObject({ minLength: 1, maxLength: 255 });
    expect('Ada Lovelace').toMatch(new RegExp(properties.name.pattern as string, 'u'));
    expect('Ada\nLovelace').not.toMatch(new RegExp(properties.name.pattern as string, 'u'));
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
      if (schema.items) return hasExample(schema.items);
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
      '429',
      '500',
      '503',
    ]);
    expect(Object.keys(paths['/v1/users/me']?.patch?.responses ?? {})).toEqual([
      '200',
      '400',
      '401',
      '412',
      '413',
      '415',
      '429',
      '500',
      '503',
    ]);
  });

  it('documents every route that the application serves, but for the documentation and the way to it', async () => {
    const { router } = app.nest.getHttpAdapter().getInstance() as unknown as {
      router: { stack: { route?: { path: string; methods: Record<string, boolean> } }[] };
    };
    const served = router.stack.flatMap(({ route }) =>
      route && route.path !== '/' && !route.path.startsWith('/docs')
        ? Object.keys(route.methods).map((method) => `${method} ${route.path}`)
        : [],
    );

    const documented = (await operations()).map(
      ({ method, path }) => `${method} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`,
    );

    expect(served.sort()).toEqual(documented.sort());
  });
});

describe('The documentation page', () => {
  const app = useTestApp();

  it('is served with all that it loads, from here alone', async () => {
    const page = await app.anyone().get('/docs');
    const assets = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url = '']) => url);

    expect(page.status).toBe(200);
    expect(assets.length).toBeGreaterThan(3);
    for (const asset of assets) {
      expect(asset).toMatch(/^\.\/docs\//);
      expect((await app.anyone().get(asset.slice(1))).status).toBe(200);
    }
  });

  it('runs scripts from here alone, none of them inline, and talks to nobody else', async () => {
    const { headers } = await app.anyone().get('/docs');
    const policy = String(headers['content-security-policy']);

    expect(policy).toContain("default-src 'none'");
    expect(policy).toMatch(/script-src 'self'(;|$)/);
    expect(policy).toMatch(/connect-src 'self'(;|$)/);
    expect(policy).toMatch(/frame-ancestors 'none'(;|$)/);
  });

  // The library serves the whole directory of its package unless it is stopped.
  it.each(['package.json', 'index.js', 'absolute-path.js', 'README.md', '%70ackage.json', '/package.json', 'docs/'])(
    '404 answers for %s, which is no part of it',
    async (file) => {
      const response = await app.anyone().get(`/docs/${file}`);

      expect(response.status).toBe(404);
      expect(response.body).toEqual({ status: 404, message: 'No such route' });
    },
  );
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

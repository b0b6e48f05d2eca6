import { readFile } from 'node:fs/promises';
import { Controller, Get, type INestApplication, Module, VersioningType } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  ApiHeader,
  ApiOkResponse,
  ApiOperation,
  ApiProperty,
  ApiTags,
  DocumentBuilder,
  type OpenAPIObject,
  SwaggerModule,
} from '@nestjs/swagger';
import { TypeOrmModule } from '@nestjs/typeorm';
import { API_KEY_SCHEME, Authenticated, describeUsersApi, UsersApiModule } from '../src/index.js';
import { createDatabase } from './support/database.js';

/* A host may well have classes of these names. */

class UserResponse {
  @ApiProperty({ example: 7 })
  readonly nickname!: number;
}

class ErrorResponse {
  @ApiProperty()
  readonly reason!: string;
}

@ApiTags('Users')
@Controller('people')
class PeopleController {
  @Get('me')
  @ApiOperation({ operationId: 'getMe' })
  @ApiHeader({ name: 'x-tenant', schema: { type: 'string', example: 'acme' } })
  @ApiOkResponse({ type: UserResponse })
  me(): UserResponse {
    return { nickname: 7 };
  }

  @Get('failure')
  @Authenticated()
  @ApiOkResponse({ type: ErrorResponse })
  failure(): ErrorResponse {
    return { reason: 'none' };
  }
}

type Operations = Readonly<Record<string, Record<string, { readonly operationId: string }>>>;
type Components = Record<string, Record<string, never>>;

/** The document of `docs` with the names that it has in another application. */
async function renamed(): Promise<OpenAPIObject> {
  const text = await readFile('docs/openapi.json', 'utf8');
  const ids = Array.from(text.matchAll(/"operationId": "(\w+)"/g), ([, id]) => id ?? '');
  const document = JSON.parse(
    text
      .replace(/"\$ref": "#\/components\/(\w+)\//g, '$&UsersApi')
      .replace(/"ApiKeyAuth"/g, '"UsersApiApiKeyAuth"')
      .replace(new RegExp(`(?<="operationId": "|\`)(?=(${ids.join('|')})["\`])`, 'g'), 'usersApi_')
      .replace(
        /(?<="tags": \[\s*")|(?<="name": ")(?=(Users|Billing|Verification|Administration|Health|API keys)")/g,
        'Users API: ',
      ),
  ) as OpenAPIObject;
  const { securitySchemes = {}, ...components } = document.components as Components;
  const named = Object.entries(components).map(([kind, parts]) => [
    kind,
    Object.fromEntries(Object.entries(parts).map(([name, part]) => [`UsersApi${name}`, part])),
  ]);
  return { ...document, components: { securitySchemes, ...(Object.fromEntries(named) as Components) } };
}

/** Our operations by path, without those that only our own application has. */
const oursOf = ({ paths }: OpenAPIObject, prefix = ''): Operations =>
  Object.fromEntries(
    Object.entries(paths as Operations)
      .filter(([path]) => path.startsWith(`${prefix}/v1/`))
      .map(([path, item]) => [path.slice(prefix.length), item]),
  );

describe('The document of another application', () => {
  const hosts: INestApplication[] = [];
  afterEach(async () => {
    for (const host of hosts.splice(0)) await host.close();
  });

  /** @param url of a database; without it, the host has its document, and nothing runs */
  async function hostWith(routes: boolean | { prefix: string } = true, url?: string): Promise<INestApplication> {
    @Module({
      imports: [
        TypeOrmModule.forRoot({ type: 'postgres', ...(url !== undefined && { url }) }),
        UsersApiModule.forRoot({ routes }),
      ],
      controllers: [PeopleController],
    })
    class HostModule {}
    const host = await NestFactory.create(HostModule, {
      logger: false,
      abortOnError: false,
      rawBody: true,
      preview: url === undefined,
    });
    hosts.push(host);
    return host;
  }

  const plain = (host: INestApplication, config = new DocumentBuilder()): OpenAPIObject =>
    SwaggerModule.createDocument(host, config.build());
  const written = (document: OpenAPIObject): OpenAPIObject => JSON.parse(JSON.stringify(document)) as OpenAPIObject;

  it('has our operations as docs/openapi.json has them, with names of their own', async () => {
    const document = written(describeUsersApi(plain(await hostWith())));
    const published = await renamed();

    expect(oursOf(document)).toEqual(oursOf(published));
    const { UsersApiHealthResponse, ...schemas } = published.components?.schemas ?? {};
    expect(UsersApiHealthResponse).toBeDefined();
    expect(document.components).toEqual({
      ...published.components,
      schemas: { ...schemas, UserResponse: expect.anything(), ErrorResponse: expect.anything() },
    });
    expect(document.tags).toEqual(published.tags?.filter(({ name }) => !name.endsWith('Health')));
  });

  it('keeps what the host calls by the same names', async () => {
    const before = plain(await hostWith());
    const { paths, components } = describeUsersApi(structuredClone(before));
    const ids = Object.values(paths as Operations).flatMap((item) =>
      Object.values(item).map(({ operationId }) => operationId),
    );

    expect(components?.schemas).toMatchObject({
      UserResponse: { properties: { nickname: { type: 'number' } } },
      ErrorResponse: { properties: { reason: { type: 'string' } } },
      UsersApiUserResponse: { properties: { credits_balance: { type: 'integer' } } },
      UsersApiErrorResponse: { properties: { status: { type: 'integer' } } },
    });
    expect([paths['/people/me'], paths['/people/failure']]).toEqual([
      before.paths['/people/me'],
      before.paths['/people/failure'],
    ]);
    expect(paths['/people/me']).toMatchObject({ get: { operationId: 'getMe', tags: ['Users'] } });
    expect(ids).toContain('usersApi_getMe');
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('is the same after a second description, and in a second document of the application', async () => {
    const host = await hostWith();
    const document = describeUsersApi(plain(host));
    const first = structuredClone(document);

    expect(describeUsersApi(document)).toBe(document);
    expect(document).toEqual(first);
    expect(describeUsersApi(plain(host))).toEqual(first);
  });

  it('shows keys with the prefixes of the application, also after a second description', async () => {
    const options = { apiKeyPrefixes: ['x_ua_', 'ua_'] };
    const before = plain(await hostWith());

    const document = describeUsersApi(structuredClone(before), options);
    const first = structuredClone(document);

    expect(describeUsersApi(document, options)).toEqual(first);
    expect(document.paths['/people/me']).toEqual(before.paths['/people/me']);
    const text = JSON.stringify(document);
    expect(text).toContain('"pattern":"^(x_ua_|ua_)[0-9A-Za-z]{49}$"');
    expect(text).toContain('`x_ua_`, 43 random letters and digits');
    expect([...new Set(Array.from(text.matchAll(/\w*_5GhT2/g), ([prefix]) => prefix))]).toEqual(['x_ua_5GhT2']);
  });

  it('has our operations below the paths that the host gives them', async () => {
    const database = await createDatabase();
    const host = await hostWith({ prefix: 'accounts' }, database.url);
    host.setGlobalPrefix('api').enableVersioning({ type: VersioningType.URI, defaultVersion: '7' });

    const document = written(describeUsersApi(plain(await host.init())));

    expect(oursOf(document, '/api/accounts')).toEqual(oursOf(await renamed()));
    expect(document.paths).toHaveProperty(['/api/v7/people/me', 'get', 'operationId'], 'getMe');
    await hosts.pop()?.close();
    await database.drop();
  });

  it('keeps the tags, the schemes and the responses that the host declares', async () => {
    const scheme = { type: 'apiKey', in: 'header', name: 'x-api-key', description: 'Ask the sales team' } as const;
    const config = new DocumentBuilder()
      .addTag('Users API: Users', 'The people')
      .addApiKey({ type: 'apiKey', in: 'header', name: 'x-token' }, 'ApiKeyAuth')
      .addApiKey(scheme, API_KEY_SCHEME)
      .addGlobalResponse({ status: 418, description: 'A teapot' })
      .addGlobalParameters({ name: 'x-tenant', in: 'header', required: true });

    const { tags, components, paths } = describeUsersApi(plain(await hostWith(), config));

    expect(tags?.[0]).toEqual({ name: 'Users API: Users', description: 'The people' });
    expect(tags?.filter(({ name }) => name === 'Users API: Users')).toHaveLength(1);
    expect(components?.securitySchemes).toEqual({
      ApiKeyAuth: { type: 'apiKey', in: 'header', name: 'x-token' },
      UsersApiApiKeyAuth: scheme,
    });
    expect(paths['/v1/users/me']?.get?.responses['418']).toEqual({ description: 'A teapot' });
  });

  it('has the scheme alone where the host serves no routes of ours', async () => {
    const before = plain(await hostWith(false));
    const document = describeUsersApi(structuredClone(before));

    expect(document.components?.securitySchemes).toHaveProperty(API_KEY_SCHEME);
    expect({ ...document, components: { ...document.components, securitySchemes: {} } }).toEqual({
      ...before,
      components: { ...before.components, securitySchemes: {} },
    });
  });
});

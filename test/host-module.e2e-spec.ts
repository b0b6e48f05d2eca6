import { randomUUID } from 'node:crypto';
import {
  Body,
  type CanActivate,
  ConflictException,
  Controller,
  type DynamicModule,
  type ExecutionContext,
  Get,
  Injectable,
  type INestApplication,
  Module,
  NotFoundException,
  Post,
  SetMetadata,
  type Type,
  UnauthorizedException,
  UseGuards,
  ValidationPipe,
  VersioningType,
} from '@nestjs/common';
import { ROUTE_ARGS_METADATA } from '@nestjs/common/constants.js';
import type { NestApplicationOptions } from '@nestjs/common';
import { ExternalContextCreator, NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { TypeOrmModule } from '@nestjs/typeorm';
import { Column, DataSource, Entity, PrimaryGeneratedColumn } from 'typeorm';
import {
  Administrators,
  APPLICATION,
  ApiKeyGuard,
  ApiKeyNotFoundError,
  ApiKeysService,
  Authenticated,
  AuthenticationService,
  type AuthenticatedRequest,
  CreditsService,
  CurrentUser,
  EmailTakenError,
  ENTITIES,
  ErrorFilter,
  InsufficientCreditsError,
  InvalidApiKeyError,
  InvalidUserNameError,
  MIGRATIONS,
  poolOptions,
  MissingApiKeyError,
  NotAdministratorError,
  type Principal,
  RateLimitedError,
  UserNotFoundError,
  UsersApiEvents,
  type UsersApiEvent,
  UsersApiModule,
  UsersService,
} from '../src/index.js';
import { agentOf as request } from './support/agent.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import { startProxy } from './support/proxy.js';

/** A host may well have a class and a table of that name. */
@Entity('users')
class User {
  @PrimaryGeneratedColumn()
  readonly id!: number;

  @Column('text')
  readonly nickname!: string;
}

/** A feature of somebody else's application, whose module imports nothing of ours. */
@Injectable()
class GreetingsService {
  constructor(private readonly users: UsersService) {}

  async greet(id: string): Promise<string> {
    return `Hello, ${(await this.users.getById(id)).name}`;
  }
}

@Controller('greetings')
class GreetingsController {
  constructor(private readonly greetings: GreetingsService) {}

  @Get('me')
  @Authenticated()
  async greet(@CurrentUser() caller: Principal): Promise<{ text: string }> {
    return { text: await this.greetings.greet(caller.userId) };
  }

  @Get('refused')
  @Authenticated()
  refuse(): never {
    throw new ConflictException({ ours: false });
  }

  @Get('none')
  none(): never {
    throw new NotFoundException('no greeting');
  }

  @Get('missing')
  @Authenticated()
  async missing(): Promise<string> {
    return this.greetings.greet(randomUUID());
  }

  @Post()
  echo(@Body() body: unknown): unknown {
    return body;
  }
}

/** A handler of a microservice, whose messages carry the key. */
class MessageKeyGuard extends ApiKeyGuard {
  protected override requestOf(context: ExecutionContext): AuthenticatedRequest {
    return context.switchToRpc().getContext();
  }
}

/** The guard of docs/host-applications.md, for callers with a key and callers with a token. */
@Injectable()
class KeyOrTokenGuard implements CanActivate {
  constructor(private readonly keys: ApiKeyGuard) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const { headers } = context.getArgByIndex<{ req: { headers: Record<string, string> } }>(2).req;
    if (headers['x-api-key'] !== undefined) return this.keys.canActivate(context);
    if (headers.authorization !== 'Bearer good') throw new UnauthorizedException('JWT please');
    return true;
  }
}

/** Handlers without a route, as those of GraphQL and of microservices. */
@Injectable()
class GreetingsResolver {
  constructor(private readonly greetings: GreetingsService) {}

  @Authenticated()
  async greet(@CurrentUser() caller: Principal): Promise<string> {
    return this.greetings.greet(caller.userId);
  }

  @Administrators()
  greetAdministrator(): string {
    return 'Hello, administrator';
  }

  @UseGuards(MessageKeyGuard)
  greetMessage(): string {
    return 'Hello, message';
  }

  @UseGuards(MessageKeyGuard)
  async greetSender(@CurrentUser() caller: Principal): Promise<string> {
    return this.greetings.greet(caller.userId);
  }

  @UseGuards(KeyOrTokenGuard)
  greetAnyone(): string {
    return 'Hello, anyone';
  }
}

@Module({ controllers: [GreetingsController], providers: [GreetingsService, GreetingsResolver, ApiKeyGuard] })
class GreetingsModule {}

describe('UsersApiModule in another Nest application', () => {
  let database: TestDatabase;
  const hosts: INestApplication[] = [];

  beforeAll(async () => {
    database = await createDatabase();
  });
  afterEach(async () => {
    for (const host of hosts.splice(0)) await host.close();
  });
  afterAll(() => database.drop());

  const defaultConnection = (): DynamicModule => TypeOrmModule.forRoot({ type: 'postgres', url: database.url });

  async function start(
    imports: (DynamicModule | Type)[],
    prepare: (host: NestExpressApplication) => void = () => undefined,
    options: NestApplicationOptions = {},
  ): Promise<NestExpressApplication> {
    @Module({ imports: [...imports, GreetingsModule] })
    class HostModule {}
    const host = await NestFactory.create<NestExpressApplication>(HostModule, {
      logger: false,
      abortOnError: false,
      rawBody: true,
      ...options,
    });
    hosts.push(host);
    prepare(host);
    await host.listen(0, '127.0.0.1');
    return host;
  }

  async function callerOf(host: INestApplication): Promise<{ id: string; key: string }> {
    const { id } = await host.get(UsersService).create({ name: 'Ada', email: `${randomUUID()}@example.com` });
    const expiresAt = new Date(Date.now() + 60_000);
    const { secret } = await host.get(ApiKeysService).create({ userId: id, name: 'test', expiresAt });
    return { id, key: secret };
  }

  it.each([
    [{ newUserCredits: '25' }, 'newUserCredits must be an integer from 0 to 999999999'],
    [{ newUserCredits: null }, 'newUserCredits must be an integer from 0 to 999999999'],
    [{ newUserCredits: -1 }, 'newUserCredits must be an integer from 0 to 999999999'],
    [{ rateLimitPerMinute: 1.5 }, 'rateLimitPerMinute must be an integer from 0 to 999999999'],
    [{ redisUrl: 'localhost' }, 'redisUrl must be a well-formed URL that begins with redis:// or rediss://'],
    [{ apiKeyPrefixes: 'acme_' }, 'apiKeyPrefixes must list one or more prefixes of keys'],
    [{ apiKeyPrefixes: [] }, 'apiKeyPrefixes must list one or more prefixes of keys'],
    [{ apiKeyPrefixes: ['acme'] }, 'apiKeyPrefixes must list one or more prefixes of keys'],
    [{ apiKeyPrefixes: ['a_', 'a_'] }, 'apiKeyPrefixes must not list a prefix twice'],
    [{ newUserCredit: 25 }, 'property newUserCredit should not exist'],
  ])('does not start with the options %j, and says why', async (options, problem) => {
    const refused = `The options of UsersApiModule are not valid: ${problem}`;

    await expect(start([defaultConnection(), UsersApiModule.forRoot(options as never)])).rejects.toThrow(refused);
    const later = UsersApiModule.forRootAsync({ useFactory: () => options as never });
    await expect(start([defaultConnection(), later])).rejects.toThrow(refused);
  });

  it.each<[string, () => (DynamicModule | Type)[], NestApplicationOptions, string]>([
    [
      'twice',
      () => [defaultConnection(), UsersApiModule.forRoot({}), UsersApiModule.forRoot({})],
      {},
      'UsersApiModule is imported twice: call forRoot or forRootAsync once',
    ],
    [
      'without a connection',
      () => [UsersApiModule.forRoot({})],
      {},
      `UsersApiModule found no TypeORM connection "default": import TypeOrmModule.forRoot({ type: 'postgres', … }) in the root module.`,
    ],
    [
      'without a connection of that name',
      () => [defaultConnection(), UsersApiModule.forRoot({ dataSource: 'accounts' })],
      {},
      `UsersApiModule found no TypeORM connection "accounts": import TypeOrmModule.forRoot({ type: 'postgres', … }) in the root module, with name: 'accounts'.`,
    ],
    [
      "with TypeORM's schema",
      () => [
        TypeOrmModule.forRoot({ type: 'postgres', url: database.url, schema: 'public' }),
        UsersApiModule.forRoot({}),
      ],
      {},
      "replace schema: 'public' with extra: { options: '-c search_path=public' }",
    ],
    [
      "with TypeORM's entityPrefix",
      () => [
        TypeOrmModule.forRoot({ type: 'postgres', url: database.url, entityPrefix: 'x_' }),
        UsersApiModule.forRoot({}),
      ],
      {},
      "UsersApiModule does not support TypeORM's entityPrefix: give it a connection without one",
    ],
    [
      'with a parser that drops the bytes',
      () => [defaultConnection(), UsersApiModule.forRoot({})],
      { rawBody: false },
      'create the application with NestFactory.create(AppModule, { rawBody: true }), or serve none with routes: false',
    ],
  ])('does not start %s, and names the remedy in one sentence', async (_, imports, options, message) => {
    await expect(start(imports(), undefined, options)).rejects.toThrow(message);
  });

  it('does not start without options, and names the remedy, where nothing injects its services yet', async () => {
    @Module({ imports: [defaultConnection(), UsersApiModule] })
    class HostModule {}

    await expect(NestFactory.create(HostModule, { logger: false, abortOnError: false })).rejects.toThrow(
      'UsersApiModule is imported without its options: import UsersApiModule.forRoot({})',
    );
  });

  it('starts without the bytes of bodies where it serves no routes', async () => {
    const host = await start([defaultConnection(), UsersApiModule.forRoot({ routes: false })], undefined, {
      rawBody: false,
    });

    await request(host.getHttpServer()).post('/greetings').send({ any: 'thing' }).expect(201, { any: 'thing' });
  });

  it.each([
    ['users', 'that the migrations find', { migrations: MIGRATIONS, migrationsRun: true }],
    ['users', 'without our migrations', {}],
    ['api_keys', 'that the migrations find', { migrations: MIGRATIONS, migrationsRun: true }],
    ['superseded_secrets', 'without our migrations', {}],
    ['audit_events', 'without our migrations', {}],
    ['credit_entries', 'without our migrations', {}],
  ])('does not start beside another table %s %s, and names the remedy', async (table, _, options) => {
    const shared = await createDatabase('empty');
    const owner = new DataSource({ type: 'postgres', url: shared.directUrl });
    await owner.initialize();
    await owner.query(`CREATE TABLE ${table} (id int PRIMARY KEY, nickname text)`);
    await owner.destroy();

    const starting = start([
      TypeOrmModule.forRoot({
        type: 'postgres',
        url: shared.directUrl,
        retryAttempts: 0,
        logger: 'debug',
        ...options,
      }),
      UsersApiModule.forRoot({}),
    ]);

    await expect(starting).rejects.toMatchObject({
      name: 'UnsuitableHostError',
      message: expect.stringMatching(
        new RegExp(`^The schema has tables of another application with names of ours \\(${table}\\): use another`),
      ) as string,
    });
    await shared.drop();
  });

  it.each([
    ['is ignored', (url: string) => ({ url: `${url}?target_session_attrs=read-write` })],
    ['is connected to later', () => ({ host: 'a,b', manualInitialization: true })],
    [
      'has a list of servers for reads',
      (url: string) => ({ replication: { master: { url: `${url}?hostaddr=127.0.0.1` }, slaves: [{ url }] } }),
    ],
  ])('does not start on a connection that needs what `pg` does not support and that %s', async (_, options) => {
    const starting = start([
      TypeOrmModule.forRoot({ type: 'postgres', retryAttempts: 0, ...options(database.directUrl) }),
      UsersApiModule.forRoot({}),
    ]);

    await expect(starting).rejects.toMatchObject({
      name: 'UnsuitableHostError',
      message: expect.stringMatching(/^The TypeORM connection "default" of UsersApiModule must /) as string,
    });
  });

  it("sends every statement to the master of TypeORM's replication, since a standby may lag behind a revocation", async () => {
    const standby = await createDatabase('empty');
    const url = database.directUrl;
    const host = await start([
      TypeOrmModule.forRoot({
        type: 'postgres',
        replication: { master: { url }, slaves: [{ url: standby.directUrl }] },
      }),
      UsersApiModule.forRoot({}),
    ]);
    const { key } = await callerOf(host);
    const get = (path: string) => request(host.getHttpServer()).get(path).set('x-api-key', key);

    for (const path of ['/v1/users/me', '/v1/api-keys', '/v1/billing/credit-history']) await get(path).expect(200);

    await host.close();
    await standby.drop();
  });

  it('has no pool for a URL with several hosts, and names the remedy', () => {
    const options = { databasePoolSize: 2, transactionPooler: false };

    expect(() => poolOptions('postgres://app@a,b/app', options)).toThrow(
      /^The URL for poolOptions must lead to one server, .*: give one address that follows the primary: .*\.$/,
    );
  });

  it("gives our controllers the host's decorators, for its global guards", async () => {
    /** Refuses handlers and controllers that are not public, as a guard for JWT does. */
    class GlobalGuard implements CanActivate {
      canActivate(context: ExecutionContext): boolean {
        if (Reflect.getMetadata('isPublic', context.getClass()) === true) return true;
        throw new UnauthorizedException('JWT please');
      }
    }
    const routes = { decorators: [SetMetadata('isPublic', true)] };
    const host = await start([defaultConnection(), UsersApiModule.forRoot({ routes })], (app) => {
      app.useGlobalGuards(new GlobalGuard());
    });
    const { key } = await callerOf(host);
    const get = (path: string) => request(host.getHttpServer()).get(path).set('x-api-key', key);

    await get('/v1/users/me').expect(200);
    await get('/v1/api-keys').expect(200);
    expect((await get('/greetings/me').expect(401)).body).toMatchObject({ message: 'JWT please' });
  });

  describe('publishes', () => {
    const recorded = (host: INestApplication): UsersApiEvent[] => {
      const events: UsersApiEvent[] = [];
      host.get(UsersApiEvents).changes.subscribe((event) => events.push(event));
      return events;
    };
    const typesOf = (events: UsersApiEvent[]) => events.splice(0).map(({ type }) => type);

    it('each change once, after its commit, and nothing for a repeat that changes nothing', async () => {
      const host = await start([defaultConnection(), UsersApiModule.forRoot({ newUserCredits: 5 })]);
      const [users, keys, credits] = [host.get(UsersService), host.get(ApiKeysService), host.get(CreditsService)];
      const events = recorded(host);
      const expiresAt = new Date(Date.now() + 60_000);

      const { id } = await users.create({ name: 'Ada', email: `${randomUUID()}@example.com` });
      expect(typesOf(events)).toEqual(['user.created', 'credits.moved']);
      await users.createMissing([{ name: 'Bob', email: `${randomUUID()}@example.com` }]);
      expect(typesOf(events)).toEqual(['user.created', 'credits.moved']);
      await users.updateProfile(id, { name: 'Ada' });
      expect(typesOf(events)).toEqual([]);
      await users.updateProfile(id, { name: 'Grace' });
      expect(events).toEqual([
        {
          type: 'user.updated',
          userId: id,
          changes: { name: { before: 'Ada', after: 'Grace' } },
          by: APPLICATION,
        },
      ]);
      events.length = 0;

      const { key } = await keys.create({ userId: id, name: 'test', expiresAt });
      await keys.update(id, 'test', { name: 'other' });
      await keys.update(id, 'other', { name: 'other' });
      await keys.rotate(id, 'other', { expiresAt, overlapSeconds: 60 });
      await keys.revoke(id, 'other');
      await keys.revoke(id, 'other');
      expect(events.map((event) => 'apiKeyId' in event && event.apiKeyId)).toEqual(Array(4).fill(key.id));
      expect(typesOf(events)).toEqual(['api_key.created', 'api_key.updated', 'api_key.rotated', 'api_key.revoked']);

      const movement = { userId: id, amount: 2, transactionId: 'job' };
      const { entry } = await credits.spend(movement);
      await credits.spend(movement);
      expect(events.splice(0)).toEqual([
        {
          type: 'credits.moved',
          userId: id,
          entryId: entry.id,
          credits: -2,
          balanceAfter: 3,
          transactionId: 'job',
          transactionType: 'MANUAL_ADJUSTMENT',
          by: APPLICATION,
        },
      ]);
      await users.change(id, { status: 'INACTIVE' });
      await users.change(id, { status: 'INACTIVE' });
      expect(typesOf(events)).toEqual(['user.updated', 'user.deactivated']);
    });

    it('the changes of a transaction after its outermost commit, and none that was rolled back', async () => {
      const host = await start([defaultConnection(), UsersApiModule.forRoot({ newUserCredits: 10 })]);
      const { id: userId } = await callerOf(host);
      const credits = host.get(CreditsService);
      const events = recorded(host);
      const spend = (transactionId: string, manager: DataSource['manager']) =>
        credits.spend({ userId, amount: 1, transactionId }, { manager });
      const failing = async (work: Promise<unknown>): Promise<void> => {
        await expect(work).rejects.toThrow('undone');
      };

      await host.get(DataSource).transaction(async (outer) => {
        await spend('outer', outer);
        await outer.transaction(async (inner) => {
          await spend('released', inner);
          await failing(
            inner.transaction(async (innermost) => {
              await spend('innermost', innermost);
              throw new Error('undone');
            }),
          );
        });
        await failing(
          outer.transaction(async (inner) => {
            await inner.transaction((innermost) => spend('released in an undone savepoint', innermost));
            throw new Error('undone');
          }),
        );
        expect(events).toEqual([]);
      });
      expect(events.splice(0).map((event) => 'transactionId' in event && event.transactionId)).toEqual([
        'outer',
        'released',
      ]);
      await failing(
        host.get(DataSource).transaction(async (outer) => {
          await outer.transaction((inner) => spend('in an undone transaction', inner));
          throw new Error('undone');
        }),
      );
      expect(events).toEqual([]);
      expect((await host.get(UsersService).getById(userId)).creditsBalance).toBe(8);
    });
  });

  it('knows nobody by an id that is none, and fails for nothing that is asked with one', async () => {
    const host = await start([defaultConnection(), UsersApiModule.forRoot({})]);
    const [users, keys, credits] = [host.get(UsersService), host.get(ApiKeysService), host.get(CreditsService)];
    const spending = { userId: 'nobody', amount: 1, transactionId: 'x' };
    const expiresAt = new Date(Date.now() + 60_000);

    await expect(users.getById('nobody')).rejects.toThrow(UserNotFoundError);
    await expect(users.change('nobody', { status: 'INACTIVE' })).rejects.toThrow(UserNotFoundError);
    await expect(keys.create({ userId: 'nobody', name: 'x', expiresAt })).rejects.toThrow(
      'User with ID nobody not found',
    );
    await expect(keys.getByName('nobody', 'x')).rejects.toThrow(ApiKeyNotFoundError);
    await expect(keys.revokeById('nobody', 'x')).rejects.toThrow(ApiKeyNotFoundError);
    await expect(credits.spend(spending)).rejects.toThrow(UserNotFoundError);
    await expect(credits.add({ ...spending, userId: randomUUID(), transactionType: 'gift' })).rejects.toThrow(
      'transaction_type must be 1 to 32 capital letters',
    );
  });

  it('404 for what a handler of the host does not find, and not 405, where our filter shapes all errors', async () => {
    const host = await start([defaultConnection(), UsersApiModule.forRoot({})], (app) => {
      app.useGlobalFilters(new ErrorFilter());
    });

    const found = await request(host.getHttpServer()).get('/greetings/none');
    const method = await request(host.getHttpServer()).delete('/greetings/none');

    expect([found.status, method.status]).toEqual([404, 405]);
  });

  it('400 for queries that the parser of the host would cut or nest', async () => {
    const host = await start([defaultConnection(), UsersApiModule.forRoot({})], (app) => {
      app.set('query parser', 'extended');
    });
    const { key } = await callerOf(host);
    const messageFor = async (query: string): Promise<unknown> =>
      (
        (await request(host.getHttpServer()).get(`/v1/api-keys?${query}`).set('x-api-key', key)).body as {
          message: string;
        }
      ).message;

    expect(await messageFor(`${'&'.repeat(1_500)}page=0`)).toBe('page must not be less than 1');
    expect(await messageFor('page[a]=1')).toBe('The property "page[a]" is not known here');
    expect(await messageFor('page=1&page=1')).toBe('The query gives "page" twice');
  });

  it('records a change, and no id of its request, where the host gives ids that the trail could not hold', async () => {
    const host = await start([defaultConnection(), UsersApiModule.forRoot({})], (app) => {
      app.use((incoming: { id: unknown }, _: unknown, next: () => void) => {
        incoming.id = 'x'.repeat(129);
        next();
      });
    });
    const { id, key } = await callerOf(host);

    const { status } = await request(host.getHttpServer())
      .patch('/v1/users/me')
      .set('x-api-key', key)
      .send({ name: 'New' });

    const events = await host
      .get(DataSource)
      .query<unknown[]>(`SELECT request_id FROM audit_events WHERE user_id = $1 AND action = 'user.updated'`, [id]);
    expect(status).toBe(200);
    expect(events).toEqual([{ request_id: null }]);
  });

  it('adds to what the host says of caches, and takes nothing away', async () => {
    const host = await start([defaultConnection(), UsersApiModule.forRoot({})], (app) => {
      app.enableCors({ origin: 'https://app.example.com' });
    });
    const { key } = await callerOf(host);

    const { headers } = await request(host.getHttpServer()).get('/greetings/me').set('x-api-key', key);

    expect(headers).toMatchObject({ vary: 'Origin, x-api-key', 'cache-control': 'private, no-cache' });
  });

  it('lends its services to modules that import nothing, with errors to catch', async () => {
    const host = await start([defaultConnection(), UsersApiModule.forRoot({})]);
    const users = host.get(UsersService);

    const ada = await users.create({ name: ' Ada ', email: 'ada@example.com' });

    expect(await host.get(GreetingsService).greet(ada.id)).toBe('Hello, Ada');
    expect(await users.updateProfile(ada.id, { name: 'Ada L.' })).toMatchObject({
      id: ada.id,
      name: 'Ada L.',
      version: '2',
    });
    await expect(users.getById(randomUUID())).rejects.toThrow(UserNotFoundError);
    await expect(users.updateProfile(ada.id, { name: '\u0000' })).rejects.toThrow(InvalidUserNameError);
    await expect(users.create({ name: 'Eve', email: 'ADA@example.com' })).rejects.toThrow(EmailTakenError);
  });

  it('joins a transaction of the host, which an error of ours does not spoil', async () => {
    const host = await start([defaultConnection(), UsersApiModule.forRoot({ newUserCredits: 10 })]);
    const { id: userId } = await callerOf(host);
    const credits = host.get(CreditsService);
    const spend = (amount: number, transactionId: string, manager: DataSource['manager']) =>
      credits.spend({ userId, amount, transactionId }, { manager });

    await host.get(DataSource).transaction(async (manager) => {
      await expect(spend(11, 'too-much', manager)).rejects.toThrow(InsufficientCreditsError);
      await spend(4, 'job-1', manager);
    });
    const undone = host.get(DataSource).transaction(async (manager) => {
      await spend(4, 'job-2', manager);
      throw new Error('the job failed');
    });

    await expect(undone).rejects.toThrow('the job failed');
    expect((await host.get(UsersService).getById(userId)).creditsBalance).toBe(6);
  });

  it('works on a connection that has a name, in a schema of its own beside a users table of the host', async () => {
    const shared = await createDatabase('empty');
    const owner = new DataSource({ type: 'postgres', url: shared.directUrl });
    await owner.initialize();
    await owner.query('CREATE SCHEMA accounts');
    await owner.destroy();
    const host = await start([
      TypeOrmModule.forRoot({ type: 'postgres', url: shared.directUrl, entities: [User], synchronize: true }),
      TypeOrmModule.forFeature([User]),
      TypeOrmModule.forRoot({
        name: 'accounts',
        type: 'postgres',
        url: shared.directUrl,
        extra: { options: '-c search_path=accounts' },
        entities: ENTITIES,
        migrations: MIGRATIONS,
        migrationsRun: true,
      }),
      UsersApiModule.forRootAsync({
        dataSource: 'accounts',
        useFactory: () =>
          Promise.resolve({ newUserCredits: 7, rateLimitPerMinute: 2, apiKeyPrefixes: ['acme_', 'ua_'] }),
      }),
    ]);
    const { id, key } = await callerOf(host);
    const me = () => request(host.getHttpServer()).get('/v1/users/me').set('x-api-key', key);

    expect(key).toMatch(/^acme_[0-9A-Za-z]{49}$/);
    expect((await me().expect(200)).body).toMatchObject({ id, credits_balance: 7 });
    expect((await me().expect(200)).headers.ratelimit).toMatch(/^"key";r=0;/);
    await me().expect(429);
    expect(await host.get(DataSource).getRepository(User).find()).toEqual([]);

    await host.close();
    hosts.length = 0;
    await shared.drop();
  });

  it('guards routes of the host, and leaves alone what is not its own there', async () => {
    const host = await start([defaultConnection(), UsersApiModule.forRoot({ routes: false })]);
    const { key } = await callerOf(host);
    const get = (path: string) => request(host.getHttpServer()).get(path);

    const refused = await get('/greetings/me').expect(401);
    expect(refused.body).toEqual({ status: 401, message: expect.any(String) as string });
    expect(refused.headers['www-authenticate']).toMatch(/^ApiKey /);
    expect((await get('/greetings/me').set('x-api-key', key).expect(200)).body).toEqual({ text: 'Hello, Ada' });
    const missing = await get('/greetings/missing').set('x-api-key', key).expect(404);
    expect(missing.body).toEqual({ status: 404, message: expect.stringContaining('not found') as string });
    expect((await get('/greetings/refused').set('x-api-key', key).expect(409)).body).toEqual({ ours: false });

    await get('/v1/users/me')
      .set('x-api-key', key)
      .expect(404, { message: 'Cannot GET /v1/users/me', error: 'Not Found', statusCode: 404 });
    await request(host.getHttpServer()).post('/greetings').send({ any: 'thing' }).expect(201, { any: 'thing' });
  });

  describe('outside of routes', () => {
    type Handler = (...args: unknown[]) => Promise<unknown>;

    /**
     * What `@nestjs/graphql` and `@nestjs/microservices` make of a method that has guards and
     * filters.
     */
    function handlerOf(host: INestApplication, name: keyof GreetingsResolver, type: string): Handler {
      const resolver = host.get(GreetingsResolver);
      const method = Reflect.get(resolver, name) as Handler;
      const parameters = { exchangeKeyForValue: () => null };
      const options = { guards: true, filters: true, interceptors: true };
      return host
        .get(ExternalContextCreator)
        .create(resolver, method, name, ROUTE_ARGS_METADATA, parameters, undefined, undefined, options, type);
    }

    it('authenticates the caller of a GraphQL resolver, with and without an HTTP response', async () => {
      const host = await start([defaultConnection(), UsersApiModule.forRoot({ rateLimitPerMinute: 3 })], (app) => {
        app.use('/graphql', (req: object, res: { json: (body: unknown) => void }) => {
          void handlerOf(app, 'greet', 'graphql')(undefined, {}, { req }).then((text) => {
            res.json({ text });
          });
        });
      });
      const { key } = await callerOf(host);
      const [greet, greetAdministrator] = [
        handlerOf(host, 'greet', 'graphql'),
        handlerOf(host, 'greetAdministrator', 'graphql'),
      ];
      const contextOf = (presented?: string) => ({ req: { headers: { 'x-api-key': presented } } });

      const overHttp = await request(host.getHttpServer()).get('/graphql').set('x-api-key', key);

      expect(overHttp.body).toEqual({ text: 'Hello, Ada' });
      expect(overHttp.headers).toMatchObject({ vary: 'x-api-key', ratelimit: expect.stringMatching(/^"key";r=2;/) });
      expect(await greet(undefined, {}, contextOf(key))).toBe('Hello, Ada');
      await expect(greet(undefined, {}, contextOf())).rejects.toThrow(MissingApiKeyError);
      await expect(greet(undefined, {}, contextOf(`${key}, ${key}`))).rejects.toThrow(InvalidApiKeyError);
      await expect(greetAdministrator(undefined, {}, contextOf(key))).rejects.toThrow(NotAdministratorError);
      await expect(greet(undefined, {}, contextOf(key))).rejects.toThrow(RateLimitedError);
    });

    it('authenticates the sender of a message, whose guard says where the key is', async () => {
      const host = await start([defaultConnection(), UsersApiModule.forRoot({})]);
      const { id, key } = await callerOf(host);
      const message: AuthenticatedRequest = { headers: { 'x-api-key': key } };

      expect(await handlerOf(host, 'greetMessage', 'rpc')({}, message)).toBe('Hello, message');
      expect(message.principal).toMatchObject({ userId: id, isAdmin: false, requestId: null });
      await expect(handlerOf(host, 'greetMessage', 'rpc')({}, { headers: {} })).rejects.toThrow(MissingApiKeyError);
      expect(await handlerOf(host, 'greetSender', 'rpc')({}, { headers: { 'x-api-key': key } })).toBe('Hello, Ada');
      await expect(handlerOf(host, 'greet', 'rpc')({}, { headers: {} })).rejects.toThrow(
        'No request in this context (rpc): extend ApiKeyGuard and override requestOf()',
      );
    });

    it('authenticates the handshake of a WebSocket, with each message', async () => {
      const host = await start([defaultConnection(), UsersApiModule.forRoot({})]);
      const { id, key } = await callerOf(host);
      const sent: unknown[] = [];
      const emit = (...event: unknown[]) => sent.push(event);
      const client = { handshake: { headers: { 'x-api-key': key }, address: '203.0.113.7' }, emit };
      const greet = handlerOf(host, 'greet', 'ws');

      expect(await greet(client, 'a message')).toBe('Hello, Ada');
      expect(await greet(client, { another: 'message' })).toBe('Hello, Ada');
      await host.get(ApiKeysService).revoke(id, 'test');
      await expect(greet(client, 'a message')).rejects.toThrow(InvalidApiKeyError);
      await expect(greet({ handshake: { headers: {} }, emit }, 'a message')).rejects.toThrow(MissingApiKeyError);
      expect(sent).toEqual([
        ['exception', { status: 401, message: 'The API key is not valid' }],
        ['exception', { status: 401, message: 'An API key is required in the x-api-key header' }],
      ]);
    });

    it('is one of several guards: a key or a token', async () => {
      const host = await start([defaultConnection(), UsersApiModule.forRoot({})]);
      const { key } = await callerOf(host);
      const enter = (headers: object) => handlerOf(host, 'greetAnyone', 'graphql')({}, {}, { req: { headers } });

      expect(await enter({ 'x-api-key': key })).toBe('Hello, anyone');
      expect(await enter({ authorization: 'Bearer good' })).toBe('Hello, anyone');
      await expect(enter({ 'x-api-key': `${key}x`, authorization: 'Bearer good' })).rejects.toThrow(InvalidApiKeyError);
      await expect(enter({})).rejects.toThrow('JWT please');
    });

    it('authenticates without a guard: a key in, its owner out', async () => {
      const host = await start([defaultConnection(), UsersApiModule.forRoot({})]);
      const { id, key } = await callerOf(host);
      const authentication = host.get(AuthenticationService);

      expect(await authentication.authenticate(key)).toEqual({
        type: 'API_KEY',
        userId: id,
        keyId: expect.any(String) as string,
        keyName: 'test',
        isAdmin: false,
        scopes: null,
        keyExpiresAt: expect.any(Date) as Date,
        superseded: null,
        keyRateLimitPerMinute: null,
        userRateLimitPerMinute: null,
        requestId: null,
      });
      await expect(authentication.authenticate(undefined)).rejects.toThrow(MissingApiKeyError);
      await expect(authentication.authenticate('ua_nonsense')).rejects.toThrow(InvalidApiKeyError);
    });
  });

  it('serves its routes below a path, whatever the versions of the host', async () => {
    const host = await start([defaultConnection(), UsersApiModule.forRoot({ routes: { prefix: 'accounts' } })], (app) =>
      app.setGlobalPrefix('api').enableVersioning({ type: VersioningType.URI, defaultVersion: '7' }),
    );
    const { key } = await callerOf(host);
    const caller = request(host.getHttpServer()).set('x-api-key', key);

    await caller.get('/v1/users/me').expect(404);
    await caller.get('/api/v7/accounts/v1/users/me').expect(404);
    await caller.get('/api/accounts/v1/users/me').expect(200);
    const { headers } = await caller
      .post('/api/accounts/v1/api-keys?some=query')
      .send({ name: 'laptop', expires_at: '2999-01-01T00:00:00Z' })
      .expect(201);
    expect(headers.location).toBe('/api/accounts/v1/api-keys/laptop');
    await caller.get(String(headers.location)).expect(200);
    await caller.get('/api/v7/greetings/me').expect(200);
  });

  it.each<NestApplicationOptions>([{ rawBody: true }, { bodyParser: false }])(
    'keeps its promises behind the pipes of a host made with %j',
    async (options: NestApplicationOptions) => {
      const host = await start(
        [defaultConnection(), UsersApiModule.forRoot({})],
        (app) =>
          app.useGlobalPipes(
            new ValidationPipe({
              whitelist: true,
              transform: true,
              transformOptions: { enableImplicitConversion: true },
            }),
          ),
        options,
      );
      const { key } = await callerOf(host);
      const caller = request(host.getHttpServer()).set('x-api-key', key);
      const patch = (body: string | object, type = 'application/json') =>
        caller.patch('/v1/users/me').set('content-type', type).send(body);
      const answer = (status: number) => ({ status, message: expect.any(String) as string });

      expect((await patch({ name: ' Grace ' }).expect(200)).body).toMatchObject({ name: 'Grace' });
      expect((await patch({ name: 'Eve' }, 'application/merge-patch+json').expect(200)).body).toMatchObject({
        name: 'Eve',
      });
      expect((await patch({ email: 'eve@example.com' }).expect(400)).body).toEqual(answer(400));
      expect((await patch({ name: 7 }).expect(400)).body).toEqual(answer(400));
      expect((await patch('["name"]').expect(400)).body).toEqual(answer(400));
      const deep = `{"name": ${'['.repeat(8_000)}${']'.repeat(8_000)}}`;
      expect((await patch(deep).expect(400)).body).toEqual(answer(400));
      expect((await patch('{"__proto__": {}}').expect(400)).body).toEqual(answer(400));
      expect((await patch({ name: 'x'.repeat(20_000) }).expect(413)).body).toEqual(answer(413));
      expect((await patch('name=Eve', 'application/x-www-form-urlencoded').expect(415)).body).toEqual(answer(415));
      expect((await caller.patch('/v1/users/me').expect(400)).body).toEqual(answer(400));
      await patch('{"name": "Eve", "name": "Bob"}').expect(400);
      await caller.post('/v1/api-keys').send({ name: 'laptop', expires_at: '2999-01-01T00:00:00Z' }).expect(201);
      await caller.get('/v1/api-keys?page=1e0').expect(400);
      expect((await caller.get('/v1/api-keys?page=2').expect(200)).body).toMatchObject({ data: [] });
    },
  );

  it('answers 503 on a guarded route of the host while the database is away', async () => {
    const away = await createDatabase();
    const host = await start([
      // Directly: a pooler would keep a connection without time-outs waiting, which is its host's
      // to bound.
      TypeOrmModule.forRoot({ type: 'postgres', url: away.directUrl, poolErrorHandler: () => undefined }),
      UsersApiModule.forRoot({}),
    ]);
    const { key } = await callerOf(host);
    await request(host.getHttpServer()).get('/greetings/me').set('x-api-key', key).expect(200);

    await away.drop();
    const answer = await request(host.getHttpServer()).get('/greetings/me').set('x-api-key', key).retry(0).expect(503);

    expect(answer.body).toEqual({ status: 503, message: 'The service is temporarily unavailable' });
    expect(answer.headers['retry-after']).toBe('1');
  });

  it("answers 503 when the host's connection is reset before the database has answered, and the process lives on", async () => {
    const proxy = await startProxy(database.url);
    const host = await start([
      TypeOrmModule.forRoot({ type: 'postgres', url: proxy.url, poolErrorHandler: () => undefined }),
      UsersApiModule.forRoot({}),
    ]);
    const { key } = await callerOf(host);
    const greet = () => request(host.getHttpServer()).get('/greetings/me').set('x-api-key', key);

    proxy.loseAnswers();
    await greet().retry(0).expect(503);
    await greet().expect(200);

    await host.close();
    hosts.pop();
    await proxy.close();
  });
});

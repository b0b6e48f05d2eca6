import type { EventEmitter } from 'node:events';
import type { AddressInfo } from 'node:net';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { pino } from 'pino';
import request from 'supertest';
import { DataSource } from 'typeorm';
import { AppModule } from '../../src/app.module.js';
import { APP_OPTIONS, setUpApp } from '../../src/app.setup.js';
import { BoundedExpressAdapter } from '../../src/common/http/bounded-express.adapter.js';
import { AppConfig } from '../../src/config/app.config.js';
import { poolOptions } from '../../src/database/data-source.options.js';
import type { User } from '../../src/users/user.entity.js';
import { UsersService } from '../../src/users/users.service.js';
import { createDatabase, poolerEnvironment, type TestDatabase } from './database.js';
import { Given, type GivenUser } from './given.js';
import { isCarried, Prism } from './prism.js';

type Agent = ReturnType<typeof request.agent>;
type Sent = request.Test & { readonly method: string; url: string; readonly _data?: unknown };

/** The real application, listening on a port of its own, on a database of its own. */
export class TestApp {
  constructor(
    readonly nest: NestExpressApplication,
    readonly given: Given,
    readonly prism?: Prism,
  ) {}

  get port(): number {
    return (this.nest.getHttpServer().address() as AddressInfo).port;
  }

  /** A caller with this user's key. */
  as(user: GivenUser): Agent {
    return this.anyone().set('x-api-key', user.key);
  }

  /** A caller without a key. */
  anyone(): Agent {
    const { prism } = this;
    if (!prism) return request.agent(`http://127.0.0.1:${String(this.port)}`);
    return request.agent(prism.url).use((sent: Sent) => {
      const path = sent.url.slice(prism.url.length);
      const end = sent.end.bind(sent);
      sent.end = (...given) => {
        if (isCarried({ method: sent.method, path, body: sent._data, mediaType: sent.get('content-type') }))
          sent.on('response', (answer: { headers: Record<string, string>; status: number }) => {
            prism.note(`${sent.method} ${path}`, answer);
          });
        else sent.url = `http://127.0.0.1:${String(this.port)}${path}`;
        return end(...given);
      };
    });
  }

  /** @throws when an answer was not as the document says, as far as Prism looked */
  async close(): Promise<void> {
    await this.nest.close();
    await this.prism?.stop();
    if (this.prism && this.prism.violations.length > 0) throw new Error(this.prism.violations.join('\n'));
  }

  stored(user: GivenUser): Promise<User> {
    return this.nest.get(UsersService).getById(user.id);
  }

  rows(sql: string, parameters: unknown[] = []): Promise<unknown[]> {
    return this.nest.get(DataSource).query(sql, parameters);
  }

  /** How often the pool lent a connection, once for each statement outside of a transaction, while `work` ran. */
  async statementsDuring(work: () => Promise<unknown>): Promise<number> {
    const { master: pool } = this.nest.get(DataSource).driver as unknown as { master: EventEmitter };
    let count = 0;
    const counted = (): void => {
      count += 1;
    };
    pool.on('acquire', counted);
    await work();
    pool.off('acquire', counted);
    return count;
  }
}

/** @param env what differs from the defaults of the configuration */
export async function startTestApp(databaseUrl: string, env: NodeJS.ProcessEnv = {}): Promise<TestApp> {
  const logger = pino({ level: 'silent' });
  const config = new AppConfig({ ...poolerEnvironment(), ...env });
  const nest = await NestFactory.create<NestExpressApplication>(
    AppModule.forRoot(config, poolOptions(databaseUrl, config)),
    new BoundedExpressAdapter(),
    {
      ...APP_OPTIONS,
      logger: false,
      abortOnError: false,
    },
  );
  setUpApp(nest, logger, config);
  await nest.listen(0, '127.0.0.1');
  const prism = process.env.TEST_PRISM === 'true' ? await Prism.before(await nest.getUrl()) : undefined;
  return new TestApp(nest, new Given(nest), prism);
}

/** The application for the tests of one suite. Its rows are nobody else's; each test makes its own. */
export function useTestApp(): TestApp {
  let database: TestDatabase | undefined;
  let app: TestApp | undefined;

  beforeAll(async () => {
    database = await createDatabase();
    app = await startTestApp(database.url);
  });
  afterAll(async () => {
    await app?.close();
    await database?.drop();
  });

  return new Proxy({} as TestApp, {
    get: (_, property) => {
      if (!app) throw new Error('The application is there from the first test on');
      const value: unknown = Reflect.get(app, property);
      return typeof value === 'function' ? (value.bind(app) as unknown) : value;
    },
  });
}

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

type Agent = ReturnType<typeof request.agent>;

/** The real application, listening on a port of its own, on a database of its own. */
export class TestApp {
  constructor(
    readonly nest: NestExpressApplication,
    readonly given: Given,
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
    return request.agent(`http://127.0.0.1:${String(this.port)}`);
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
  return new TestApp(nest, new Given(nest));
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
    await app?.nest.close();
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

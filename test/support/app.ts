import type { EventEmitter } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { Client } from 'pg';
import { pino } from 'pino';
import type { Test } from 'supertest';
import { DataSource } from 'typeorm';
import { createApp } from '../../src/app.setup.js';
import { AppConfig } from '../../src/config/app.config.js';
import { SESSION_TIMEOUTS } from '../../src/database/data-source.options.js';
import type { User } from '../../src/users/user.entity.js';
import { UsersService } from '../../src/users/users.service.js';
import { type Agent, agentOf, type Sent } from './agent.js';
import { createDatabase, poolerEnvironment, type TestDatabase } from './database.js';
import { Given, type GivenUser } from './given.js';
import { ending } from './leftovers.js';
import { patient, patiently } from './patience.js';
import { isCarried, Prism } from './prism.js';

/** The real application, listening on a port of its own, on a database of its own. */
export class TestApp {
  /** Of `statementsDuring`, while it runs. */
  private statements = 0;

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
    const agent = agentOf(prism?.url ?? `http://127.0.0.1:${String(this.port)}`, {
      // Every change is recorded with the id of its request.
      wasCarriedOut: async (id) => (await this.rows('SELECT FROM audit_events WHERE request_id = $1', [id])).length > 0,
      repeated: () => {
        this.statements = 0;
      },
    });
    if (!prism) return agent;
    return agent.use((test: Test) => {
      const sent = test as Sent;
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

  /** Ends it where a test did not, with requests that still wait for an answer. */
  async abandon(): Promise<void> {
    const server = this.nest.getHttpServer();
    server.closeAllConnections();
    if (server.listening) await this.nest.close();
  }

  /** @throws when an answer was not as the document says, as far as Prism looked */
  async close(): Promise<void> {
    await this.nest.close();
    await this.prism?.stop();
    if (this.prism && this.prism.violations.length > 0) throw new Error(this.prism.violations.join('\n'));
  }

  stored(user: GivenUser): Promise<User> {
    return patient(this.nest.get(UsersService)).getById(user.id);
  }

  rows(sql: string, parameters: unknown[] = []): Promise<unknown[]> {
    return patiently(() => this.nest.get(DataSource).query(sql, parameters));
  }

  /**
   * Runs a statement, such as one that locks rows, in a transaction of another session, which has
   * none of the application's time limits.
   *
   * @returns what undoes it, and ends that session
   */
  async hold(sql: string, parameters: unknown[] = []): Promise<() => Promise<void>> {
    const client = new Client({ connectionString: (this.nest.get(DataSource).options as { url: string }).url });
    await client.connect();
    await client.query('BEGIN');
    for (const limit of Object.keys(SESSION_TIMEOUTS)) await client.query(`SET LOCAL ${limit} = 0`);
    await client.query(sql, parameters);
    return ending(async () => {
      await client.query('ROLLBACK');
      await client.end();
    });
  }

  /**
   * How often the pool lent a connection, once for each statement outside of a transaction, while
   * `work` ran. Work that sends requests sends one at a time, of which the last attempt counts.
   */
  async statementsDuring(work: () => Promise<unknown>): Promise<number> {
    const { master: pool } = this.nest.get(DataSource).driver as unknown as { master: EventEmitter };
    const count = (): void => {
      this.statements += 1;
    };
    this.statements = 0;
    pool.on('acquire', count);
    await work();
    pool.off('acquire', count);
    return this.statements;
  }
}

/** @param env what differs from the defaults of the configuration */
export async function startTestApp(databaseUrl: string, env: NodeJS.ProcessEnv = {}): Promise<TestApp> {
  const logger = pino({ level: 'silent' });
  const config = new AppConfig({ ...poolerEnvironment(), ...env });
  const nest = await createApp(config, databaseUrl, { logger });
  await nest.listen(0, '127.0.0.1');
  const prism = process.env.TEST_PRISM === 'true' ? await Prism.before(await nest.getUrl()) : undefined;
  const app = new TestApp(nest, new Given(nest), prism);
  ending(() => app.abandon());
  return app;
}

/**
 * The application for the tests of one suite. Its rows are nobody else's; each test makes its own.
 */
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

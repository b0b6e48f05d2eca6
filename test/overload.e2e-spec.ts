import { once } from 'node:events';
import { type IncomingMessage, request as httpRequest } from 'node:http';
import { Body, Controller, Get, Module, Post, UseGuards } from '@nestjs/common';
import { IsString } from 'class-validator';
import { pino } from 'pino';
import request from 'supertest';
import { DataSource } from 'typeorm';
import { createAppOf } from '../src/app.setup.js';
import { JsonBodyGuard } from '../src/common/http/json-body.guard.js';
import { DatabaseBusyError } from '../src/database/bounded-pool.js';
import { SESSION_TIMEOUTS } from '../src/database/data-source.options.js';
import { startTestApp, type TestApp, useTestApp } from './support/app.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import { startProxy } from './support/proxy.js';

const UNAVAILABLE = { status: 503, message: 'The service is temporarily unavailable' };

describe('A session of the application', () => {
  const app = useTestApp();

  it.each(Object.entries(SESSION_TIMEOUTS))('gives up after its %s', async (name, milliseconds) => {
    const [row] = (await app.rows(`SELECT setting, unit FROM pg_settings WHERE name = '${name}'`)) as object[];

    expect(row).toEqual({ setting: String(milliseconds), unit: 'ms' });
  });

  describe('that loses against another one', () => {
    /**
     * Lets the next changes of a user fail so many times, as a conflict does. The count survives
     * what is rolled back.
     */
    const conflicts = async (code: '40001' | '40P01', times: number): Promise<void> => {
      await app.given.sql(`DROP TRIGGER IF EXISTS conflict ON users`);
      await app.given.sql(`CREATE OR REPLACE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF nextval('conflicts') <= ${String(times)} THEN RAISE EXCEPTION 'conflict' USING ERRCODE = '${code}'; END IF;
          RETURN NEW;
        END $$`);
      await app.given.sql('DROP SEQUENCE IF EXISTS conflicts');
      await app.given.sql('CREATE SEQUENCE conflicts');
      await app.given.sql('CREATE TRIGGER conflict BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION conflict()');
    };

    it.each(['40001', '40P01'] as const)('tries again up to three times, and writes once: %s', async (code) => {
      const ada = await app.given.user();
      await conflicts(code, 3);

      const { status, body } = await app.as(ada).patch('/v1/users/me').send({ name: 'Third Time Lucky' }).retry(0);

      const events = await app.rows(`SELECT FROM audit_events WHERE action = 'user.updated' AND user_id = $1`, [
        ada.id,
      ]);
      expect(status).toBe(200);
      expect(body).toMatchObject({ name: 'Third Time Lucky' });
      expect(events).toHaveLength(1);
    });

    it('503 when it loses for the fourth time, and nothing is written', async () => {
      const ada = await app.given.user();
      await conflicts('40001', 4);

      const { status, body, headers } = await app.as(ada).patch('/v1/users/me').send({ name: 'Never' }).retry(0);

      expect([status, body, headers['retry-after']]).toEqual([503, UNAVAILABLE, '1']);
      expect(await app.stored(ada)).toEqual(ada.row);
    });

    it('moves credits once', async () => {
      const ada = await app.given.user();
      const admin = await app.given.user({ isAdmin: true });
      await conflicts('40P01', 2);

      const { status } = await app
        .as(admin)
        .post('/v1/billing/credits-add')
        .send({ user_id: ada.id, amount: 5, transaction_id: 'a' })
        .retry(0);

      expect(status).toBe(200);
      expect(await app.stored(ada)).toMatchObject({ creditsBalance: 5 });
    });
  });
});

describe('More work than the pool can take', () => {
  let database: TestDatabase;
  let app: TestApp;

  beforeEach(async () => {
    database = await createDatabase();
    app = await startTestApp(database.url, { DATABASE_POOL_SIZE: '1' });
  });
  afterEach(async () => {
    await app.nest.close();
    await database.drop();
  });

  it('503 for all who wait too long; /livez answers, and then all is well', async () => {
    const ada = await app.given.user();
    const runner = app.nest.get(DataSource).createQueryRunner();
    await runner.connect(); // the only connection of the pool

    const waiting = Array.from({ length: 150 }, () => app.as(ada).get('/v1/users/me').retry(0));
    const live = await app.anyone().get('/livez');
    const answers = await Promise.all(waiting);
    await runner.release();
    const after = await app.as(ada).get('/v1/users/me');

    expect(live.status).toBe(200);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([503]));
    expect(new Set(answers.map(({ headers }) => headers['retry-after']))).toEqual(new Set(['1']));
    expect(after.status).toBe(200);
  });

  it('is refused at once beyond 100 pieces that wait for each connection', async () => {
    const database = app.nest.get(DataSource);
    const runner = database.createQueryRunner();
    await runner.connect();
    const refused: unknown[] = [];

    const waiting = Array.from({ length: 150 }, () =>
      database.query('SELECT 1').catch((error: unknown) => refused.push(error)),
    );
    await Promise.all(waiting.slice(100));
    const atOnce = [...refused];
    await runner.release();
    await Promise.all(waiting);

    expect(atOnce).toEqual(Array(50).fill(expect.any(DatabaseBusyError)));
    expect(refused.filter((error) => error instanceof DatabaseBusyError)).toHaveLength(50); // the others had their turn
  });
});

describe('A connection that is lost after the database has committed', () => {
  it('503, and the same request again answers the entry that was made, once', async () => {
    const database = await createDatabase();
    const proxy = await startProxy(database.url);
    // With one connection, the statement that is lost is the one after the look-up of the key.
    const app = await startTestApp(proxy.url, { DATABASE_POOL_SIZE: '1' });
    const admin = await app.given.user({ isAdmin: true });
    const ada = await app.given.user();
    const body = { user_id: ada.id, amount: 5, transaction_id: 'a' };
    // The database tells us when it begins to write, which is when the wire for its answer is cut.
    const lost = new Promise<void>((done) => {
      const { master: pool } = app.nest.get(DataSource).driver as unknown as { master: NodeJS.EventEmitter };
      pool.once('acquire', () => {
        pool.once('acquire', () => {
          proxy.loseAnswers();
          done();
        });
      });
    });

    const first = await app.as(admin).post('/v1/billing/credits-add').send(body).retry(0);
    await lost;
    const second = await app.as(admin).post('/v1/billing/credits-add').send(body);

    expect([first.status, first.body]).toEqual([503, UNAVAILABLE]);
    expect(second.status).toBe(200);
    expect(second.headers['idempotency-replayed']).toBe('true');
    expect(await app.stored(ada)).toMatchObject({ creditsBalance: 5 });
    await app.nest.close();
    await proxy.close();
    await database.drop();
  });
});

describe('A request that takes longer than any of its parts may', () => {
  class Named {
    @IsString()
    readonly name!: string;
  }

  @Controller()
  class SlowController {
    static readonly finished: (() => void)[] = [];

    @Get('never')
    never(): Promise<never> {
      return new Promise(() => undefined);
    }

    @Get('late')
    late(): Promise<string> {
      return new Promise((resolve) => {
        SlowController.finished.push(() => {
          resolve('too late');
        });
      });
    }

    @Post('never')
    @UseGuards(new JsonBodyGuard(Named))
    neverWithBody(): Promise<never> {
      return new Promise(() => undefined);
    }

    @Post('echo')
    @UseGuards(new JsonBodyGuard(Named))
    echo(@Body() body: Named): Named {
      return body;
    }
  }

  @Module({ controllers: [SlowController] })
  class SlowModule {}

  it('503 after the deadline; an answer that comes later is dropped, and the connection goes on', async () => {
    const lines: string[] = [];
    const app = await createAppOf(SlowModule, { logger: pino({}, { write: (line: string) => void lines.push(line) }) });
    await app.listen(0, '127.0.0.1');
    const caller = request.agent(await app.getUrl()).set('Connection', 'keep-alive');

    const answers = await Promise.all([caller.get('/never'), caller.get('/late')]);
    const late = SlowController.finished.splice(0);
    late.forEach((finish) => {
      finish();
    });
    const next = await caller.get('/nowhere');

    expect(answers.map(({ status, body }) => [status, body as unknown])).toEqual(
      Array(2).fill([503, { status: 503, message: 'The service took too long' }]),
    );
    expect(answers.map(({ headers }) => (headers as Record<string, string>)['retry-after'])).toEqual(['1', '1']);
    expect(late).toHaveLength(1);
    expect(next.status).toBe(404);
    expect(lines.filter((line) => line.includes('"status":503'))).toHaveLength(2);
    expect(lines.filter((line) => line.includes('"status":500'))).toEqual([]);
    await app.close();
  });

  it('503 with a body too; a body that arrives later than the deadline is waited for', async () => {
    const app = await createAppOf(SlowModule, { logger: pino({ level: 'silent' }) });
    await app.listen(0, '127.0.0.1');
    const url = await app.getUrl();
    const late = '{"name":"Late"}';
    const headers = { 'content-type': 'application/json', 'content-length': late.length };
    const slow = httpRequest(`${url}/echo`, { method: 'POST', headers });
    slow.flushHeaders();
    await once(app.getHttpServer(), 'request');

    const { status, body, headers: sent } = await request(url).post('/never').send({ name: 'At once' });
    slow.end(late); // the deadline of a request that arrived after its header has passed
    const [{ statusCode }] = (await once(slow, 'response')) as [IncomingMessage];

    expect([status, body]).toEqual([503, { status: 503, message: 'The service took too long' }]);
    expect(sent['retry-after']).toBe('1');
    expect(statusCode).toBe(201);
    await app.close();
  });
});

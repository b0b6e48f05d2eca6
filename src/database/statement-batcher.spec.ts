import { setTimeout as sleep } from 'node:timers/promises';
import { INVALID_SPAN_CONTEXT, type Span, trace } from '@opentelemetry/api';
import { QueryFailedError } from 'typeorm';
import { activeSpans, inSpans } from '../common/active-spans.js';
import { StatementBatcher } from './statement-batcher.js';
import { DatabaseBusyError } from './bounded-pool.js';

/** A statement that is in flight until the test ends it. */
interface UnderWay {
  readonly questions: readonly string[];
  readonly answer: (answers: readonly (string | undefined)[]) => void;
  readonly fail: (error: unknown) => void;
}

class Database {
  readonly together: UnderWay[] = [];
  readonly alone: UnderWay[] = [];
  readonly sizes: number[] = [];

  batch(keyOf?: (question: string) => string): StatementBatcher<string, string> {
    const asking =
      (place: UnderWay[]) =>
      (questions: readonly string[]): Promise<readonly (string | undefined)[]> =>
        new Promise((answer, fail) => place.push({ questions, answer, fail }));
    return new StatementBatcher({
      runMany: asking(this.together),
      runOne: async (question) => (await asking(this.alone)([question]))[0] ?? '',
      ...(keyOf && { keyOf }),
      onBatch: (size) => this.sizes.push(size),
    });
  }
}

/** Waits until all pending work of the event loop has run. */
const turn = (): Promise<void> => sleep(0).then(() => new Promise((done) => setImmediate(done)));

const unavailable = Object.assign(new Error('gone'), { code: '57P01' });
const theirFault = Object.assign(new Error('bad data'), { code: '23514' });

describe('StatementBatcher', () => {
  let database: Database;
  beforeEach(() => {
    database = new Database();
  });

  it('sends the requests of one turn together, and returns to each its own result', async () => {
    const batch = database.batch();

    const asked = [batch.run('a'), batch.run('b')];
    await turn();
    database.together[0]?.answer(['A', 'B']);

    expect(await Promise.all(asked)).toEqual(['A', 'B']);
    expect(database.together.map(({ questions }) => questions)).toEqual([['a', 'b']]);
  });

  it('caches nothing: the same request is sent again', async () => {
    const batch = database.batch();
    for (const answer of ['before', 'after']) {
      const asked = batch.run('a');
      await turn();
      database.together.pop()?.answer([answer]);
      expect(await asked).toBe(answer);
    }
  });

  it('runs a request without a result alone, so that no other request waits for it', async () => {
    const batch = database.batch();

    const locked = batch.run('locked');
    const free = batch.run('free');
    await turn();
    database.together[0]?.answer([undefined, 'free']);

    expect(await free).toBe('free');
    expect(database.alone.map(({ questions }) => questions)).toEqual([['locked']]);
    database.alone[0]?.answer(['late']);
    expect(await locked).toBe('late');
  });

  it('runs each request alone after a failure by the data of one', async () => {
    const batch = database.batch();

    const bad = batch.run('bad');
    const good = batch.run('good');
    const refused = bad.catch((error: unknown) => error);
    await turn();
    database.together[0]?.fail(theirFault);
    await turn();
    database.alone.find(({ questions }) => questions[0] === 'bad')?.fail(theirFault);
    database.alone.find(({ questions }) => questions[0] === 'good')?.answer(['fine']);

    expect(await refused).toBe(theirFault);
    expect(await good).toBe('fine');
  });

  // A statement may wait for a lock in a trigger or a constraint, though it skips locked rows.
  it.each([
    ['a lock', '55P03'],
    ['a conflict', '40001'],
    ['a deadlock', '40P01'],
  ])('runs each request alone after a failure by %s of one', async (_, code) => {
    const batch = database.batch();

    const asked = [batch.run('waiting'), batch.run('free')];
    await turn();
    database.together[0]?.fail(new QueryFailedError('SELECT', [], Object.assign(new Error('refused'), { code })));
    await turn();
    for (const { questions, answer } of database.alone) answer(questions);

    expect(await Promise.all(asked)).toEqual(['waiting', 'free']);
    expect(database.alone.map(({ questions }) => questions)).toEqual([['waiting'], ['free']]);
  });

  it('fails all requests if the database is unavailable, and runs none alone', async () => {
    const batch = database.batch();

    const asked = Promise.allSettled([batch.run('a'), batch.run('b')]);
    await turn();
    database.together[0]?.fail(unavailable);

    expect(await asked).toEqual(Array(2).fill({ status: 'rejected', reason: unavailable }));
    expect(database.alone).toEqual([]);
  });

  it('runs two requests with one key one after the other, each in its own statement', async () => {
    const batch = database.batch((question) => question.charAt(0));

    const asked = [batch.run('a1'), batch.run('a2'), batch.run('b1')];
    await turn();
    expect(database.together.map(({ questions }) => questions)).toEqual([['a1', 'b1']]);
    database.together[0]?.answer(['A1', 'B1']);
    await turn();
    expect(database.together[1]?.questions).toEqual(['a2']);
    database.together[1]?.answer(['A2']);

    expect(await Promise.all(asked)).toEqual(['A1', 'A2', 'B1']);
  });

  it('rejects requests that are queued behind one that failed because the database was unavailable', async () => {
    const batch = database.batch((question) => question.charAt(0));

    const asked = Promise.allSettled([batch.run('a1'), batch.run('a2')]);
    await turn();
    database.together[0]?.answer([undefined]);
    await turn();
    database.alone[0]?.fail(unavailable);

    expect(await asked).toEqual(Array(2).fill({ status: 'rejected', reason: unavailable }));
    expect([database.together.length, database.alone.length]).toEqual([1, 1]);
  });

  it('collects requests while two statements are in flight, and sends them when one ends', async () => {
    const batch = database.batch();
    const asked: Promise<string>[] = [];
    for (const question of ['a', 'b', 'c', 'd']) {
      asked.push(batch.run(question));
      await turn();
    }
    expect(database.together.map(({ questions }) => questions)).toEqual([['a'], ['b']]);

    database.together[1]?.answer(['B']);
    await turn();

    expect(database.together[2]?.questions).toEqual(['c', 'd']);
    asked.push(batch.run('e'));
    await turn();
    expect(database.together).toHaveLength(3); // two are in flight again

    database.together[2]?.answer(['C', 'D']);
    await turn();
    database.together[3]?.answer(['E']);
    database.together[0]?.answer(['A']);
    expect(await Promise.all(asked)).toEqual(['A', 'B', 'C', 'D', 'E']);
  });

  it('sends at most a hundred together, and reports the size of each batch', async () => {
    const batch = database.batch();

    const asked = Promise.all(Array.from({ length: 101 }, (_, question) => batch.run(String(question))));
    await turn();
    const sent = [...database.together];
    for (const { questions, answer } of sent) answer(questions);
    await asked;

    expect(sent.map(({ questions }) => questions.length)).toEqual([100, 1]);
    expect(database.sizes).toEqual([100, 1]);
  });

  it('counts the requests in flight and the queued ones, also those queued by key', async () => {
    const batch = database.batch((question) => question.charAt(0));
    const counts = (): [inFlight: number, queued: number] => [batch.inFlight, batch.queued];

    const asked = [batch.run('a1'), batch.run('a2'), batch.run('b1')];
    const gathered = counts();
    await turn();
    const underWay = counts();
    database.together[0]?.answer(['A1', 'B1']);
    await turn();
    const second = counts();
    database.together[1]?.fail(unavailable);
    await Promise.allSettled(asked);

    expect([gathered, underWay, second, counts()]).toEqual([
      [0, 3],
      [2, 1],
      [1, 0],
      [0, 0],
    ]);
  });

  it('runs a batch in the spans of all its requests, and a single request in its own, without `onBatch`', async () => {
    const served: (readonly Span[])[] = [];
    const batch = new StatementBatcher<string, string>({
      runMany: (questions) => {
        served.push(activeSpans());
        return Promise.resolve(questions.map(() => undefined));
      },
      runOne: (question) => {
        served.push(activeSpans());
        return Promise.resolve(question);
      },
    });
    const [one, other] = [trace.wrapSpanContext(INVALID_SPAN_CONTEXT), trace.wrapSpanContext(INVALID_SPAN_CONTEXT)];

    await Promise.all([inSpans([one], () => batch.run('a')), inSpans([other], () => batch.run('b'))]);

    expect(served).toHaveLength(3);
    expect(served.flat()).toEqual([one, other, one, other]);
    for (const [index, span] of [one, other, one, other].entries()) expect(served.flat()[index]).toBe(span);
  });

  it('refuses further requests at once when ten batches are queued', async () => {
    const batch = database.batch();
    const outcomes: Promise<unknown>[] = [];
    for (let question = 0; question < 2; question += 1) {
      outcomes.push(batch.run(String(question)));
      await turn(); // each in flight alone
    }
    for (let question = 0; question < 1_100; question += 1) {
      outcomes.push(batch.run(String(question)).catch((error: unknown) => error));
    }

    const refused = await outcomes.at(-1);
    while (database.together.length > 0) {
      database.together.splice(0).forEach(({ questions, answer }) => {
        answer(questions);
      });
      await turn();
    }
    const all = await Promise.all(outcomes);

    expect(refused).toBeInstanceOf(DatabaseBusyError);
    // Two in flight, nine full batches, and the first request of the tenth.
    expect(all.filter((outcome) => typeof outcome === 'string')).toHaveLength(2 + 9 * 100 + 1);
  });
});

import { jest } from '@jest/globals';
import { DatabaseUnreachableError } from '../common/errors/database-unavailable.js';
import { DatabaseBusyError } from './bounded-pool.js';
import { SerialQueue } from './serial-queue.js';

/** Work that is in flight until the test ends it. */
class Work {
  readonly begun: string[] = [];
  private readonly ends = new Map<string, { done: (name: string) => void; failed: (error: unknown) => void }>();

  do(name: string): () => Promise<string> {
    return () => {
      this.begun.push(name);
      return new Promise((done, failed) => this.ends.set(name, { done, failed }));
    };
  }

  end(name: string): void {
    this.ends.get(name)?.done(name);
  }

  fail(name: string, error: unknown): void {
    this.ends.get(name)?.failed(error);
  }
}

const settle = (): Promise<void> => new Promise((done) => setImmediate(done));
const unavailable = new DatabaseUnreachableError(new Error('refused'));

describe('SerialQueue', () => {
  let turns: SerialQueue;
  let work: Work;
  beforeEach(() => {
    turns = new SerialQueue();
    work = new Work();
  });
  afterEach(() => jest.restoreAllMocks());

  it('starts work on one key in order, each after the previous one has ended, and work on other keys at once', async () => {
    const all = ['a1', 'a2', 'a3', 'b1'].map((name) => turns.run(name.charAt(0), work.do(name)));
    await settle();
    expect(work.begun).toEqual(['a1', 'b1']);

    work.end('a1');
    await settle();
    const late = turns.run('a', work.do('a4'));
    work.end('a2');
    await settle();
    expect(work.begun).toEqual(['a1', 'b1', 'a2', 'a3']);

    work.end('a3');
    await settle();
    for (const name of ['b1', 'a4']) work.end(name);
    expect(await Promise.all([...all, late])).toEqual(['a1', 'a2', 'a3', 'b1', 'a4']);
  });

  it('continues with the next work after a failure', async () => {
    const bad = turns.run('a', work.do('bad'));
    const good = turns.run('a', work.do('good'));
    const refused = bad.catch((error: unknown) => error);
    work.fail('bad', new Error('mine'));
    await settle();
    work.end('good');

    expect(await refused).toEqual(new Error('mine'));
    expect(await good).toBe('good');
  });

  it('rejects all queued work after work for which the database was too slow', async () => {
    const all = Promise.allSettled(['1', '2', '3'].map((name) => turns.run('a', work.do(name))));
    work.fail('1', unavailable);

    expect(await all).toEqual(Array(3).fill({ status: 'rejected', reason: unavailable }));
    expect(work.begun).toEqual(['1']);
  });

  // Its caller has already received 503: running it anyway would overwrite changes that were
  // confirmed since.
  it('never starts work that has waited too long', async () => {
    const now = jest.spyOn(performance, 'now').mockReturnValue(0);
    const first = turns.run('a', work.do('first'));
    const old = turns.run('a', work.do('old')).catch((error: unknown) => error);
    now.mockReturnValue(900);
    const young = turns.run('a', work.do('young'));
    now.mockReturnValue(1_100);
    work.end('first');

    expect(await old).toBeInstanceOf(DatabaseBusyError);
    await first;
    work.end('young');
    expect(await young).toBe('young');
    expect(work.begun).toEqual(['first', 'young']);
  });

  it('starts work that has waited for at most a second', async () => {
    const now = jest.spyOn(performance, 'now').mockReturnValue(0);
    const first = turns.run('a', work.do('first'));
    const second = turns.run('a', work.do('second'));
    now.mockReturnValue(1_000);
    work.end('first');
    await first;
    work.end('second');

    expect(await second).toBe('second');
  });

  it('counts the work in flight and the queued work', async () => {
    const counts = (): [inFlight: number, queued: number] => [turns.inFlight, turns.queued];

    const all = ['a1', 'a2', 'a3', 'b1', 'b2'].map((name) => turns.run(name.charAt(0), work.do(name)));
    const before = counts();
    work.end('a1');
    await settle();
    const between = counts();
    for (const name of ['a2', 'b1', 'a3', 'b2']) {
      work.end(name);
      await settle();
    }
    await Promise.all(all);

    expect([before, between, counts()]).toEqual([
      [2, 3],
      [2, 2],
      [0, 0],
    ]);
  });

  it('refuses further work at once when five hundred are queued', async () => {
    const all = Array.from({ length: 501 }, (_, n) => turns.run('a', () => Promise.resolve(n)));

    await expect(turns.run('a', work.do('one too many'))).rejects.toThrow(DatabaseBusyError);
    expect(await Promise.all(all)).toEqual(Array.from({ length: 501 }, (_, n) => n));
    expect(work.begun).toEqual([]);
  });
});

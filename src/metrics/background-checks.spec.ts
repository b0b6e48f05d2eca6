import { jest } from '@jest/globals';
import { BackgroundChecks } from './background-checks.js';

const MINUTE = 60_000;

describe('BackgroundChecks', () => {
  let now: jest.SpiedFunction<typeof performance.now>;
  let checks: BackgroundChecks;
  let begun: string[];
  let ends: (() => void)[];

  beforeEach(() => {
    now = jest.spyOn(performance, 'now').mockReturnValue(0);
    checks = new BackgroundChecks();
    begun = [];
    ends = [];
    for (const name of ['first', 'second'])
      checks.add(name, () => {
        begun.push(name);
        return new Promise((done) => ends.push(done));
      });
  });
  afterEach(() => jest.restoreAllMocks());

  /** Ends the check that runs, at an instant in milliseconds. */
  const endAt = async (instant: number): Promise<void> => {
    now.mockReturnValue(instant);
    ends.shift()?.();
    await new Promise(setImmediate);
  };

  it('run one after the other, in one round however often it is requested', async () => {
    checks.startWhenDue();
    checks.startWhenDue();
    expect(begun).toEqual(['first']);

    await endAt(0);
    checks.startWhenDue();
    await endAt(0);
    checks.startWhenDue();

    expect(begun).toEqual(['first', 'second']);
  });

  it('begin again ten minutes after the end of a round', async () => {
    checks.startWhenDue();
    await endAt(MINUTE / 60);
    await endAt(MINUTE / 30); // a round of two seconds

    now.mockReturnValue(MINUTE / 30 + 10 * MINUTE - 1);
    checks.startWhenDue();
    expect(begun).toHaveLength(2);
    now.mockReturnValue(MINUTE / 30 + 10 * MINUTE);
    checks.startWhenDue();

    expect(begun).toHaveLength(3);
  });

  it('pause for a hundred times the duration of a round that took longer', async () => {
    checks.startWhenDue();
    await endAt(MINUTE / 2);
    await endAt(MINUTE);

    now.mockReturnValue(101 * MINUTE - 1);
    checks.startWhenDue();
    expect(begun).toHaveLength(2);
    now.mockReturnValue(101 * MINUTE);
    checks.startWhenDue();

    expect(begun).toHaveLength(3);
  });
});

import type { EntityManager, EntitySubscriberInterface, QueryRunner } from 'typeorm';

interface Pending {
  /** The number of the innermost transaction or savepoint that must be committed. */
  depth: number;
  readonly run: () => void;
}

const pending = new WeakMap<QueryRunner, Pending[]>();

/** 1 for a transaction, one more for each savepoint in it. Reads a protected field of TypeORM. */
const depthOf = (runner: QueryRunner): number => (runner as unknown as { transactionDepth: number }).transactionDepth;

/** TypeORM calls these for transactions and for savepoints, after it has decreased the depth. */
const subscriber: EntitySubscriberInterface = {
  afterTransactionCommit({ queryRunner }) {
    const waiting = pending.get(queryRunner) ?? [];
    const depth = depthOf(queryRunner);
    for (const one of waiting) one.depth = Math.min(one.depth, depth);
    if (depth > 0) return;
    pending.delete(queryRunner);
    for (const { run } of waiting) run();
  },
  afterTransactionRollback({ queryRunner }) {
    const depth = depthOf(queryRunner);
    const kept = pending.get(queryRunner)?.filter((one) => one.depth <= depth);
    if (kept) pending.set(queryRunner, kept);
  },
};

/**
 * Runs a callback after the outermost transaction of the manager is committed; at once without a
 * transaction. The callback of a transaction or savepoint that is rolled back is never run.
 */
export function afterCommit(manager: EntityManager | undefined, run: () => void): void {
  const runner = manager?.queryRunner;
  if (!runner?.isTransactionActive) {
    run();
    return;
  }
  const { subscribers } = runner.dataSource;
  if (!subscribers.includes(subscriber)) subscribers.push(subscriber);
  pending.set(runner, [...(pending.get(runner) ?? []), { depth: depthOf(runner), run }]);
}

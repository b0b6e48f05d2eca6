import type { Logger } from 'pino';
import { DATABASE_FAILURES, type DatabaseFailure } from '../errors/database-unavailable.js';

/** A failure is over once no request has failed for its reason for this long. */
const QUIET_MS = 30_000;
const LOOK_EVERY_MS = 5_000;

interface Failing {
  requests: number;
  lastAt: number;
}

/**
 * For each reason, writes one line when requests begin to fail because of the database, and one
 * when that is over.
 */
export class DatabaseFailureLog {
  private readonly failing = new Map<DatabaseFailure, Failing>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly logger: Logger) {}

  /** @param requestId of the request that failed: its own log lines contain the error */
  record(reason: DatabaseFailure, requestId: string): void {
    const known = this.failing.get(reason);
    if (known) {
      known.requests += 1;
      known.lastAt = performance.now();
      return;
    }
    this.failing.set(reason, { requests: 1, lastAt: performance.now() });
    this.logger.error({ reason, request_id: requestId }, `Requests fail: ${DATABASE_FAILURES[reason]}`);
    this.timer ??= setInterval(() => {
      this.endQuiet();
    }, LOOK_EVERY_MS).unref();
  }

  private endQuiet(): void {
    for (const [reason, { requests, lastAt }] of this.failing) {
      if (performance.now() - lastAt < QUIET_MS) continue;
      this.failing.delete(reason);
      const seconds = String(QUIET_MS / 1000);
      this.logger.info(
        { reason, requests },
        `For ${seconds} s no request has failed because ${DATABASE_FAILURES[reason]}`,
      );
    }
    if (this.failing.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }
}

import assert from 'node:assert/strict';

/*
 * The time limits of a request, in milliseconds. Each is shorter than the one that contains it, so
 * that the innermost limit that is exceeded decides the response.
 */

/** The wait for a connection of the pool. */
export const POOL_WAIT_MS = 600;

/** `lock_timeout`: the wait for a lock of another transaction. */
export const LOCK_TIMEOUT_MS = 700;

/** `statement_timeout`: a statement, including its waits for locks. */
export const STATEMENT_TIMEOUT_MS = 800;

/**
 * The wait for a response of the server. Longer than the server's own timeouts: it applies only if
 * the server does not respond at all.
 */
export const RESPONSE_TIMEOUT_MS = 850;

/** The wait of a change for earlier changes of the same user. */
export const QUEUE_WAIT_MS = 1_000;

/** A request, excluding the time in which its body is read. */
export const REQUEST_DEADLINE_MS = 2_400;

/** Promised to callers: a 503 response within this time during an outage. */
export const PROMISED_RESPONSE_MS = 3_000;

/** `idle_in_transaction_session_timeout`: a transaction that a paused process left open. */
export const IDLE_IN_TRANSACTION_TIMEOUT_MS = 5_000;

/** The wait, during a graceful shutdown, for the rest of an incomplete request. */
export const REST_OF_REQUEST_MS = 3_000;

/** A graceful shutdown, after the drain time. */
export const SHUTDOWN_GRACE_MS = 6_000;

/**
 * Promised to callers and orchestrators: the exit after a stop signal, excluding the drain time.
 */
export const PROMISED_EXIT_MS = 10_000;

const assertShorter = (shorterMs: number, longerMs: number, reason: string): void => {
  assert(shorterMs < longerMs, reason);
};

assertShorter(LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_MS, 'a lock that is not released must be reported as such');
assertShorter(STATEMENT_TIMEOUT_MS, RESPONSE_TIMEOUT_MS, 'a slow statement must not cost its connection');
assertShorter(QUEUE_WAIT_MS + RESPONSE_TIMEOUT_MS, REQUEST_DEADLINE_MS, 'a change that waited must have time to run');
assertShorter(2 * (POOL_WAIT_MS + RESPONSE_TIMEOUT_MS), PROMISED_RESPONSE_MS, 'a request runs a lookup and its work');
assertShorter(REQUEST_DEADLINE_MS, PROMISED_RESPONSE_MS, 'the deadline must keep the promise');
assertShorter(PROMISED_RESPONSE_MS, IDLE_IN_TRANSACTION_TIMEOUT_MS, 'a live transaction must not be ended');
assertShorter(REST_OF_REQUEST_MS + REQUEST_DEADLINE_MS, SHUTDOWN_GRACE_MS, 'a request in flight must be answered');
assertShorter(SHUTDOWN_GRACE_MS, PROMISED_EXIT_MS, 'the exit must keep the promise');

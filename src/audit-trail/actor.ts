import { userInfo } from 'node:os';
import { DomainError } from '../common/errors/domain.error.js';
import { isUuid } from '../common/validation/uuid.js';

export const ACTOR_TYPES = ['API_KEY', 'COMMAND_LINE', 'APPLICATION'] as const;

/** The originator of a change, as recorded in the audit trail. */
export interface Actor {
  readonly type: (typeof ACTOR_TYPES)[number];
  readonly userId: string | null;
  readonly keyId: string | null;
  /** Up to 128 characters. */
  readonly requestId: string | null;
  /** The operating system account that ran a command; up to 128 characters. */
  readonly account?: string | null;
  /** The scopes of the actor's key; null for everything, absent without a key. */
  readonly scopes?: readonly string[] | null;
  /** The expiry of the actor's key. */
  readonly keyExpiresAt?: Date;
  /** Set if the request was sent with a secret that a rotation has replaced. */
  readonly superseded?: { readonly at: Date; readonly until: Date } | null;
  /** Whether the owner of the actor's key is an administrator; absent without a key. */
  readonly isAdmin?: boolean;
  /** The stored budget of the actor's key, in requests a minute; see `LimitedKey`. */
  readonly keyRateLimitPerMinute?: number | null;
  /** The stored budget of the user of the actor's key. */
  readonly userRateLimitPerMinute?: number | null;
}

export class InvalidActorError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super(
      `The actor of a change must have one of the types ${ACTOR_TYPES.join(', ')}, UUIDs or null as userId and keyId, ` +
        'and up to 128 characters without NUL or null as requestId and account',
    );
  }
}

const NIL_UUID = '00000000-0000-0000-0000-000000000000';
export const MAX_REQUEST_ID_LENGTH = 128;
const MAX_ACCOUNT_LENGTH = 128;

export const isRequestId = (value: unknown): value is string => isStorable(value, MAX_REQUEST_ID_LENGTH);

const isStorable = (value: unknown, maxLength: number): value is string =>
  typeof value === 'string' && value.length <= maxLength && !value.includes('\0') && value.isWellFormed();

/** @throws InvalidActorError for an actor that the audit trail cannot store */
export function checkActor({ type, userId, keyId, requestId, account }: Actor): void {
  const isActor =
    ACTOR_TYPES.includes(type) &&
    [userId, keyId].every((id) => isUuid(id ?? NIL_UUID)) &&
    isRequestId(requestId ?? '') &&
    isStorable(account ?? '', MAX_ACCOUNT_LENGTH);
  if (!isActor) throw new InvalidActorError();
}

/**
 * The account that runs this process, or its number if the operating system has no name for it, as
 * in many containers.
 */
function accountOfProcess(): string {
  try {
    return userInfo().username.slice(0, MAX_ACCOUNT_LENGTH).toWellFormed();
  } catch {
    return `uid ${String(process.getuid?.())}`;
  }
}

/** The actor of an operator's command. */
export const COMMAND_LINE: Actor = {
  type: 'COMMAND_LINE',
  userId: null,
  keyId: null,
  requestId: null,
  account: accountOfProcess(),
};

/**
 * Code in this process that acts without a caller: the first start, and modules of a host
 * application.
 */
export const APPLICATION: Actor = { type: 'APPLICATION', userId: null, keyId: null, requestId: null };

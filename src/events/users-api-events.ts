import { Injectable } from '@nestjs/common';
import { type Observable, Subject } from 'rxjs';
import type { EntityManager } from 'typeorm';
import type { Actor } from '../audit-trail/actor.js';
import type { AuditedRow } from '../audit-trail/with-audit.js';
import { afterCommit } from '../database/after-commit.js';

/** A change that was committed. */
export type UsersApiEvent = UserEvent | ApiKeyEvent | CreditsEvent;

interface Change {
  /** The changed user, or the owner of the changed key or balance. */
  readonly userId: string;
  readonly by: Actor;
}

interface FieldChanges {
  /** The changed fields by their names in the audit trail. */
  readonly changes: Readonly<Record<string, { readonly before?: unknown; readonly after?: unknown }>>;
}

export interface UserEvent extends Change, FieldChanges {
  /** `user.deactivated` follows the `user.updated` of the same change. */
  readonly type: 'user.created' | 'user.updated' | 'user.deactivated';
}

export interface ApiKeyEvent extends Change, FieldChanges {
  readonly type: 'api_key.created' | 'api_key.updated' | 'api_key.rotated' | 'api_key.revoked';
  readonly apiKeyId: string;
}

export interface CreditsEvent extends Change {
  readonly type: 'credits.moved';
  readonly entryId: string;
  /** Negative if credits were spent. */
  readonly credits: number;
  readonly balanceAfter: number;
  readonly transactionId: string;
  readonly transactionType: string;
}

/**
 * Publishes the changes that the services of this process make, after their commit: after the
 * outermost transaction of the caller, if the call joined one. Nothing is published for a
 * transaction that was rolled back, for a repeated request that changed nothing, or for changes of
 * other processes, such as the command line. An event is published at most once, and is lost if the
 * process ends first: the audit trail is the durable record.
 */
@Injectable()
export class UsersApiEvents {
  private readonly subject = new Subject<UsersApiEvent>();

  /**
   * Delivers each event synchronously, before the response of the request is sent. An error that a
   * listener throws is reported as an uncaught exception, as RxJS does.
   */
  readonly changes: Observable<UsersApiEvent> = this.subject.asObservable();

  /** @param manager the transaction that the change is a part of */
  publish(event: UsersApiEvent, manager?: EntityManager): void {
    if (!this.subject.observed) return;
    afterCommit(manager, () => {
      this.subject.next(event);
    });
  }

  /** Publishes a change that a statement of `withAudit` has recorded. */
  publishAudited(
    action: 'user.created' | 'user.updated' | ApiKeyEvent['type'],
    { audit_user_id: userId, audit_api_key_id: apiKeyId, audit_changes: changes }: AuditedRow,
    by: Actor,
    manager?: EntityManager,
  ): void {
    if (!this.subject.observed || Object.keys(changes).length === 0) return;
    const change = { userId, changes, by };
    if (isUserAction(action)) {
      this.publish({ type: action, ...change }, manager);
      if (action === 'user.updated' && changes.status?.after === 'INACTIVE')
        this.publish({ type: 'user.deactivated', ...change }, manager);
    } else if (apiKeyId !== null) this.publish({ type: action, apiKeyId, ...change }, manager);
  }
}

const isUserAction = (action: string): action is 'user.created' | 'user.updated' => action.startsWith('user.');

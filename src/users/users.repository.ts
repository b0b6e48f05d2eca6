import { Injectable } from '@nestjs/common';
import sql, { join, type Sql } from 'sql-template-tag';
import { DataSource, type EntityManager } from 'typeorm';
import { type Actor, APPLICATION, checkActor } from '../audit-trail/actor.js';
import { Counters } from '../common/counters/counters.js';
import type { Page, PageWindow } from '../common/pagination/page.js';
import { isUuid } from '../common/validation/uuid.js';
import { InjectDatabase } from '../database/inject-database.decorator.js';
import { findNewest, type List, NEWEST } from '../database/list.js';
import { query } from '../database/query.js';
import { findMatching } from '../database/search.js';
import { UsersApiEvents } from '../events/users-api-events.js';
import { RETRIES, retryingConflicts } from '../database/retry.js';
import { firstOf, IncompleteResultError } from '../database/statement.js';
import { StatementBatcher } from '../database/statement-batcher.js';
import { type User, USER_STATUSES, type UserStatus } from './user.entity.js';
import { SEARCHABLE, searchFor } from './user-search.js';
import { SearchUnavailableError } from './users.errors.js';
import {
  type ChangedUserRow,
  FIND,
  IDS,
  insertImport,
  insertUsers,
  isBatched,
  type NewUser,
  type Patch,
  patchUnlockedUsers,
  patchUsers,
  type RunPatches,
  SELECTED,
  SKIP_TAKEN,
  toUser,
  type UserChanges,
  type UserRow,
} from './users.statements.js';

export interface UserFilter {
  readonly status?: UserStatus | undefined;
  /** Compared without regard to case. */
  readonly email?: string | undefined;
  /** The visible part of one of the user's keys, which may be expired or revoked. */
  readonly apiKeyPrefix?: string | undefined;
  /** A part of the name or of the address, of 3 to 255 characters, in any letter case. */
  readonly search?: string | undefined;
  /** The earliest instant of creation. */
  readonly createdAfter?: Date | undefined;
  /** The instant before which a user was created. */
  readonly createdBefore?: Date | undefined;
  readonly isAdmin?: boolean | undefined;
}

interface SearchableRow {
  readonly searchable: boolean;
  readonly users: number;
}

/** Compares addresses as the unique index `uq_users_email` does. */
const hasEmail = (email: string): Sql => sql`lower(email COLLATE "C") = lower(${email} COLLATE "C")`;

/**
 * The owners of keys with this visible part. An array, so that it is read first, by the index on
 * prefixes: the planner cannot estimate how few they are.
 */
const hasKeyPrefix = (prefix: string): Sql =>
  sql`id = ANY (ARRAY(SELECT user_id FROM api_keys WHERE prefix = ${prefix}))`;

/**
 * Administrators have their own index; all other lists are merged from one list for each status.
 */
function listOf({ email, status, apiKeyPrefix, createdAfter, createdBefore, isAdmin }: UserFilter): List {
  const statuses = (status === undefined ? USER_STATUSES : [status]).map((value) => sql`status = ${value}`);
  const conditions = [
    ...(email === undefined ? [] : [hasEmail(email)]),
    ...(apiKeyPrefix === undefined ? [] : [hasKeyPrefix(apiKeyPrefix)]),
    ...(createdAfter === undefined ? [] : [sql`created_at >= ${createdAfter}`]),
    ...(createdBefore === undefined ? [] : [sql`created_at < ${createdBefore}`]),
    ...(isAdmin === undefined ? [] : [isAdmin ? sql`is_admin` : sql`NOT is_admin`]),
    ...(isAdmin && status !== undefined ? statuses : []),
  ];
  return {
    columns: SELECTED,
    table: 'users',
    filter: conditions.length === 0 ? sql`true` : join(conditions, ' AND '),
    ...(!isAdmin && { parts: statuses }),
    order: NEWEST,
  };
}

const toUsers = (page: Page<UserRow>): Page<User> => ({ ...page, rows: page.rows.map(toUser) });

/**
 * Every query on users. Written in SQL: TypeORM's `find` and `save` cost several times as much as
 * their statement, and `save` cannot return the row as written.
 */
@Injectable()
export class UsersRepository {
  private readonly patches: StatementBatcher<Patch, User | null>;
  private readonly reads: StatementBatcher<string, User | null>;

  constructor(
    @InjectDatabase() private readonly database: DataSource,
    private readonly events: UsersApiEvents,
    counters: Counters,
  ) {
    this.patches = new StatementBatcher({
      runMany: async (patches) => {
        const written = await this.runPatches(patchUnlockedUsers, patches);
        return patches.map(({ id }) => written.get(id)); // a missing row may be locked: its patch runs alone, and waits for the lock
      },
      runOne: (patch) => this.patchAlone(patch, RETRIES - 1),
      keyOf: ({ id }) => id,
      onBatch: counters.batchSizeOf('patch_users'),
    });
    this.reads = new StatementBatcher({
      runMany: (ids) => this.findAll(ids),
      runOne: async (id) => firstOf(await this.findAll([id])),
      onBatch: counters.batchSizeOf('find_users'),
    });
    counters.watchQueue('patch_users', this.patches);
    counters.watchQueue('find_users', this.reads);
  }

  /** Runs the work in the transaction of `manager`, or else in a new one. */
  inTransaction<T>(manager: EntityManager | undefined, work: (manager: EntityManager) => Promise<T>): Promise<T> {
    return manager?.queryRunner?.isTransactionActive
      ? work(manager)
      : retryingConflicts(() => this.database.manager.transaction(work));
  }

  /**
   * @param manager reads in the caller's transaction; otherwise reads of the same moment share a
   *   statement
   */
  async findById(id: string, manager?: EntityManager): Promise<User | null> {
    if (!isUuid(id)) return null;
    if (!manager) return this.reads.run(id.toLowerCase()); // as PostgreSQL writes it
    return one(await query<UserRow>(manager, sql`SELECT ${SELECTED} FROM users WHERE id = ${id}`));
  }

  private async findAll(ids: readonly string[]): Promise<(User | null)[]> {
    const rows = await FIND.run(this.database, IDS.values(ids));
    const byId = new Map(rows.map((row) => [row.requestedId, row.id === null ? null : toUser(row)]));
    return ids.map((id) => {
      const user = byId.get(id);
      if (user === undefined) throw new IncompleteResultError();
      return user;
    });
  }

  async findByEmail(email: string): Promise<User | null> {
    return one(await query<UserRow>(this.database, sql`SELECT ${SELECTED} FROM users WHERE ${hasEmail(email)}`));
  }

  /**
   * The users that match the filter, newest first.
   *
   * @throws SearchUnavailableError for a search if the database lacks the index for it
   */
  async findPage(filter: UserFilter, window: PageWindow): Promise<Page<User>> {
    const { search } = filter;
    const list = listOf(filter);
    if (search === undefined) return toUsers(await findNewest<UserRow>(this.database, list, window));
    const { searchable, users } = firstOf(await query<SearchableRow>(this.database, SEARCHABLE));
    if (!searchable) throw new SearchUnavailableError();
    return toUsers(await findMatching<UserRow>(this.database, list, searchFor(search), users, window));
  }

  /** @param manager joins the caller's transaction */
  async insert(user: NewUser, actor: Actor, manager?: EntityManager): Promise<User> {
    const run = (on: DataSource | EntityManager): Promise<ChangedUserRow[]> => query(on, insertUsers([user], actor));
    const row = firstOf(await (manager ? run(manager) : retryingConflicts(() => run(this.database))));
    this.events.publishAudited('user.created', row, actor, manager);
    return toUser(row);
  }

  /** Adds those users of an import whose address is not taken yet, in the caller's transaction. */
  async insertMissing(users: readonly NewUser[], actor: Actor, manager: EntityManager): Promise<User[]> {
    const rows = await query<ChangedUserRow>(manager, insertUsers(users, actor, 'user.created_by_import', SKIP_TAKEN));
    for (const row of rows) this.events.publishAudited('user.created', row, actor, manager);
    return rows.map(toUser);
  }

  /** Records the import itself in the audit trail. */
  async recordImport(created: number, actor: Actor): Promise<void> {
    await retryingConflicts(() => query(this.database, insertImport(created, actor)));
  }

  /**
   * Writes only the given columns, so that two writers never undo each other's fields, and records
   * the changes in the audit trail, all in one statement, which patches of other users at the same
   * moment share.
   *
   * `version` and `updated_at` increase only if a value changes; `updated_at` by at least a
   * millisecond, however fast two changes follow each other.
   *
   * @param versions the row is written only while it has one of these; undefined matches any
   * @returns the row as written, or null when no such user exists or its version does not match
   * @throws InvalidActorError
   */
  async patch(id: string, changes: UserChanges, actor: Actor, versions?: readonly string[]): Promise<User | null> {
    if (!isUuid(id)) return null;
    checkActor(actor);
    const patch = { id: id.toLowerCase(), changes, actor, versions }; // as PostgreSQL writes it
    return isBatched(changes) ? this.patches.run(patch) : this.patchAlone(patch, RETRIES);
  }

  private async patchAlone(patch: Patch, retries: number): Promise<User | null> {
    return (await retryingConflicts(() => this.runPatches(patchUsers, [patch]), retries)).get(patch.id) ?? null;
  }

  private async runPatches(run: RunPatches, patches: readonly Patch[]): Promise<Map<string, User>> {
    const rows = await run(this.database, patches);
    const actors = new Map(patches.map(({ id, actor }) => [id, actor]));
    for (const row of rows) this.events.publishAudited('user.updated', row, actors.get(row.id) ?? APPLICATION);
    return new Map(rows.map((row) => [row.id, toUser(row)]));
  }
}

const one = ([row]: readonly UserRow[]): User | null => (row ? toUser(row) : null);

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
import { UserSearchTexts } from './user-search-texts.service.js';
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
  /** Whatever its case. */
  readonly email?: string | undefined;
  /** The visible part of one of the keys of the user, whatever became of that key. */
  readonly apiKeyPrefix?: string | undefined;
  /** A part of the name or of the address, of 3 to 255 characters, whatever its case. */
  readonly search?: string | undefined;
  /** The first instant of creation. */
  readonly createdAfter?: Date | undefined;
  /** The instant before which a user was created. */
  readonly createdBefore?: Date | undefined;
  readonly isAdmin?: boolean | undefined;
}

interface SearchableRow {
  readonly searchable: boolean;
  readonly users: number;
}

/** As the unique index `uq_users_email` compares addresses. */
const hasEmail = (email: string): Sql => sql`lower(email COLLATE "C") = lower(${email} COLLATE "C")`;

/**
 * The owners of keys with this visible part. As an array, which is read first by the index on
 * prefixes, since the planner cannot know how few they are.
 */
const hasKeyPrefix = (prefix: string): Sql =>
  sql`id = ANY (ARRAY(SELECT user_id FROM api_keys WHERE prefix = ${prefix}))`;

/** Administrators have an index of their own; the lists of all others are merged by status. */
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
 * Every query on users. They are SQL: TypeORM's `find` and `save` cost several times the statement
 * that they run, and `save` cannot return the row that it wrote.
 */
@Injectable()
export class UsersRepository {
  private readonly patches: StatementBatcher<Patch, User | null>;
  private readonly reads: StatementBatcher<string, User | null>;

  constructor(
    @InjectDatabase() private readonly database: DataSource,
    private readonly events: UsersApiEvents,
    private readonly searchTexts: UserSearchTexts,
    counters: Counters,
  ) {
    this.patches = new StatementBatcher({
      runMany: async (patches) => {
        const written = await this.runPatches(patchUnlockedUsers, patches);
        return patches.map(({ id }) => written.get(id)); // a missing row may be locked: it is patched alone, and waited for
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

  /** Runs the work in the transaction of `manager`, or else in one of its own. */
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
    if (!manager) return this.reads.run(id.toLowerCase()); // as the database spells it
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
   * @throws SearchUnavailableError for a search where the database lacks its index
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
   * Writes only the given columns, so two writers never undo each other's fields, and records in
   * the audit trail what changed, all in one statement, which patches of other users at the same
   * moment share.
   *
   * `version` and `updated_at` increase only if a value changes; `updated_at` by at least a
   * millisecond, however fast two changes follow each other.
   *
   * @param versions the row is written only while it has one of these; undefined matches any
   * @returns the row as written, or null when no such user exists or its version is another
   * @throws InvalidActorError
   */
  async patch(id: string, changes: UserChanges, actor: Actor, versions?: readonly string[]): Promise<User | null> {
    if (!isUuid(id)) return null;
    checkActor(actor);
    const patch = { id: id.toLowerCase(), changes, actor, versions }; // as the database spells it
    return isBatched(changes) ? this.patches.run(patch) : this.patchAlone(patch, RETRIES);
  }

  private async patchAlone(patch: Patch, retries: number): Promise<User | null> {
    return (await retryingConflicts(() => this.runPatches(patchUsers, [patch]), retries)).get(patch.id) ?? null;
  }

  private async runPatches(run: RunPatches, patches: readonly Patch[]): Promise<Map<string, User>> {
    const rows = await run(this.database, patches);
    this.searchTexts.note();
    const actors = new Map(patches.map(({ id, actor }) => [id, actor]));
    for (const row of rows) this.events.publishAudited('user.updated', row, actors.get(row.id) ?? APPLICATION);
    return new Map(rows.map((row) => [row.id, toUser(row)]));
  }
}

const one = ([row]: readonly UserRow[]): User | null => (row ? toUser(row) : null);

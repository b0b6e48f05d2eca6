import { Injectable } from '@nestjs/common';
import sql, { empty, raw, type Sql } from 'sql-template-tag';
import { DataSource, type EntityManager } from 'typeorm';
import { type Actor, checkActor } from '../audit-trail/actor.js';
import { actorColumnNames, actorRows } from '../audit-trail/actor-columns.js';
import { auditDiff, auditSnapshot, withAudit } from '../audit-trail/with-audit.js';
import { Counters } from '../common/counters/counters.js';
import type { Page, Slice } from '../common/pagination/page.js';
import { isUuid } from '../common/validation/uuid.js';
import { type Columns, selectList } from '../database/columns.js';
import { InjectDatabase } from '../database/inject-database.decorator.js';
import { findNewest, type List, NEWEST } from '../database/list.js';
import { query } from '../database/query.js';
import { RETRIES, retryingConflicts } from '../database/retry.js';
import { type Column, Rows } from '../database/rows.js';
import { firstOf, IncompleteResultError, Statement } from '../database/statement.js';
import { StatementBatcher } from '../database/statement-batcher.js';
import { type User, USER_STATUSES, type UserStatus } from './user.entity.js';

export interface NewUser {
  readonly name: string;
  readonly email: string;
  readonly isAdmin: boolean;
}

export interface UserChanges {
  readonly name?: string | undefined;
  readonly status?: UserStatus | undefined;
}

export interface UserFilter {
  readonly status?: UserStatus | undefined;
  /** Whatever its case. */
  readonly email?: string | undefined;
}

const COLUMNS = {
  id: 'id',
  createdAt: 'created_at',
  updatedAt: 'updated_at',
  version: 'version',
  status: 'status',
  isAdmin: 'is_admin',
  name: 'name',
  email: 'email',
  creditsBalance: 'credits_balance',
} as const satisfies Columns<User>;

/**
 * The columns that `patch` may change: their types, and how PostgreSQL stores the value of a
 * request.
 */
const CHANGEABLE = {
  // PostgreSQL's Unicode may be newer than Node's, and the constraint uses PostgreSQL's.
  name: { type: 'text', stored: 'normalize(request.name, NFC)' },
  status: { type: 'text', stored: 'request.status' },
} as const satisfies Record<keyof UserChanges, { type: string; stored: string }>;

/** As the unique index `uq_users_email` compares addresses. */
const hasEmail = (email: string): Sql => sql`lower(email COLLATE "C") = lower(${email} COLLATE "C")`;

/** A row as `pg` returns it: bigint columns are text. */
type UserRow = Omit<User, 'creditsBalance'> & { readonly creditsBalance: string };

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
    counters: Counters,
  ) {
    this.patches = new StatementBatcher({
      runMany: async (patches) => {
        const written = await this.runPatch(PATCH_UNLOCKED, patches);
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

  /** The users that match the filter, newest first. */
  async findPage({ email, status }: UserFilter, slice: Slice): Promise<Page<User>> {
    const list: List = {
      columns: SELECTED,
      table: 'users',
      filter: email === undefined ? sql`true` : hasEmail(email),
      partition: { column: 'status', values: status === undefined ? USER_STATUSES : [status] },
      order: NEWEST,
    };
    const page = await findNewest<UserRow>(this.database, list, slice);
    return { ...page, rows: page.rows.map(toUser) };
  }

  /** @param manager joins the caller's transaction */
  async insert(user: NewUser, actor: Actor, manager?: EntityManager): Promise<User> {
    const run = (on: DataSource | EntityManager): Promise<UserRow[]> => query(on, insertUsers([user], actor));
    return toUser(firstOf(await (manager ? run(manager) : retryingConflicts(() => run(this.database)))));
  }

  /** Adds those users whose address is not taken yet, in the caller's transaction. */
  async insertMissing(users: readonly NewUser[], actor: Actor, manager: EntityManager): Promise<User[]> {
    return (await query<UserRow>(manager, insertUsers(users, actor, SKIP_TAKEN))).map(toUser);
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
    // Not batched: a status change may wait for another administrator's lock.
    return changes.status === undefined ? this.patches.run(patch) : this.patchAlone(patch, RETRIES);
  }

  private async patchAlone(patch: Patch, retries: number): Promise<User | null> {
    return (await retryingConflicts(() => this.runPatch(PATCH, [patch]), retries)).get(patch.id) ?? null;
  }

  private async runPatch(statement: Statement<UserRow>, patches: readonly Patch[]): Promise<Map<string, User>> {
    const rows = await statement.run(this.database, PATCHES.values(patches));
    return new Map(rows.map((row) => [row.id, toUser(row)]));
  }
}

interface Patch {
  readonly id: string;
  readonly changes: UserChanges;
  readonly actor: Actor;
  readonly versions: readonly string[] | undefined;
}

const changeable = Object.keys(CHANGEABLE) as (keyof UserChanges)[];

/** SQL for each changeable column. */
const each = (text: (column: string, property: keyof UserChanges) => string, separator = ', '): Sql =>
  raw(changeable.map((property) => text(COLUMNS[property], property)).join(separator));

/** An absent field and one that is null differ by `<column>_given`. */
const PATCHES = new Rows<Patch>({
  id: ['uuid', ({ id }) => id],
  versions: ['text', ({ versions }) => versions && `{${versions.join()}}`],
  ...Object.fromEntries(
    changeable.flatMap((property): [string, Column<Patch>][] => [
      [COLUMNS[property], [CHANGEABLE[property].type, ({ changes }) => changes[property]]],
      [`${COLUMNS[property]}_given`, ['boolean', ({ changes }) => changes[property] !== undefined]],
    ]),
  ),
  ...actorRows(({ actor }) => actor),
});

const SELECTED = selectList(COLUMNS, 'users');

/** @param locked what to do about rows that other transactions have locked: wait, or skip them */
const patchUsers = (locked: Sql): Sql =>
  withAudit(
    'user.updated',
    sql`UPDATE users
       SET ${each((column) => `${column} = next.${column}`)},
           version = users.version + comparison.differs::int,
           updated_at = CASE WHEN comparison.differs THEN greatest(clock_timestamp(), users.updated_at + interval '1 ms')
                             ELSE users.updated_at END
      FROM (SELECT request.*, ${each((column) => `target.${column} AS old_${column}`)}
              FROM ${PATCHES.prepared('request')}
              JOIN users AS target ON target.id = request.id
             WHERE request.versions IS NULL OR target.version = ANY (request.versions::bigint[])
               FOR NO KEY UPDATE OF target ${locked}) AS request,
           LATERAL (SELECT ${each(
             (column, property) =>
               `CASE WHEN request.${column}_given THEN ${CHANGEABLE[property].stored} ELSE request.old_${column} END AS ${column}`,
           )}) AS next,
           LATERAL (SELECT (${each((column) => `next.${column}`)}) IS DISTINCT FROM (${each((column) => `request.old_${column}`)}) AS differs) AS comparison
     WHERE users.id = request.id
    RETURNING ${SELECTED}, ${actorColumnNames},
              users.id AS audit_user_id, NULL::uuid AS audit_api_key_id,
              ${auditDiff(
                Object.fromEntries(
                  changeable.map((property) => {
                    const column = COLUMNS[property];
                    return [column, [`request.old_${column}`, `users.${column}`]] as const;
                  }),
                ),
              )} AS audit_changes`,
    { at: sql`"updatedAt"` }, // increases with each change of a row, so its events are in order
  );

const PATCH = new Statement<UserRow>('patch_users', patchUsers(empty));
const PATCH_UNLOCKED = new Statement<UserRow>('patch_unlocked_users', patchUsers(sql`SKIP LOCKED`));

const NEW_USERS = new Rows<NewUser>({
  name: ['text', ({ name }) => name],
  email: ['text', ({ email }) => email],
  is_admin: ['boolean', ({ isAdmin }) => isAdmin],
});

const SKIP_TAKEN = sql`ON CONFLICT ((lower(email COLLATE "C"))) DO NOTHING`;

const insertUsers = (users: readonly NewUser[], by: Actor, onConflict = empty): Sql =>
  withAudit(
    'user.created',
    sql`INSERT INTO users (name, email, is_admin)
    SELECT normalize(name, NFC), email, is_admin
      FROM ${NEW_USERS.of(users, 'request')}
    ${onConflict}
    RETURNING ${SELECTED}, id AS audit_user_id, NULL::uuid AS audit_api_key_id,
              ${auditSnapshot({ name: 'name', email: 'email', status: 'status', is_admin: 'is_admin' })} AS audit_changes`,
    { by },
  );

const IDS = new Rows<string>({ id: ['uuid', (id) => id] });

/**
 * One row for each id, with nulls where no user has it: a missing row is a fault, and not an
 * unknown user.
 */
const FIND = new Statement<
  (UserRow & { readonly requestedId: string }) | { readonly requestedId: string; readonly id: null }
>(
  'find_users',
  sql`SELECT request.id AS "requestedId", ${SELECTED}
        FROM ${IDS.prepared('request')}
        LEFT JOIN LATERAL (SELECT * FROM users WHERE id = request.id LIMIT 1) AS users ON true`,
);

/** Copies the named columns only: the statements return more than the row. */
const toUser = (row: UserRow): User => ({
  id: row.id,
  createdAt: row.createdAt,
  updatedAt: row.updatedAt,
  version: row.version,
  status: row.status,
  isAdmin: row.isAdmin,
  name: row.name,
  email: row.email,
  creditsBalance: Number(row.creditsBalance),
});

const one = ([row]: readonly UserRow[]): User | null => (row ? toUser(row) : null);

import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import type { Actor } from '../common/audit/actor.js';
import { actorParameters, changed, created, recorded } from '../common/audit/recording.js';
import type { Page, Slice } from '../common/pagination/page.js';
import { isUuid } from '../common/validation/uuid.js';
import { Batch } from '../database/batch.js';
import { findNewest, type List, NEWEST } from '../database/list.js';
import { RETRIES, retryingConflicts } from '../database/retry.js';
import { firstOf, IncompleteResultError, Statement, unseen } from '../database/statement.js';
import { InjectDatabase } from '../database/inject-database.decorator.js';
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

const columns = (
  u: string,
): string => `${u}.id, ${u}.created_at AS "createdAt", ${u}.updated_at AS "updatedAt", ${u}.version,
  ${u}.status, ${u}.is_admin AS "isAdmin", ${u}.name, ${u}.email, ${u}.credits_balance AS "creditsBalance"`;

const COLUMNS = columns('users');

const BY_EMAIL = 'lower(email COLLATE "C") = lower($1 COLLATE "C")'; // as uq_users_email has it

/** A row as `pg` hands it over: bigint columns arrive as text. */
type UserRow = Omit<User, 'creditsBalance'> & { readonly creditsBalance: string };

/**
 * Every query on users. They are SQL, since TypeORM's `find` and `save` cost several times the statement they run and
 * `save` cannot return the row that it wrote.
 */
@Injectable()
export class UsersRepository {
  private readonly patches = new Batch<Patch, User | null>({
    together: async (patches) => {
      const written = await this.runPatch(PATCH_FREE, patches);
      return patches.map(({ id }) => written.get(id)); // one that is missing may be held by somebody: asked alone, it waits
    },
    alone: (patch) => this.patchAlone(patch, RETRIES - 1),
    subjectOf: ({ id }) => id,
  });

  private readonly reads = new Batch<string, User | null>({
    together: (ids) => this.findAll(ids),
    alone: async (id) => firstOf(await this.findAll([id])),
  });

  constructor(@InjectDatabase() private readonly database: DataSource) {}

  /** Runs the work in the transaction of `manager`, or else in one of its own. */
  inTransaction<T>(manager: EntityManager | undefined, work: (manager: EntityManager) => Promise<T>): Promise<T> {
    return manager?.queryRunner?.isTransactionActive
      ? work(manager)
      : retryingConflicts(() => this.database.manager.transaction(work));
  }

  /** @param manager reads in the caller's transaction; otherwise reads of the same moment share a statement */
  async findById(id: string, manager?: EntityManager): Promise<User | null> {
    if (!isUuid(id)) return null;
    if (!manager) return this.reads.ask(id.toLowerCase()); // as the database spells it
    return one(await manager.query<UserRow[]>(`SELECT ${COLUMNS} FROM users WHERE id = $1`, [id]));
  }

  private async findAll(ids: readonly string[]): Promise<(User | null)[]> {
    const rows = await FIND.run(this.database, [ids]);
    const byId = new Map(rows.map((row) => [row.asked, row.id === null ? null : toUser(row)]));
    return ids.map((id) => {
      const user = byId.get(id);
      if (user === undefined) throw new IncompleteResultError();
      return user;
    });
  }

  async findByEmail(email: string): Promise<User | null> {
    return one(await this.database.query<UserRow[]>(`SELECT ${COLUMNS} FROM users WHERE ${BY_EMAIL}`, [email]));
  }

  /** The users that the filter lets pass, the newest first. */
  async findPage({ email, status }: UserFilter, slice: Slice): Promise<Page<User>> {
    const list: List = {
      columns: COLUMNS,
      table: 'users',
      filter: `($1::text IS NULL OR ${BY_EMAIL})`,
      parameters: [email],
      of: { column: 'status', values: status === undefined ? USER_STATUSES : [status] },
      order: NEWEST,
    };
    const page = await findNewest<UserRow>(this.database, list, slice);
    return { ...page, rows: page.rows.map(toUser) };
  }

  /** @param manager joins the caller's transaction */
  async insert(user: NewUser, actor: Actor, manager?: EntityManager): Promise<User> {
    const run = (on: EntityManager): Promise<User[]> => this.insertAll(INSERT, [user], actor, on);
    return firstOf(await (manager ? run(manager) : retryingConflicts(() => run(this.database.manager))));
  }

  /** Adds those whose address nobody has yet, in the caller's transaction. */
  insertMissing(users: readonly NewUser[], actor: Actor, manager: EntityManager): Promise<User[]> {
    return this.insertAll(INSERT_MISSING, users, actor, manager);
  }

  private async insertAll(
    sql: string,
    users: readonly NewUser[],
    actor: Actor,
    manager: EntityManager,
  ): Promise<User[]> {
    const rows = await manager.query<UserRow[]>(sql, [
      users.map(({ name }) => name),
      users.map(({ email }) => email),
      users.map(({ isAdmin }) => isAdmin),
      ...actorParameters(actor),
    ]);
    return rows.map(toUser);
  }

  /**
   * Writes only the given columns, so two writers never undo each other's fields, and records what really changed, all
   * in one statement, which patches of other users at the same moment share.
   *
   * `version` and `updated_at` rise only if a value changes; the latter by at least a millisecond, however fast two
   * changes follow each other. The name is brought into NFC once more, because PostgreSQL's Unicode may be newer than
   * Node's and the constraint goes by PostgreSQL's.
   *
   * @param versions the row is written only while it has one of these; undefined stands for any
   * @returns the row as written, or null when no such user exists or its version is another
   */
  async patch(id: string, changes: UserChanges, actor: Actor, versions?: readonly string[]): Promise<User | null> {
    if (!isUuid(id)) return null;
    const patch = { id: id.toLowerCase(), changes, actor, versions }; // as the database spells it
    // A change of status may wait for that of another administrator: nobody is to wait along.
    return changes.status === undefined ? this.patches.ask(patch) : this.patchAlone(patch, RETRIES);
  }

  private async patchAlone(patch: Patch, retries: number): Promise<User | null> {
    return (await retryingConflicts(() => this.runPatch(PATCH, [patch]), retries)).get(patch.id) ?? null;
  }

  private async runPatch(statement: Statement<UserRow>, patches: readonly Patch[]): Promise<Map<string, User>> {
    const actors = patches.map(({ actor }) => actorParameters(actor));
    const rows = await statement.run(this.database, [
      patches.map(({ id }) => id),
      patches.map(({ changes }) => changes.name),
      patches.map(({ changes }) => changes.status),
      patches.map(({ versions }) => versions && `{${versions.join()}}`),
      ...[0, 1, 2, 3].map((column) => actors.map((actor) => actor[column])),
    ]);
    return new Map(rows.map((row) => [row.id, toUser(row)]));
  }
}

interface Patch {
  readonly id: string;
  readonly changes: UserChanges;
  readonly actor: Actor;
  readonly versions: readonly string[] | undefined;
}

/** The columns of `Patch`es, as `runPatch` gives them. */
const PATCHES = ['uuid', 'text', 'text', 'text', 'text', 'uuid', 'uuid', 'text']
  .map((type, index) => unseen(index + 1, type))
  .join();

/** @param locked what to do about rows that somebody else holds: wait, or `SKIP LOCKED` */
const patching = (locked: '' | 'SKIP LOCKED'): string =>
  recorded(
    'user.updated',
    `UPDATE users u SET
        name = new.name,
        status = new.status,
        version = u.version + new.differs::int,
        updated_at = CASE WHEN new.differs THEN greatest(clock_timestamp(), u.updated_at + interval '1 ms') ELSE u.updated_at END
      FROM (SELECT wanted.*, o.name AS old_name, o.status AS old_status
              FROM unnest(${PATCHES})
                AS wanted (id, name, status, versions, actor, actor_user_id, actor_key_id, request_id)
              JOIN users o ON o.id = wanted.id
             WHERE wanted.versions IS NULL OR o.version = ANY (wanted.versions::bigint[])
               FOR NO KEY UPDATE OF o ${locked}) AS old,
           LATERAL (SELECT coalesce(normalize(old.name, NFC), old_name) AS name, coalesce(old.status, old_status) AS status) AS wanted,
           LATERAL (SELECT wanted.*, (wanted.name, wanted.status) <> (old_name, old_status) AS differs) AS new
      WHERE u.id = old.id
      RETURNING ${columns('u')}, old.actor, old.actor_user_id, old.actor_key_id, old.request_id,
        u.id AS audit_user_id, NULL::uuid AS audit_api_key_id,
        ${changed({ name: ['old_name', 'u.name'], status: ['old_status', 'u.status'] })} AS audit_changes`,
    'each',
    [],
    '"updatedAt"', // which rises with each change of a row, so that its events stand in their order
  );

const inserting = (conflict: string): string =>
  recorded(
    'user.created',
    `INSERT INTO users (name, email, is_admin)
      SELECT normalize(name, NFC), email, is_admin FROM unnest($1::text[], $2::text[], $3::boolean[]) AS t (name, email, is_admin)
      ${conflict}
      RETURNING ${COLUMNS}, id AS audit_user_id, NULL::uuid AS audit_api_key_id,
        ${created({ name: 'name', email: 'email', status: 'status', is_admin: 'is_admin' })} AS audit_changes`,
    4,
  );

const INSERT = inserting('');
const INSERT_MISSING = inserting('ON CONFLICT ((lower(email COLLATE "C"))) DO NOTHING');

const PATCH_FREE = new Statement<UserRow>('patch_users_free', patching('SKIP LOCKED'));
const PATCH = new Statement<UserRow>('patch_users', patching(''));
/** One row for each id, of nulls where no user has it: what is missing then is a fault, and not an unknown user. */
const FIND = new Statement<(UserRow & { readonly asked: string }) | { readonly asked: string; readonly id: null }>(
  'find_users',
  `SELECT asked.id AS asked, ${columns('u')} FROM unnest(${unseen(1, 'uuid')}) AS asked (id)
     LEFT JOIN LATERAL (SELECT * FROM users WHERE id = asked.id LIMIT 1) AS u ON true`,
);

/** Named columns only: the statements return more than the row. */
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

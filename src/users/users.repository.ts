import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { type EntityManager, Repository } from 'typeorm';
import type { Actor } from '../common/audit/actor.js';
import { actorParameters, changed, created, recorded } from '../common/audit/recording.js';
import { newestFirst, type Page, type Slice } from '../common/pagination/page.js';
import { retryingConflicts } from '../database/retry.js';
import { User, type UserStatus } from './user.entity.js';

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
  constructor(@InjectRepository(User) private readonly rows: Repository<User>) {}

  /** Runs the work in the transaction of `manager`, or else in one of its own. */
  inTransaction<T>(manager: EntityManager | undefined, work: (manager: EntityManager) => Promise<T>): Promise<T> {
    return manager?.queryRunner?.isTransactionActive
      ? work(manager)
      : retryingConflicts(() => this.rows.manager.transaction(work));
  }

  async findById(id: string, manager: EntityManager = this.rows.manager): Promise<User | null> {
    return one(await manager.query<UserRow[]>(`SELECT ${COLUMNS} FROM users WHERE id = $1`, [id]));
  }

  async findByEmail(email: string): Promise<User | null> {
    return one(await this.rows.query<UserRow[]>(`SELECT ${COLUMNS} FROM users WHERE ${BY_EMAIL}`, [email]));
  }

  /** The users that the filter lets pass, the newest first. */
  async findPage({ email, status }: UserFilter, slice: Slice): Promise<Page<User>> {
    const filter = `WHERE ($1::text IS NULL OR ${BY_EMAIL}) AND ($2::text IS NULL OR status = $2)`;
    const { sql, parameters } = newestFirst(slice, [email, status]);
    const [rows, [counted]] = await Promise.all([
      this.rows.query<UserRow[]>(`SELECT ${COLUMNS} FROM users ${filter} ${sql}`, parameters),
      this.rows.query<[{ total: number }]>(`SELECT count(*)::int AS total FROM users ${filter}`, [email, status]),
    ]);
    return { rows: rows.map(toUser), total: counted.total };
  }

  /** @param manager joins the caller's transaction */
  async insert({ name, email, isAdmin }: NewUser, actor: Actor, manager?: EntityManager): Promise<User> {
    const inserting = `INSERT INTO users (name, email, is_admin) VALUES (normalize($1, NFC), $2, $3)
      RETURNING ${COLUMNS}, id AS audit_user_id, NULL::uuid AS audit_api_key_id,
        ${created({ name: 'name', email: 'email', status: 'status', is_admin: 'is_admin' })} AS audit_changes`;
    const sql = recorded('user.created', inserting, 4);
    const parameters = [name, email, isAdmin, ...actorParameters(actor)];
    const run = (on: EntityManager): Promise<[UserRow]> => on.query<[UserRow]>(sql, parameters);
    const [row] = await (manager ? run(manager) : retryingConflicts(() => run(this.rows.manager)));
    return toUser(row);
  }

  /**
   * Writes only the given columns, so two writers never undo each other's fields, and records what really changed, all
   * in one statement.
   *
   * `version` and `updated_at` rise only if a value changes; the latter by at least a millisecond, however fast two
   * changes follow each other. The name is brought into NFC once more, because PostgreSQL's Unicode may be newer than
   * Node's and the constraint goes by PostgreSQL's.
   *
   * @param versions the row is written only while it has one of these; undefined stands for any
   * @returns the row as written, or null when no such user exists or its version is another
   */
  async patch(
    id: string,
    { name, status }: UserChanges,
    actor: Actor,
    versions?: readonly string[],
  ): Promise<User | null> {
    const updating = `UPDATE users u SET
        name = new.name,
        status = new.status,
        version = u.version + new.differs::int,
        updated_at = CASE WHEN new.differs THEN greatest(clock_timestamp(), u.updated_at + interval '1 ms') ELSE u.updated_at END
      FROM (SELECT id, name AS old_name, status AS old_status FROM users
             WHERE id = $1 AND ($4::bigint[] IS NULL OR version = ANY ($4)) FOR NO KEY UPDATE) AS old,
           LATERAL (SELECT coalesce(normalize($2, NFC), old_name) AS name, coalesce($3, old_status) AS status) AS wanted,
           LATERAL (SELECT wanted.*, (wanted.name, wanted.status) <> (old_name, old_status) AS differs) AS new
      WHERE u.id = old.id
      RETURNING ${columns('u')}, u.id AS audit_user_id, NULL::uuid AS audit_api_key_id,
        ${changed({ name: ['old_name', 'u.name'], status: ['old_status', 'u.status'] })} AS audit_changes`;
    const parameters = [id, name, status, versions, ...actorParameters(actor)];
    const sql = recorded('user.updated', updating, 5);
    return one(await retryingConflicts(() => this.rows.query<UserRow[]>(sql, parameters)));
  }
}

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

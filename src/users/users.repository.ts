import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { type EntityManager, Repository } from 'typeorm';
import { User } from './user.entity.js';

export interface NewUser {
  readonly name: string;
  readonly email: string;
  readonly isAdmin: boolean;
}

export interface UserChanges {
  readonly name: string;
}

const COLUMNS = `id, created_at AS "createdAt", updated_at AS "updatedAt", version, status, is_admin AS "isAdmin",
  name, email, credits_balance AS "creditsBalance"`;

/** A row as `pg` hands it over: bigint columns arrive as text. */
type UserRow = Omit<User, 'creditsBalance'> & { readonly creditsBalance: string };

/**
 * Every query on users. They are SQL, since TypeORM's `find` and `save` cost several times the statement they run and
 * `save` cannot return the row that it wrote.
 */
@Injectable()
export class UsersRepository {
  constructor(@InjectRepository(User) private readonly rows: Repository<User>) {}

  async findById(id: string): Promise<User | null> {
    return one(await this.rows.query<UserRow[]>(`SELECT ${COLUMNS} FROM users WHERE id = $1`, [id]));
  }

  async findByEmail(email: string): Promise<User | null> {
    const sql = `SELECT ${COLUMNS} FROM users WHERE lower(email COLLATE "C") = lower($1 COLLATE "C")`;
    return one(await this.rows.query<UserRow[]>(sql, [email]));
  }

  /** The newest users first. */
  async findNewest(limit: number): Promise<User[]> {
    const sql = `SELECT ${COLUMNS} FROM users ORDER BY created_at DESC, id DESC LIMIT $1`;
    return (await this.rows.query<UserRow[]>(sql, [limit])).map(toUser);
  }

  /** @param manager joins the caller's transaction */
  async insert({ name, email, isAdmin }: NewUser, manager: EntityManager = this.rows.manager): Promise<User> {
    const [row] = await manager.query<[UserRow]>(
      `INSERT INTO users (name, email, is_admin) VALUES (normalize($1, NFC), $2, $3) RETURNING ${COLUMNS}`,
      [name, email, isAdmin],
    );
    return toUser(row);
  }

  /**
   * Writes only the given columns, in one statement, so two writers never undo each other's fields.
   *
   * `version` and `updated_at` rise only if a value really changes; the latter by at least a millisecond, however fast
   * two changes follow each other. The name is brought into NFC once more, because PostgreSQL's Unicode may be newer
   * than Node's and the constraint goes by PostgreSQL's.
   *
   * @param versions the row is written only while it has one of these; undefined stands for any
   * @returns the row as written, or null when no such user exists or its version is another
   */
  async patch(id: string, { name }: UserChanges, versions?: readonly string[]): Promise<User | null> {
    const [rows] = await this.rows.query<[UserRow[], number]>(
      `UPDATE users SET
         name = normalize($2, NFC),
         version = version + (name <> normalize($2, NFC))::int,
         updated_at = CASE WHEN name = normalize($2, NFC) THEN updated_at
                           ELSE greatest(clock_timestamp(), updated_at + interval '1 ms') END
       WHERE id = $1 AND ($3::bigint[] IS NULL OR version = ANY ($3))
       RETURNING ${COLUMNS}`,
      [id, name, versions],
    );
    return one(rows);
  }
}

const toUser = (row: UserRow): User => ({ ...row, creditsBalance: Number(row.creditsBalance) });

const one = ([row]: readonly UserRow[]): User | null => (row ? toUser(row) : null);

import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import type { EntityManager } from 'typeorm';
import { Repository } from 'typeorm';
import { ApiKey } from './api-key.entity.js';
import type { Principal } from './principal.js';

export interface NewApiKey {
  readonly userId: string;
  readonly name: string;
  readonly expiresAt: Date;
  readonly prefix: string;
  readonly digest: Buffer;
}

export interface LiveApiKey extends Principal {
  readonly digest: Buffer;
}

@Injectable()
export class ApiKeysRepository {
  constructor(@InjectRepository(ApiKey) private readonly rows: Repository<ApiKey>) {}

  /**
   * The key with this digest and its owner, if both are live at this instant of the database's clock: one statement for
   * all of it, so there is no moment in between and no cached answer that outlives a revocation.
   */
  async findLive(digest: Buffer): Promise<LiveApiKey | null> {
    const [row] = await this.rows.query<LiveApiKey[]>(
      `SELECT k.id AS "keyId", k.digest, k.user_id AS "userId", u.is_admin AS "isAdmin"
         FROM api_keys k JOIN users u ON u.id = k.user_id
        WHERE k.digest = $1 AND k.revoked_at IS NULL AND k.expires_at > statement_timestamp() AND u.status = 'ACTIVE'`,
      [digest],
    );
    return row ?? null;
  }

  /** @returns whether the key was stored: not when `expiresAt` has passed by the database's clock */
  async insert(key: NewApiKey, manager: EntityManager = this.rows.manager): Promise<boolean> {
    const stored = await manager.query<unknown[]>(
      `INSERT INTO api_keys (user_id, name, expires_at, prefix, digest)
       SELECT $1, $2, $3, $4, $5 WHERE $3::timestamptz > statement_timestamp()
       RETURNING id`,
      [key.userId, key.name, key.expiresAt, key.prefix, key.digest],
    );
    return stored.length === 1;
  }
}

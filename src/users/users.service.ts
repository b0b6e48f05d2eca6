import { Injectable } from '@nestjs/common';
import { isEmail } from 'class-validator';
import type { EntityManager } from 'typeorm';
import { violates } from '../common/errors/constraint.js';
import type { User } from './user.entity.js';
import { parseUserName } from './user-name.js';
import {
  EmailTakenError,
  InvalidEmailError,
  InvalidUserNameError,
  UserChangedError,
  UserNotFoundError,
} from './users.errors.js';
import { UsersRepository } from './users.repository.js';

/** What users may change about themselves. */
export interface ProfileChanges {
  /** Up to 255 characters; stored trimmed and in NFC. */
  readonly name?: string | undefined;
}

export interface UserRequest {
  readonly name: string;
  /** Stored as given; unique without regard to case. */
  readonly email: string;
  readonly isAdmin?: boolean;
}

/** What can be done to a user. Holds for every caller: HTTP, the command line and other modules. */
@Injectable()
export class UsersService {
  constructor(private readonly users: UsersRepository) {}

  /** @throws UserNotFoundError when no such user exists */
  async getById(id: string): Promise<User> {
    const user = await this.users.findById(id);
    if (!user) throw new UserNotFoundError({ id });
    return user;
  }

  /** The user with this address, whatever its case, or null. */
  findByEmail(email: string): Promise<User | null> {
    return this.users.findByEmail(email);
  }

  /** Up to `limit` users, the newest first. */
  listNewest(limit: number): Promise<User[]> {
    return this.users.findNewest(limit);
  }

  /**
   * Adds an active user without credits or keys. Not safe to repeat: a second call is refused for its e-mail address.
   *
   * @param manager joins the caller's transaction
   * @throws InvalidUserNameError, InvalidEmailError, EmailTakenError
   */
  async create({ name, email, isAdmin = false }: UserRequest, manager?: EntityManager): Promise<User> {
    if (!isEmail(email, { allow_utf8_local_part: false })) throw new InvalidEmailError();
    try {
      return await this.users.insert({ name: parseUserName(name), email, isAdmin }, manager);
    } catch (error) {
      if (violates(error, 'uq_users_email')) throw new EmailTakenError();
      throw refusedName(error);
    }
  }

  /**
   * Applies a partial change: an absent field keeps its value, and an empty change is only a read. Safe to repeat.
   *
   * @param versions the change is made only while the user's `version` is one of these; undefined stands for any
   * @returns the user as stored by this very call
   * @throws InvalidUserNameError, UserNotFoundError, or UserChangedError when the version is another, and then nothing is written
   */
  async updateProfile(id: string, { name }: ProfileChanges, versions?: readonly string[]): Promise<User> {
    if (name !== undefined) {
      const user = await this.rename(id, parseUserName(name), versions);
      if (user) return user;
    }
    const user = await this.getById(id);
    if (versions && (name !== undefined || !versions.includes(user.version))) throw new UserChangedError();
    return user;
  }

  private async rename(id: string, name: string, versions?: readonly string[]): Promise<User | null> {
    try {
      return await this.users.patch(id, { name }, versions);
    } catch (error) {
      throw refusedName(error);
    }
  }
}

/** PostgreSQL has the last word on a name: its tables of Unicode may be newer than ours. */
const refusedName = (error: unknown): unknown =>
  violates(error, 'ck_users_name') ? new InvalidUserNameError('name is not one that can be stored') : error;

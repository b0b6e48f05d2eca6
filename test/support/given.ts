import { randomUUID } from 'node:crypto';
import type { INestApplicationContext } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { ApiKeysService } from '../../src/api-keys/api-keys.service.js';
import { withoutTimeouts } from '../../src/database/without-timeouts.js';
import {
  DEFAULT_KEY_DAYS,
  daysFromNow,
  FIRST_KEY_NAME,
  OnboardingService,
} from '../../src/onboarding/onboarding.service.js';
import { AdminUserResponse, UserResponse } from '../../src/users/dto/user.response.js';
import type { User } from '../../src/users/user.entity.js';
import { EmailTakenError } from '../../src/users/users.errors.js';
import { UsersService } from '../../src/users/users.service.js';
import { patiently } from './patience.js';

/** A user of a test, with the key that it calls with. */
export interface GivenUser {
  readonly row: User;
  readonly id: string;
  readonly key: string;
}

/** Makes rows: valid and dull, so that a test names only the fields it is about. */
export class Given {
  constructor(private readonly app: INestApplicationContext) {}

  async user({
    name = 'Dull Default',
    email = `${randomUUID()}@example.com`,
    isAdmin = false,
  } = {}): Promise<GivenUser> {
    const { user, secret } = await patiently(async (attempt) => {
      try {
        return await this.app.get(OnboardingService).createUserWithKey({ name, email, isAdmin });
      } catch (error) {
        if (attempt === 1 || !(error instanceof EmailTakenError)) throw error;
        return this.another(email);
      }
    });
    return { row: user, id: user.id, key: secret };
  }

  /** Changes rows behind the API's back, however many, in the time that it takes. */
  async sql(sql: string, parameters: unknown[] = []): Promise<void> {
    await patiently(() =>
      withoutTimeouts(this.app.get(DataSource), (query) => query({ text: sql, values: parameters })),
    );
  }

  /**
   * The user that an earlier attempt made, whose secret was lost with the connection: its key gets
   * another one.
   */
  private async another(email: string): Promise<{ user: User; secret: string }> {
    const user = await this.app.get(UsersService).findByEmail(email);
    if (!user) throw new EmailTakenError();
    const rotation = { expiresAt: daysFromNow(DEFAULT_KEY_DAYS), overlapSeconds: 0 };
    const { secret } = await this.app.get(ApiKeysService).rotate(user.id, FIRST_KEY_NAME, rotation);
    return { user, secret };
  }
}

/** What the API says of a user as it was when it was made. */
export const wireUser = ({ row }: GivenUser): UserResponse => UserResponse.from(row);

/** The same, as administrators read it. */
export const wireUserForAdministrators = ({ row }: GivenUser): AdminUserResponse => AdminUserResponse.from(row);

import { randomUUID } from 'node:crypto';
import type { INestApplicationContext } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { withoutTimeouts } from '../../src/database/without-timeouts.js';
import { OnboardingService } from '../../src/onboarding/onboarding.service.js';
import { UserResponse } from '../../src/users/dto/user.response.js';
import type { User } from '../../src/users/user.entity.js';

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
    const { user, secret } = await this.app.get(OnboardingService).createUserWithKey({ name, email, isAdmin });
    return { row: user, id: user.id, key: secret };
  }

  /** Changes rows behind the API's back, however many, in the time that it takes. */
  async sql(sql: string, parameters: unknown[] = []): Promise<void> {
    await withoutTimeouts(this.app.get(DataSource), (query) => query(sql, parameters));
  }
}

/** What the API says of a user as it was when it was made. */
export const wireUser = ({ row }: GivenUser): UserResponse => UserResponse.from(row);

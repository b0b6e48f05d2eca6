import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  EmailTakenError,
  ENTITIES,
  InvalidUserNameError,
  MIGRATIONS,
  UserNotFoundError,
  UsersModule,
  UsersService,
} from '../src/index.js';
import { createDatabase, type TestDatabase } from './support/database.js';

/** A feature of somebody else's application. */
@Injectable()
class GreetingsService {
  constructor(private readonly users: UsersService) {}

  async greet(id: string): Promise<string> {
    return `Hello, ${(await this.users.getById(id)).name}`;
  }
}

@Module({ imports: [UsersModule], providers: [GreetingsService] })
class GreetingsModule {}

describe('UsersModule in another Nest application', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createDatabase('empty');
  });
  afterAll(() => database.drop());

  it('lends UsersService to a module that imports it, on the connection of the host, with the same errors as over HTTP', async () => {
    @Module({
      imports: [
        TypeOrmModule.forRoot({
          type: 'postgres',
          url: database.url,
          entities: ENTITIES,
          migrations: MIGRATIONS,
          migrationsRun: true,
        }),
        GreetingsModule,
      ],
    })
    class HostModule {}
    const host = await NestFactory.createApplicationContext(HostModule, { logger: false, abortOnError: false });
    const users = host.get(UsersService, { strict: false });

    const ada = await users.create({ name: ' Ada ', email: 'ada@example.com' });

    expect(await host.get(GreetingsService, { strict: false }).greet(ada.id)).toBe('Hello, Ada');
    expect(await users.updateProfile(ada.id, { name: 'Ada L.' })).toMatchObject({
      id: ada.id,
      name: 'Ada L.',
      version: '2',
    });
    await expect(users.getById('0198c5a2-7b1e-4c7d-9f43-2a6d5e8b1c90')).rejects.toThrow(UserNotFoundError);
    await expect(users.updateProfile(ada.id, { name: '\u0000' })).rejects.toThrow(InvalidUserNameError);
    await expect(users.create({ name: 'Eve', email: 'ADA@example.com' })).rejects.toThrow(EmailTakenError);
    await host.close();
  });
});

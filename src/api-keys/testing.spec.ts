import { Controller, Get, type INestApplication, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import type { App } from 'supertest/types.js';
import request from 'supertest';
import { ApiKeyGuard } from './api-key.guard.js';
import { Administrators, Authenticated, CurrentUser } from './authenticated.decorator.js';
import type { Principal } from './principal.js';
import { authenticatedAs } from './testing.js';

@Controller('jobs')
class JobsController {
  @Get()
  @Authenticated()
  list(@CurrentUser() { userId }: Principal): string[] {
    return [userId];
  }

  @Get('all')
  @Administrators()
  listAll(): string[] {
    return [];
  }
}

@Module({ controllers: [JobsController] })
class JobsModule {}

describe('A controller behind @Authenticated(), without a database', () => {
  const appAs = async (principal: Parameters<typeof authenticatedAs>[0]) => {
    const module = await Test.createTestingModule({ imports: [JobsModule] })
      .overrideGuard(ApiKeyGuard)
      .useValue(authenticatedAs(principal))
      .compile();
    return module.createNestApplication<INestApplication<App>>().init();
  };

  it.each([
    [{ userId: 'ada' }, '/jobs', 200, ['ada']],
    [{}, '/jobs/all', 403, { status: 403, message: 'Only administrators may do this' }],
    [{ isAdmin: true }, '/jobs/all', 200, []],
    [null, '/jobs', 401, { status: 401, message: 'An API key is required in the x-api-key header' }],
  ])('as %j: %s is %i', async (principal, path, status, body) => {
    const app = await appAs(principal);

    const response = await request(app.getHttpServer()).get(path);

    expect([response.status, response.body]).toEqual([status, body]);
    await app.close();
  });
});

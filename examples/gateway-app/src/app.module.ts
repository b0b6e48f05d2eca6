import { ApolloDriver, type ApolloDriverConfig } from '@nestjs/apollo';
import { Module } from '@nestjs/common';
import { APP_GUARD, APP_INTERCEPTOR } from '@nestjs/core';
import { GraphQLModule } from '@nestjs/graphql';
import { JwtModule } from '@nestjs/jwt';
import { SkipThrottle, ThrottlerModule } from '@nestjs/throttler';
import { TypeOrmModule } from '@nestjs/typeorm';
import { ENTITIES, MIGRATIONS, UsersApiModule } from '@users-api/server';
import { HttpThrottlerGuard } from './auth/http-throttler.guard.js';
import { JwtGuard } from './auth/jwt.guard.js';
import { Public } from './auth/public.decorator.js';
import { EnvelopeInterceptor } from './envelope.interceptor.js';
import { ReportsModule } from './reports/reports.module.js';

@Module({
  imports: [
    TypeOrmModule.forRoot({
      type: 'postgres',
      url: process.env.DATABASE_URL!,
      entities: ENTITIES,
      migrations: MIGRATIONS,
      migrationsRun: true,
    }),
    // Our guards are not for its routes, which check keys and rates by themselves.
    UsersApiModule.forRoot({ routes: { decorators: [Public(), SkipThrottle()] } }),
    GraphQLModule.forRoot<ApolloDriverConfig>({ driver: ApolloDriver, autoSchemaFile: true }),
    JwtModule.register({ global: true, secret: process.env.JWT_SECRET!, signOptions: { expiresIn: '1h' } }),
    ThrottlerModule.forRoot([{ ttl: 60_000, limit: 20 }]),
    ReportsModule,
  ],
  providers: [
    { provide: APP_GUARD, useClass: HttpThrottlerGuard },
    { provide: APP_GUARD, useClass: JwtGuard },
    { provide: APP_INTERCEPTOR, useClass: EnvelopeInterceptor },
  ],
})
export class AppModule {}

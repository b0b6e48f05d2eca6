import { ConfigurableModuleBuilder, type DynamicModule, Module, type Type } from '@nestjs/common';
import { RouterModule } from '@nestjs/core';
import { getDataSourceToken } from '@nestjs/typeorm';
import type { DataSource } from 'typeorm';
import { ApiKeysCoreModule, ApiKeysModule } from './api-keys/api-keys.module.js';
import { AuditModule } from './audit/audit.module.js';
import { CountersModule } from './common/counters/counters.module.js';
import { CreditsCoreModule, CreditsModule } from './credits/credits.module.js';
import { DATABASE } from './database/inject-database.decorator.js';
import { refuseUnsuitableSettings } from './database/session-settings.js';
import { UsersCoreModule, UsersModule } from './users/users.module.js';
import { checkOptions, USERS_API_OPTIONS, type UsersApiOptions } from './config/users-api.options.js';

/** What has to be known before the application starts. */
export interface UsersApiComposition {
  /**
   * The name of the TypeORM connection that holds our tables; by default the one without a name.
   */
  readonly dataSource?: string | undefined;
  /**
   * Whether the routes (`/v1/users/me` and its siblings) are served, and below which path; by
   * default at the root.
   */
  readonly routes?: boolean | { readonly prefix: string };
}

const DEFAULTS: UsersApiComposition = { dataSource: undefined, routes: true };

/** Modules of the services, for injection. */
const CORE = [CountersModule, ApiKeysCoreModule, UsersCoreModule, CreditsCoreModule];
const ROUTES: Type[] = [UsersModule, ApiKeysModule, CreditsModule, AuditModule];

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } = new ConfigurableModuleBuilder<UsersApiOptions>()
  .setClassMethodName('forRoot')
  .setExtras<UsersApiComposition>(DEFAULTS, compose)
  .build();

/**
 * Users, API keys and credits, on the TypeORM connection of the application that imports it, once,
 * in its root module. Every module can then inject `UsersService`, `ApiKeysService` and
 * `CreditsService`, and guard its routes with `@Authenticated()`.
 *
 * Nothing of it reaches the application's own routes: pipes and filters stand on our controllers
 * alone.
 */
@Module({})
export class UsersApiModule extends ConfigurableModuleClass {}

function compose(definition: DynamicModule, { dataSource, routes = true }: UsersApiComposition): DynamicModule {
  const { imports = [], providers = [] } = definition;
  return {
    ...definition,
    global: true, // a guard stands in the module of the route that it guards
    imports: [...imports, ...CORE, ...(routes === false ? [] : serve(routes === true ? '' : routes.prefix))],
    providers: [
      ...providers,
      { provide: USERS_API_OPTIONS, useFactory: checkOptions, inject: [MODULE_OPTIONS_TOKEN] },
      { provide: DATABASE, useFactory: checkedDatabase, inject: [getDataSourceToken(dataSource)] },
    ],
    exports: [DATABASE, USERS_API_OPTIONS, ...CORE],
  };
}

/** Refuses a connection whose settings would lose data. */
async function checkedDatabase(database: DataSource): Promise<DataSource> {
  if (database.isInitialized) await refuseUnsuitableSettings(database); // an application may choose to connect later
  return database;
}

const serve = (path: string): (Type | DynamicModule)[] => [
  ...ROUTES,
  RouterModule.register(ROUTES.map((module) => ({ path, module }))),
];

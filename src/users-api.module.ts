import {
  ConfigurableModuleBuilder,
  type DynamicModule,
  Inject,
  Module,
  type OnApplicationBootstrap,
  type OnModuleInit,
  Optional,
  type Type,
} from '@nestjs/common';
import { MODULE_METADATA } from '@nestjs/common/constants.js';
import { HttpAdapterHost, ModulesContainer, RouterModule } from '@nestjs/core';
import { getDataSourceToken } from '@nestjs/typeorm';
import type { DataSource } from 'typeorm';
import { ApiKeysCoreModule, ApiKeysModule } from './api-keys/api-keys.module.js';
import { AuditModule } from './audit/audit.module.js';
import { UnsuitableHostError } from './common/errors/unsuitable-host.error.js';
import { CountersModule } from './common/counters/counters.module.js';
import { checkOptions, USERS_API_OPTIONS, type UsersApiOptions } from './config/users-api.options.js';
import { CreditsCoreModule, CreditsModule } from './credits/credits.module.js';
import { DATABASE } from './database/inject-database.decorator.js';
import { EventsModule } from './events/events.module.js';
import { checkedDatabase, refuseLossyParsers, refuseOtherAdapters } from './host-application.js';
import { UsersCoreModule, UsersModule } from './users/users.module.js';
import { VerificationCoreModule, VerificationModule } from './verification/verification.module.js';

/** Options that must be known before the application starts. */
export interface UsersApiComposition {
  /**
   * The name of the TypeORM connection with the tables of the module; by default the unnamed
   * connection.
   */
  readonly dataSource?: string | undefined;
  /**
   * Whether the routes (`/v1/users/me` and the others) are served, and how; by default at the root.
   */
  readonly routes?: boolean | UsersApiRoutes;
}

export interface UsersApiRoutes {
  /** The path below which the routes are served; by default the root. */
  readonly prefix?: string;
  /**
   * Decorators for all controllers of the module, such as one that exempts them from a global
   * guard. They decorate the classes, so they apply to every application of the process.
   */
  readonly decorators?: readonly ClassDecorator[];
}

const DEFAULTS: UsersApiComposition = { dataSource: undefined, routes: true };

/** Modules of the services, for injection. */
const CORE = [
  CountersModule,
  EventsModule,
  ApiKeysCoreModule,
  UsersCoreModule,
  CreditsCoreModule,
  VerificationCoreModule,
];
const ROUTES: Type[] = [UsersModule, ApiKeysModule, CreditsModule, VerificationModule, AuditModule];

/** Whether the routes are served. */
const SERVES_ROUTES = Symbol('whether UsersApiModule serves routes');

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } = new ConfigurableModuleBuilder<UsersApiOptions>()
  .setClassMethodName('forRoot')
  .setExtras<UsersApiComposition>(DEFAULTS, compose)
  .build();

/**
 * Users, API keys and credits, on the TypeORM connection of the application, which imports this
 * module once, in its root module. Every module can then inject `UsersService`, `ApiKeysService`
 * and `CreditsService`, and guard its routes with `@Authenticated()`.
 *
 * The application's own routes are not affected: pipes and filters are bound only to the
 * controllers of this module.
 */
@Module({})
export class UsersApiModule extends ConfigurableModuleClass implements OnModuleInit, OnApplicationBootstrap {
  /** @throws UnsuitableHostError when the module is imported without `forRoot`, or twice */
  constructor(
    modules: ModulesContainer,
    private readonly adapterHost: HttpAdapterHost,
    @Optional() @Inject(SERVES_ROUTES) private readonly servesRoutes?: boolean,
  ) {
    super();
    if (servesRoutes === undefined)
      throw new UnsuitableHostError(
        'UsersApiModule is imported without its options: import UsersApiModule.forRoot({}) or UsersApiModule.forRootAsync(…) instead, in the root module.',
      );
    if ([...modules.values()].filter(({ metatype }) => metatype === UsersApiModule).length > 1)
      throw new UnsuitableHostError(
        'UsersApiModule is imported twice: call forRoot or forRootAsync once, in the root module; every other module has its services without importing it.',
      );
  }

  onModuleInit(): void {
    refuseOtherAdapters(this.adapterHost);
  }

  async onApplicationBootstrap(): Promise<void> {
    if (this.servesRoutes) await refuseLossyParsers(this.adapterHost);
  }
}

function compose(definition: DynamicModule, { dataSource, routes = true }: UsersApiComposition): DynamicModule {
  const { imports = [], providers = [] } = definition;
  return {
    ...definition,
    global: true, // a guard is resolved in the module of the route that it guards
    imports: [...imports, ...CORE, ...(routes === false ? [] : serve(routes === true ? {} : routes))],
    providers: [
      ...providers,
      { provide: SERVES_ROUTES, useValue: routes !== false },
      { provide: USERS_API_OPTIONS, useFactory: checkOptions, inject: [MODULE_OPTIONS_TOKEN] },
      {
        provide: DATABASE,
        useFactory: (database: DataSource | undefined) => checkedDatabase(database, dataSource),
        inject: [{ token: getDataSourceToken(dataSource), optional: true }],
      },
    ],
    exports: [DATABASE, USERS_API_OPTIONS, ...CORE],
  };
}

function serve({ prefix: path = '', decorators = [] }: UsersApiRoutes): (Type | DynamicModule)[] {
  for (const module of ROUTES) {
    const controllers = Reflect.getMetadata(MODULE_METADATA.CONTROLLERS, module) as Type[];
    for (const controller of controllers) Reflect.decorate([...decorators], controller);
  }
  return [...ROUTES, RouterModule.register(ROUTES.map((module) => ({ path, module })))];
}

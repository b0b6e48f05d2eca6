import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import type { RawBodyRequest } from '@nestjs/common';
import type { HttpAdapterHost } from '@nestjs/core';
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import type { DataSource } from 'typeorm';
import { RefuseOtherTables1767225540000 } from '../migrations/1767225540000-refuse-other-tables.js';
import { UnsuitableHostError } from './common/errors/unsuitable-host.error.js';
import { type Destination, destinationProblem } from './config/one-server.js';
import { refuseUnsuitableSettings } from './database/session-settings.js';

/* Mistakes of a host application that are reported at startup, each with its remedy. */

/** The options of a connection that are checked. */
interface ConnectionOptions extends Destination {
  readonly type: string;
  readonly extra?: Destination | undefined;
  readonly replication?: { readonly master: Destination } | undefined;
  readonly schema?: string | undefined;
  readonly entityPrefix?: string | undefined;
}

/** @throws UnsuitableHostError, UnsuitableSettingsError */
export async function checkedDatabase(database: DataSource | undefined, name = 'default'): Promise<DataSource> {
  if (!database) {
    throw new UnsuitableHostError(
      `UsersApiModule found no TypeORM connection "${name}": import TypeOrmModule.forRoot({ type: 'postgres', … }) in the root module` +
        (name === 'default' ? '.' : `, with name: '${name}'.`),
    );
  }
  const { type, schema, entityPrefix, url, host, port, extra, replication } = database.options as ConnectionOptions;
  if (type !== 'postgres')
    throw new UnsuitableHostError(
      `UsersApiModule needs PostgreSQL, and its TypeORM connection is of type "${type}": give it a connection of its own by the option dataSource.`,
    );
  if (schema !== undefined) {
    throw new UnsuitableHostError(
      `UsersApiModule does not support TypeORM's schema: replace schema: '${schema}' with extra: { options: '-c search_path=${schema}' }.`,
    );
  }
  if (entityPrefix) {
    throw new UnsuitableHostError(
      `UsersApiModule does not support TypeORM's entityPrefix: give it a connection without one by the option dataSource, with extra: { options: '-c search_path=…' } if its tables need a schema of their own.`,
    );
  }
  const destinations = [{ url, host, port }, extra ?? {}, replication?.master ?? {}];
  const [problem] = destinations.flatMap((destination) => destinationProblem(destination) ?? []);
  if (problem !== undefined)
    throw new UnsuitableHostError(`The TypeORM connection "${name}" of UsersApiModule ${problem}.`);
  if (!database.isInitialized) return database; // an application may choose to connect later
  await refuseUnsuitableSettings(database);
  await new RefuseOtherTables1767225540000().up(database);
  return database;
}

/** Undefined in an application without HTTP. */
type OptionalAdapter = HttpAdapterHost['httpAdapter'] | undefined;

/** A handler of Express. */
interface Layer {
  readonly name: string;
  readonly handle: RequestHandler;
}

/** @throws UnsuitableHostError for another HTTP framework */
export function refuseOtherAdapters({ httpAdapter }: HttpAdapterHost): void {
  const type = (httpAdapter as OptionalAdapter)?.getType();
  if (type === undefined || type === 'express' || type === '') return;
  throw new UnsuitableHostError(
    `UsersApiModule needs Express, and this application uses ${type}: create it with the default adapter, @nestjs/platform-express.`,
  );
}

/**
 * Tests the application's body parser, which runs before any guard, with a request.
 *
 * @throws UnsuitableHostError when the parser does not keep the bytes: only they show a duplicate
 *   property
 */
export async function refuseLossyParsers({ httpAdapter }: HttpAdapterHost): Promise<void> {
  const express = (httpAdapter as OptionalAdapter)?.getInstance<{
    readonly router?: { readonly stack?: readonly Layer[] };
  }>();
  const stack = express?.router?.stack ?? [];
  const parser = stack.find(({ name }) => name === 'jsonParser');
  if (!parser) return;
  const request = Object.assign(Readable.from([Buffer.from('{}')]), {
    headers: { 'content-type': 'application/json', 'content-length': '2' },
    method: 'POST',
  }) as unknown as RawBodyRequest<Request>;
  await promisify((done: NextFunction) => void parser.handle(request, {} as Response, done))();
  if (request.rawBody) return;
  throw new UnsuitableHostError(
    'The routes of UsersApiModule need the bytes of a body: create the application with NestFactory.create(AppModule, { rawBody: true }), or serve none with routes: false.',
  );
}

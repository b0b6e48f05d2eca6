import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { SESSION_TIMEOUTS } from '../../src/database/data-source.options.js';
import { ending } from './leftovers.js';

const setting = (name: 'TEST_SERVER_URL' | 'TEST_TEMPLATE' | 'TEST_PREFIX'): string => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run the end-to-end tests through npm`);
  return value;
};

export const serverUrl = (): string => setting('TEST_SERVER_URL');

/** Runs one statement on the server itself, outside of any suite's database. */
export async function administer<T extends object>(sql: string, url = serverUrl()): Promise<T[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<T>(sql)).rows;
  } finally {
    await client.end();
  }
}

/** What a program must be told of the way to its database. */
export const poolerEnvironment = (): NodeJS.ProcessEnv =>
  process.env.TEST_POOLER ? { DATABASE_TRANSACTION_POOLER: 'true' } : {};

export interface TestDatabase {
  /** Through the pooler, where the tests run through one. */
  readonly url: string;
  /** Of the server itself. */
  readonly directUrl: string;
  drop(): Promise<void>;
}

/** A name for a database or a role, which is removed after the run of Jest at the latest. */
export const ownName = (): string => `${setting('TEST_PREFIX')}_${randomBytes(6).toString('hex')}`;

/** A database of its own: a copy of the migrated template, or an empty one. */
export async function createDatabase(content: 'migrated' | 'empty' = 'migrated'): Promise<TestDatabase> {
  const name = ownName();
  const template = content === 'migrated' ? setting('TEST_TEMPLATE') : 'template0';
  await administer(`CREATE DATABASE ${name} TEMPLATE ${template} ENCODING 'UTF8'`);
  const url = new URL(serverUrl());
  url.pathname = `/${name}`;
  const directUrl = url.href;
  if (process.env.TEST_POOLER) {
    url.host = process.env.TEST_POOLER;
    // A session is not ours to set then, so the database gives these, as the README says.
    for (const [timeout, milliseconds] of Object.entries(SESSION_TIMEOUTS))
      await administer(`ALTER DATABASE ${name} SET ${timeout} = ${String(milliseconds)}`);
  }
  return {
    url: url.href,
    directUrl,
    drop: ending(() => administer(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)),
  };
}

import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { openEmbeddedPostgres } from '../../dist/src/embedded-postgres/open-embedded-postgres.js';
import { runMigrations } from '../../dist/src/database/run-migrations.js';
import { startPgBouncer } from './pgbouncer.js';
import openRunDirectory from './run-directory.js';

/*
 * One PostgreSQL server for all suites, our own unless TEST_DATABASE_URL names another, and on it
 * one template database made by the migrations. Every suite works on a copy of that; with
 * TEST_PGBOUNCER=true it reaches the copy through PgBouncer in transaction mode. What ends and
 * removes all of it is `clean-up.js`.
 *
 * In JavaScript, since Jest loads this file without its transformer; it runs what `npm run build`
 * made.
 */
export default async function globalSetup() {
  openRunDirectory();
  const server = process.env.TEST_DATABASE_URL || (await startServer());
  const template = process.env.TEST_PREFIX;
  await administer(server, `CREATE DATABASE ${template} TEMPLATE template0 ENCODING 'UTF8'`);
  const url = new URL(server);
  url.pathname = `/${template}`;
  await runMigrations(url.href);
  process.env.TEST_SERVER_URL = server;
  process.env.TEST_TEMPLATE = template;
  if (process.env.TEST_PGBOUNCER === 'true') process.env.TEST_POOLER = await startPgBouncer(server);
}

async function startServer() {
  const dataDir = join(process.env.TEST_RUN_DIRECTORY, 'postgres');
  mkdirSync(dataDir);
  chmodSync(dataDir, 0o755);
  const { url } = await openEmbeddedPostgres({ dataDir, owner: true, log: () => undefined });
  // It need not outlive a power cut, and a slow disk must not push the tests into the time-outs.
  await administer(url, 'ALTER SYSTEM SET fsync = off');
  await administer(url, 'SELECT pg_reload_conf()');
  return url;
}

async function administer(server, sql) {
  const client = new pg.Client({ connectionString: server });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

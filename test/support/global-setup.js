import { randomBytes } from 'node:crypto';
import { mkdtempSync, chmodSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { openEmbeddedPostgres } from '../../dist/src/database/embedded/open-embedded-postgres.js';
import { runMigrations } from '../../dist/src/database/run-migrations.js';
import { startPgBouncer } from './pgbouncer.js';

/*
 * One PostgreSQL server for all suites, our own unless TEST_DATABASE_URL names another, and on it one template database
 * made by the migrations. Every suite works on a copy of that; with TEST_PGBOUNCER=true it reaches the copy through PgBouncer
 * in transaction mode.
 *
 * In JavaScript, since Jest loads this file without its transformer; it runs what `npm run build` made.
 */
export default async function globalSetup() {
  const server = process.env.TEST_DATABASE_URL || (await startServer());
  const template = `users_api_test_${randomBytes(6).toString('hex')}`;
  await administer(server, `CREATE DATABASE ${template} TEMPLATE template0 ENCODING 'UTF8'`);
  const url = new URL(server);
  url.pathname = `/${template}`;
  await runMigrations(url.href);
  process.env.TEST_SERVER_URL = server;
  process.env.TEST_TEMPLATE = template;
  if (process.env.TEST_PGBOUNCER === 'true') process.env.TEST_POOLER = await startPgBouncer(server);
}

async function startServer() {
  const dataDir = mkdtempSync(join(tmpdir(), 'users-api-test-'));
  chmodSync(dataDir, 0o755);
  const { url } = await openEmbeddedPostgres({ dataDir, owner: true, log: () => undefined });
  process.once('exit', () => rmSync(dataDir, { recursive: true, force: true }));
  // It need not outlive a power cut, and a slow disk must not push the tests into the time-outs.
  await administer(url, 'ALTER SYSTEM SET fsync = off');
  await administer(url, 'SELECT pg_reload_conf()');
  return url;
}

export async function administer(server, sql) {
  const client = new pg.Client({ connectionString: server });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

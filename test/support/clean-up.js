/*
 * Runs beside Jest, in a session of its own, and ends with it: when its standard input closes, it
 * ends the processes that tests have noted and not ended, then PostgreSQL servers below the
 * directory of the run, and removes that directory and the databases of the run. So nothing is left
 * of tests that time out, of an interrupted run or of one that was killed.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

/**
 * Where our embedded server puts the data of a directory that PostgreSQL's account cannot enter.
 */
const SYSTEM_STATE_DIR = '/var/lib/users-api';
const PATIENCE_MS = 10_000;

const [directory] = process.argv.slice(2);
process.stdin.resume();
await once(process.stdin, 'close');

for (const pid of readdirSync(join(directory, 'processes'))) signal(-Number(pid), 'SIGKILL');
const directories = [directory, ...directoriesElsewhere()];
await Promise.all(directories.flatMap(dataDirectoriesIn).map(endServer));
for (const path of directories) rmSync(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
if (process.env.TEST_DATABASE_URL) await dropDatabases(process.env.TEST_DATABASE_URL);

function signal(pid, name) {
  try {
    process.kill(pid, name);
    return true;
  } catch {
    return false; // it has ended
  }
}

function directoriesElsewhere() {
  const names = readdirSync(directory).filter((name) => name.startsWith('users-api-test-'));
  const candidates = existsSync(SYSTEM_STATE_DIR) ? readdirSync(SYSTEM_STATE_DIR) : [];
  return candidates
    .filter((candidate) => names.some((name) => candidate.startsWith(`${name}-`)))
    .map((candidate) => join(SYSTEM_STATE_DIR, candidate));
}

function dataDirectoriesIn(path) {
  return readdirSync(path, { recursive: true })
    .filter((file) => basename(file) === 'postmaster.pid')
    .map((file) => dirname(join(path, file)));
}

async function endServer(dataDirectory) {
  const pid = Number(readFileSync(join(dataDirectory, 'postmaster.pid'), 'utf8').split('\n')[0]);
  const until = Date.now() + PATIENCE_MS;
  while (isServer(pid, dataDirectory) && signal(pid, Date.now() < until ? 'SIGQUIT' : 'SIGKILL')) await sleep(50);
}

/**
 * A server that was killed leaves its file behind, and its number may be another process's by now.
 */
function isServer(pid, dataDirectory) {
  try {
    return execFileSync('ps', ['-o', 'args=', '-p', String(pid)], { encoding: 'utf8' }).includes(dataDirectory);
  } catch {
    return false;
  }
}

async function dropDatabases(server) {
  const client = new pg.Client({ connectionString: server });
  await client.connect();
  const prefix = process.env.TEST_PREFIX;
  const { rows: databases } = await client.query(
    'SELECT quote_ident(datname) AS name FROM pg_database WHERE starts_with(datname, $1)',
    [prefix],
  );
  for (const { name } of databases) await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
  const { rows: roles } = await client.query(
    'SELECT quote_ident(rolname) AS name FROM pg_roles WHERE starts_with(rolname, $1)',
    [prefix],
  );
  for (const { name } of roles) await client.query(`DROP ROLE IF EXISTS ${name}`);
  await client.end();
}

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const CLEAN_UP = fileURLToPath(new URL('clean-up.js', import.meta.url));

/**
 * Makes the directory of one run of Jest, where tests put their files and note their processes, and
 * starts the program that ends and removes all of it once Jest has ended, however it has ended. A
 * global setup of Jest by itself, for tests that need no database of ours.
 *
 * TEST_RUN_DIRECTORY is its path, and with TEST_PREFIX begin the names of the databases and roles
 * of the run.
 */
export default function openRunDirectory() {
  process.env.TEST_PREFIX = `users_api_test_${randomBytes(6).toString('hex')}`;
  const directory = mkdtempSync(join(tmpdir(), 'users-api-test-'));
  chmodSync(directory, 0o755); // PostgreSQL runs in there as another user where we are root
  mkdirSync(join(directory, 'processes'));
  const cleanUp = spawn(process.execPath, [CLEAN_UP, directory], {
    detached: true, // a terminal interrupts all of our session
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  cleanUp.unref();
  cleanUp.stdin.unref();
  process.env.TEST_RUN_DIRECTORY = directory;
}

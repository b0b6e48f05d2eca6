import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/*
 * Compiles src and migrations into dist, and bundles the application. With --if-changed, only if an
 * input has changed since the last build: contents are compared, since `git checkout` and copies
 * change modification times.
 */

const STAMP = 'dist/sources.sha256'; // nest build empties dist first, so a build that fails leaves none
const INPUTS = [
  ...['src', 'migrations'],
  ...['build.js', 'esbuild.config.js', 'nest-cli.json', 'package.json', 'tsconfig.json', 'tsconfig.build.json'],
  'node_modules/.package-lock.json', // the installed packages: the bundle contains parts of them
];

function digest() {
  const hash = createHash('sha256');
  const files = INPUTS.flatMap((input) =>
    input.includes('.')
      ? [input]
      : readdirSync(input, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map((entry) => join(entry.parentPath, entry.name)),
  );
  for (const file of files.filter(existsSync).sort()) {
    const content = readFileSync(file);
    hash.update(`${file}\0${String(content.length)}\0`).update(content);
  }
  return hash.digest('hex');
}

const sources = digest(); // before the build: changes made during it are built next time
const isBuilt = existsSync('dist/app/main.js') && existsSync(STAMP) && readFileSync(STAMP, 'utf8') === sources;
if (!isBuilt || !process.argv.includes('--if-changed')) {
  const { status } = spawnSync('nest build', { shell: true, stdio: 'inherit' });
  if (status !== 0) process.exit(1);
  await import('./esbuild.config.js');
  writeFileSync(STAMP, sources);
}

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/** A built version of the server, as `npm run start:prod` runs it. */
export interface Version {
  readonly program: string;
  readonly flags: readonly string[];
}

/** The version in a directory, with the flags of the start script in its package.json. */
export function versionIn(directory: string): Version {
  const { scripts } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const words = (scripts['start:prod'] ?? '').split(' ').slice(2); // after `exec node`
  return { program: resolve(directory, words.at(-1) ?? ''), flags: words.slice(0, -1) };
}

/**
 * Checks out a revision of this repository into a temporary directory and builds it there. The
 * directory is removed when the process exits.
 *
 * @param revision anything that `git rev-parse` takes
 */
export function buildRevision(revision: string): Version {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'users-api-revision-')));
  const git = (...words: string[]): void => {
    execFileSync('git', words, { stdio: ['ignore', 'ignore', 'inherit'] });
  };
  git('worktree', 'add', '--detach', '--force', directory, revision);
  process.once('exit', () => {
    git('worktree', 'remove', '--force', directory);
    rmSync(directory, { recursive: true, force: true });
  });

  const npm = (...words: string[]): void => {
    execFileSync('npm', words, { cwd: directory, stdio: ['ignore', 'ignore', 'inherit'] });
  };
  const hasSamePackages = readFileSync('package-lock.json').equals(readFileSync(join(directory, 'package-lock.json')));
  if (hasSamePackages) symlinkSync(resolve('node_modules'), join(directory, 'node_modules'));
  else npm('ci');
  npm('run', 'build');
  return versionIn(directory);
}

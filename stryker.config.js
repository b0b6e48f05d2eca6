import { join } from 'node:path';
import jestConfig from './jest.config.js';

/*
 * `npm run test:mutation`: Stryker changes one expression after the other in the modules that are
 * listed here, and runs the unit tests of the module. docs/testing.md explains the purpose.
 *
 * `common/time-limits.ts` is not listed: it contains numbers, which Stryker does not change, and
 * assertions about them, whose removal changes no value.
 */

const { projects, testTimeout } = jestConfig;
const unit = projects.find(({ displayName }) => displayName === 'unit');
const support = join(import.meta.dirname, 'test/mutation');

/** @type {import('@stryker-mutator/api/core').PartialStrykerOptions} */
export default {
  mutate: [
    'src/users/user-name.ts',
    'src/common/api-key-format.ts',
    'src/api-keys/{key-limits,rate-limit-rules}.ts',
    'src/common/http/{json-object,entity-tag,public-url,caller-address}.ts',
    'src/common/pagination/cursor.ts',
    'src/database/{statement-batcher,serial-queue,rows,message-lengths}.ts',
    'src/common/errors/{error-reply,database-unavailable}.ts',
    'src/config/{app.config,one-server,misspelled-variables}.ts',
    'src/common/time-ordered-uuid.ts',
    'src/common/validation/{date,email,instant.decorator,period,uuid,version}.ts',
    'src/cli/{integer,visible,import-rows}.ts',
  ],
  testRunner: 'jest',
  testRunnerNodeArgs: ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'],
  jest: {
    projectType: 'custom',
    config: {
      ...unit,
      testTimeout,
      setupFiles: [join(support, 'no-shrinking.js')],
      testEnvironment: join(support, 'first-failure.environment.js'),
      testSequencer: join(support, 'own-specs.sequencer.js'),
    },
  },
  plugins: ['@stryker-mutator/jest-runner'],
  coverageAnalysis: 'perTest',
  concurrency: 1,
  // Excludes jest.config.js, because the copy does not contain its other projects.
  ignorePatterns: ['/jest.config.js', '/.data', '/dist', '/coverage'],
  tempDirName: '.data/mutation/copies',
  reporters: ['clear-text', 'dots', 'html'],
  htmlReporter: { fileName: '.data/mutation/report.html' },
  clearTextReporter: { allowColor: false, logTests: false, reportTests: false },
  warnings: { slow: false },
  thresholds: { high: 100, low: 95, break: 95 },
};

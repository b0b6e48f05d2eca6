import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

describe('The faults of test/mutants', () => {
  it('can all be made in the files as they are, and name tests that exist', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, ['test/mutants/run.js', '--check']);

    expect(stdout).toMatch(/^\d{2,} faults can be made\n$/);
  });
});

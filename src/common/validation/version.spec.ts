import { isVersion } from './version.js';

describe('isVersion', () => {
  it.each(['1', '10', '9'.repeat(18)])('takes %j', (value) => {
    expect(isVersion(value)).toBe(true);
  });

  it.each(['', '0', '01', '-1', '+1', '1.0', '1 ', ' 1', 'x1', '1\n', '9'.repeat(19), '१', 1, 1n, null, ['1']])(
    'refuses %p',
    (value) => {
      expect(isVersion(value)).toBe(false);
    },
  );
});

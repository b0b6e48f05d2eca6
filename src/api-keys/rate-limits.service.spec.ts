import { addressOf } from '../common/http/caller-address.js';
import { rateLimitAddress } from './rate-limits.service.js';

describe('rateLimitAddress', () => {
  it.each([
    ['203.0.113.7', '203.0.113.7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['2001:db8:1:2::1', '2001:db8:1:2'],
    ['2001:db8:1:2:ffff:ffff:ffff:ffff', '2001:db8:1:2'],
    ['2001:db8:1:3::1', '2001:db8:1:3'],
    ['::1', '0:0:0:0'],
    ['unix socket', ''],
  ])('%s is one with %s', (address, subscriber) => {
    expect(rateLimitAddress(addressOf(address) ?? '')).toBe(subscriber);
  });
});

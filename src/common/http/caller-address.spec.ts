import type { Request } from 'express';
import { callerAddress } from './caller-address.js';

describe('callerAddress', () => {
  it.each([
    ['203.0.113.10', '203.0.113.10'],
    ['203.0.113.10:40001', '203.0.113.10'],
    ['::ffff:203.0.113.10', '203.0.113.10'],
    ['2001:db8::1', '2001:db8::1'],
    ['[2001:db8::1]:40001', '2001:db8::1'],
    ['[2001:db8::1]', '2001:db8::1'],
    ['::1', '::1'],
    ['fe80::1%eth0', 'fe80::1'],
    [`fe80::1%${'any-text'.repeat(1_000)}`, 'fe80::1'],
    ['%eth0', undefined],
    ['unknown', undefined],
    ['203.0.113.10:nonsense', undefined],
    ['203.0.113.999', undefined],
    ['[203.0.113.10]x', undefined],
    [`203.0.113.10 ${'x'.repeat(10_000)}`, undefined],
    ['', undefined],
    [undefined, undefined],
  ])('of %p is %p', (ip, address) => {
    expect(callerAddress({ ip } as Request)).toBe(address);
  });
});

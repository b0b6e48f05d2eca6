import { isIP } from 'node:net';
import fc from 'fast-check';
import { addressOf, callerAddress } from './caller-address.js';

const ipv6 = '2001:db8:0:0:0:0:0:1';

describe('addressOf', () => {
  it.each([
    ['203.0.113.10', '203.0.113.10'],
    ['203.0.113.10:40001', '203.0.113.10'],
    ['::ffff:203.0.113.10', '203.0.113.10'],
    ['[::ffff:203.0.113.10]:40001', '203.0.113.10'],
    ['2001:db8::1', ipv6],
    ['2001:DB8::1', ipv6],
    ['[2001:db8::1]', ipv6],
    ['[2001:db8::1]:40001', ipv6],
    ['2001:db8::1%eth0', ipv6],
    ['::1.2.3.4', '0:0:0:0:0:0:102:304'],
    ['[2001:db8::1%25eth0]:40001', ipv6],
  ])('reads %s as %s', (text, address) => {
    expect(addressOf(text)).toBe(address);
  });

  it.each([
    ...[
      '',
      'unknown',
      '_hidden',
      'localhost',
      '127.1',
      '2130706433',
      '0x7f000001',
      '010.0.0.1',
      '1.2.3.4:',
      '1.2.3.4:x',
    ],
    ...['1.2.3.4:100000', '[1.2.3.4', '2001:db8::1]:1', '%eth0', '1.2.3.4, 5.6.7.8', ' 1.2.3.4', '1.2.3.4\n', ':1'],
    'x'.repeat(100_000),
  ])('finds no address in %j', (text) => {
    expect(addressOf(text)).toBeUndefined();
  });

  it('returns a normalized address of at most 39 characters, or undefined, for any text', () => {
    const address = fc.oneof(fc.ipV4(), fc.ipV4Extended(), fc.ipV6());
    const port = fc.nat(65_535).map((number) => `:${String(number)}`);
    const written = fc.oneof(
      address,
      fc.tuple(address, port).map((parts) => parts.join('')),
      fc.tuple(address, port).map(([host, suffix]) => `[${host}]${suffix}`),
      fc.string(),
    );
    fc.assert(
      fc.property(written, (text) => {
        const found = addressOf(text);
        fc.pre(found !== undefined);
        expect(isIP(found)).toBeGreaterThan(0);
        expect(found.length).toBeLessThanOrEqual(39);
        expect(addressOf(found)).toBe(found);
      }),
    );
  });
});

describe('callerAddress', () => {
  const socket = { remoteAddress: '::ffff:192.0.2.1' };

  it.each([
    [{ ip: '203.0.113.10:40001', address: '203.0.113.11', socket }, '203.0.113.10'],
    [{ address: '203.0.113.11', socket }, '203.0.113.11'],
    [{ ip: 'unknown', address: '203.0.113.11', socket }, '192.0.2.1'],
    [{ socket }, '192.0.2.1'],
    [{ socket: {} }, ''],
    [{}, ''],
  ])('of %j is %j', (caller, address) => {
    expect(callerAddress(caller)).toBe(address);
  });
});

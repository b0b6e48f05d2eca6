import type { Request } from 'express';
import { PUBLIC_URL_SETTING, publicBaseOf } from './public-url.js';

const baseOf = (prefix: unknown, settings: Record<string, unknown> = {}): string =>
  publicBaseOf({
    app: { get: (name: string) => ({ 'trust proxy fn': () => true, ...settings })[name] },
    headers: { 'x-forwarded-prefix': prefix },
    socket: {},
  } as unknown as Request);

describe('publicBaseOf', () => {
  it.each([
    ['/accounts', '/accounts'],
    ['/accounts/', '/accounts'],
    ['/a/b-c_d.e~f', '/a/b-c_d.e~f'],
    ['/..a', '/..a'],
  ])('is the prefix %s of a trusted proxy', (prefix, base) => {
    expect(baseOf(prefix)).toBe(base);
  });

  // The first ones lead to another host, the others out of the prefix, or end a header field.
  it.each([
    '//evil.example',
    '/\\evil.example',
    'https://evil.example',
    'evil.example',
    '/a//evil.example',
    '/..',
    '/a/../b',
    '/./a',
    '/%2e%2e',
    '/a%0d%0aSet-Cookie:x',
    '/a\r\nSet-Cookie: x',
    '/a?b',
    '/a#b',
    '/a, /b',
    '/a b',
    '/ä',
    '/',
    '',
    undefined,
    ['/a', '/b'],
  ])('is empty for the prefix %j', (prefix) => {
    expect(baseOf(prefix)).toBe('');
  });

  it('asks whether the peer of the connection is trusted, as the first hop', () => {
    const asked: unknown[] = [];
    const settings = { 'trust proxy fn': (...hop: unknown[]): boolean => asked.push(hop) > 0 };
    const request = (remoteAddress?: string): Request =>
      ({
        app: { get: (name: string) => settings[name as keyof typeof settings] },
        headers: { 'x-forwarded-prefix': '/a' },
        socket: { remoteAddress },
      }) as unknown as Request;

    expect([publicBaseOf(request('192.0.2.1')), publicBaseOf(request())]).toEqual(['/a', '/a']);
    expect(asked).toEqual([
      ['192.0.2.1', 0],
      ['', 0], // a Unix socket
    ]);
  });

  it('is empty for a prefix of a sender that is not trusted', () => {
    expect(baseOf('/accounts', { 'trust proxy fn': () => false })).toBe('');
  });

  it('is PUBLIC_URL, whatever prefix a proxy sends', () => {
    expect(baseOf('/other', { [PUBLIC_URL_SETTING]: 'https://api.example.com/accounts' })).toBe(
      'https://api.example.com/accounts',
    );
  });
});

import type { HttpAdapterHost } from '@nestjs/core';
import { refuseOtherAdapters } from './host-application.js';

describe('refuseOtherAdapters', () => {
  const hostOf = (type?: string): HttpAdapterHost =>
    ({ httpAdapter: type === undefined ? undefined : { getType: () => type } }) as unknown as HttpAdapterHost;

  it.each(['express', '', undefined])('accepts Express, and an application without HTTP: %s', (type) => {
    expect(() => {
      refuseOtherAdapters(hostOf(type));
    }).not.toThrow();
  });

  it('refuses Fastify in one sentence with the remedy', () => {
    expect(() => {
      refuseOtherAdapters(hostOf('fastify'));
    }).toThrow(
      /^UsersApiModule needs Express, and this application uses fastify: create it with the default adapter, @nestjs\/platform-express\.$/,
    );
  });
});

import { HttpException, NotFoundException } from '@nestjs/common';
import { QueryFailedError } from 'typeorm';
import { InvalidApiKeyError } from '../../api-keys/api-keys.errors.js';
import { MethodNotAllowedError } from '../http/route-miss.js';
import { generateApiKey } from '../api-key-format.js';
import { DomainError, type ErrorKind, STATUS_OF } from './domain.error.js';
import { toErrorReply } from './error-reply.js';

const failed = (fields: object): QueryFailedError =>
  new QueryFailedError('SELECT secret', ['secret'], Object.assign(new Error('secret'), fields));

describe('toErrorReply', () => {
  it.each(Object.entries(STATUS_OF) as [ErrorKind, number][])(
    'answers a domain error of kind %s with %i and its own message',
    (kind, status) => {
      class SomeError extends DomainError {
        readonly kind = kind;
      }

      expect(toErrorReply(new SomeError('some message')).body).toEqual({ status, message: 'some message' });
    },
  );

  it('tells how to authenticate with a 401, what is allowed with a 405, and that nothing of it may be cached', () => {
    expect(toErrorReply(new InvalidApiKeyError()).headers).toMatchObject({
      'WWW-Authenticate': expect.stringMatching(/^ApiKey /),
      'Cache-Control': 'no-store',
    });
    expect(toErrorReply(new MethodNotAllowedError(['GET', 'HEAD'])).headers).toMatchObject({ Allow: 'GET, HEAD' });
  });

  it('names the media types with a 415, and lets an error add headers of its own', () => {
    class MediaTypeError extends DomainError {
      readonly kind = 'unsupported_media_type';
    }
    class ClosingError extends DomainError {
      readonly kind = 'unavailable';
      readonly headers = { 'Retry-After': '9', Connection: 'close' };
    }

    expect(toErrorReply(new MediaTypeError('x')).headers).toEqual({
      'Accept-Patch': 'application/json, application/merge-patch+json',
      'Cache-Control': 'no-store',
    });
    expect(toErrorReply(new ClosingError('x')).headers).toEqual({
      'Retry-After': '9',
      Connection: 'close',
      'Cache-Control': 'no-store',
    });
    expect(toErrorReply(new InvalidApiKeyError()).headers).toEqual({
      'WWW-Authenticate': 'ApiKey realm="users-api", header="x-api-key"',
      'Cache-Control': 'no-store',
    });
  });

  it.each([
    [399, 500, 'Internal server error'],
    [400, 400, 'Bad Request'],
    [451, 451, 'Unavailable For Legal Reasons'],
    [499, 499, 'Error'], // a status without a reason phrase
    [500, 500, 'Internal server error'],
    ['404', 500, 'Internal server error'],
  ])('maps the status %p of a library error to %i', (status, expected, message) => {
    expect(toErrorReply({ status })).toEqual({
      body: { status: expected, message },
      headers: { 'Cache-Control': 'no-store' },
    });
  });

  it('hides keys in messages', () => {
    class EchoError extends DomainError {
      readonly kind = 'invalid';
    }

    expect(toErrorReply(new EchoError(`no ${generateApiKey()} here`)).body.message).toBe('no ua_[redacted] here');
  });

  it.each([
    ['a library error with a status', Object.assign(new Error('/secret?x'), { status: 400 }), 400, 'Bad Request'],
    ['an HttpException', new HttpException('secret', 418), 418, "I'm a Teapot"],
    ['a not-found of Nest', new NotFoundException('Cannot GET /secret'), 404, 'Not Found'],
    ['a server error of a library', Object.assign(new Error('secret'), { status: 503 }), 500, 'Internal server error'],
    ['an unknown error', new Error('secret'), 500, 'Internal server error'],
    ['a statement that is wrong', failed({ code: '42601' }), 500, 'Internal server error'],
    ['a constraint that no code handles', failed({ code: '23505' }), 500, 'Internal server error'],
    ['nothing at all', undefined, 500, 'Internal server error'],
    ['a text', 'secret', 500, 'Internal server error'],
  ])('does not repeat the text of %s', (_, error, status, message) => {
    expect(toErrorReply(error).body).toEqual({ status, message });
  });

  it.each([
    ['refused', Object.assign(new Error('connect'), { code: 'ECONNREFUSED', syscall: 'connect' })],
    ['refused at every address', new AggregateError([Object.assign(new Error(), { code: 'ECONNREFUSED' })])],
    ['its socket file is missing', Object.assign(new Error(), { code: 'ENOENT', syscall: 'connect' })],
    ['the pool is full', new Error('timeout exceeded when trying to connect')],
    ['cut off', new Error('Connection terminated unexpectedly')],
    ['silent', failed({ message: 'Query read timeout' })],
    ['too slow', failed({ code: '57014' })],
    ['shutting down', failed({ code: '57P01' })],
    ['starting up', failed({ code: '57P03' })],
    ['out of connections', failed({ code: '53300' })],
    ['read-only', failed({ code: '25006' })],
    ['refusing our password', failed({ code: '28P01' })],
  ])('answers 503 with Retry-After while the database is %s', (_, error) => {
    expect(toErrorReply(error)).toEqual({
      body: { status: 503, message: 'The service is temporarily unavailable' },
      headers: { 'Retry-After': '1', 'Cache-Control': 'no-store' },
    });
  });

  it('does not mistake a missing file for a missing database', () => {
    expect(toErrorReply(Object.assign(new Error(), { code: 'ENOENT', syscall: 'open' })).body.status).toBe(500);
  });
});

import type { ArgumentsHost } from '@nestjs/common';
import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host.js';
import { DomainError } from './domain.error.js';
import { DomainErrorFilter, ErrorFilter } from './error.filter.js';

class NoSuchReportError extends DomainError {
  readonly kind = 'not_found';
}

class NoReportTitleError extends DomainError {
  readonly kind = 'invalid';
}

const REFUSED = new NoSuchReportError('There is no such report');

function hostOf(client: object, type: string): ArgumentsHost {
  const host = new ExecutionContextHost([client, 'data']);
  host.setType(type);
  return host;
}

describe('ErrorFilter outside of HTTP', () => {
  it('sends our error to a client of Socket.IO as the event exception', () => {
    const sent: unknown[] = [];
    const client = { emit: (...message: unknown[]) => sent.push(message) };

    new DomainErrorFilter().catch(REFUSED, hostOf(client, 'ws'));

    expect(sent).toEqual([['exception', { status: 404, message: 'There is no such report' }]]);
  });

  it('sends it to a client of ws, whose emit is local, as a text', () => {
    const sent: unknown[] = [];
    const client = { readyState: 1, emit: () => sent.push('emitted'), send: (text: string) => sent.push(text) };

    new DomainErrorFilter().catch(REFUSED, hostOf(client, 'ws'));

    expect(sent).toEqual(['{"event":"exception","data":{"status":404,"message":"There is no such report"}}']);
  });

  it.each<[string, unknown]>([
    ['graphql', REFUSED],
    ['rpc', REFUSED],
    ['ws', new Error("the host's own")],
  ])('rethrows an error of %s that it does not handle', (type, thrown) => {
    expect(() => {
      new ErrorFilter().catch(thrown, hostOf({}, type));
    }).toThrow(thrown as Error);
  });

  it('gives GraphQL the codes that Nest gives its own exceptions', () => {
    expect(REFUSED.extensions).toEqual({ code: 'NOT_FOUND', status: 404 });
    expect(new NoReportTitleError('').extensions).toEqual({ code: 'BAD_REQUEST', status: 400 });
  });
});

import { readFileSync } from 'node:fs';
import { QueryFailedError, QueryRunnerAlreadyReleasedError, QueryRunnerProviderAlreadyReleasedError } from 'typeorm';
import { DatabaseBusyError } from '../../database/bounded-pool.js';
import { ReadOnlyDatabaseError, StoppingError } from '../../health/health.errors.js';
import {
  DATABASE_FAILURES,
  type DatabaseFailure,
  databaseFailureOf,
  DatabaseUnreachableError,
  isDatabaseUnavailable,
  UnreadableDatabaseError,
} from './database-unavailable.js';

const sql = (code: string): QueryFailedError =>
  new QueryFailedError('SELECT', [], Object.assign(new Error('said by the server'), { code }));
const fatal = (severity: string): QueryFailedError =>
  new QueryFailedError('SELECT', [], Object.assign(new Error('said by the server'), { code: '99999', severity }));
const system = (code: string, syscall = 'connect'): Error => Object.assign(new Error(), { code, syscall });

/**
 * Messages of `pg`, its pool and TypeORM that are identified by their whole text, and by its
 * beginning.
 */
const WHOLE_MESSAGES: readonly (readonly [DatabaseFailure, string])[] = [
  ['unreachable', 'The server does not support SSL connections'],
  ['busy', 'timeout exceeded when trying to connect'],
  ['timeout', 'Query read timeout'],
  ['timeout', 'The database did not answer in time'],
  ['unreachable', 'Client was closed and is not queryable'],
  ['unreachable', 'Cannot use a pool after calling end on the pool'],
];
const BEGINNINGS: readonly (readonly [DatabaseFailure, string])[] = [
  ['unreachable', 'Connection terminated'],
  ['unreachable', 'Client has encountered a connection error'],
  ['unreadable', 'received invalid response'],
  ['unreadable', 'Received unexpected dataRow message from backend'],
  ['unreachable', 'Query runner already released'],
  ['unreachable', 'Database connection provided by a query runner was already released'],
];

const UNREACHABLE = [
  ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'EAI_AGAIN'],
  'ENOENT',
];

const FAILURES: readonly (readonly [DatabaseFailure, unknown])[] = [
  ['full', sql('53100')],
  ['full', new DatabaseUnreachableError(sql('53100'))],
  ['out_of_connections', sql('53300')],
  ['out_of_connections', new DatabaseUnreachableError(Object.assign(new Error(), { code: '53300' }))],
  ['out_of_resources', sql('53200')],
  ['out_of_resources', sql('53400')],
  ['read_only', sql('25006')],
  ['unreachable', sql('08006')],
  ...UNREACHABLE.map((code) => ['unreachable', system(code)] as const),
  ['unreachable', new AggregateError([system('ECONNREFUSED'), system('ENETUNREACH')])],
  ['unreachable', new AggregateError([new Error('a bug'), system('ENETUNREACH')])],
  ['unreachable', Object.assign(new Error('failed'), { driverError: new Error('Connection terminated') })],
  ['unreachable', new Error('Connection terminated unexpectedly')],
  ['unreachable', new DatabaseUnreachableError(new Error('self-signed certificate'))],
  ['not_serving', sql('57P01')],
  ['not_serving', sql('57P02')],
  ['not_serving', sql('57P03')],
  ['not_serving', sql('55000')],
  ['not_serving', fatal('FATAL')],
  ['not_serving', fatal('PANIC')],
  ['not_allowed', sql('42501')],
  ['internal_error', sql('XX000')],
  ['unreadable', new UnreadableDatabaseError(new Error('Unknown authenticationOk message type 7'))],
  ['unreadable', new Error('received invalid response: 58')],
  ['unreadable', new Error('Received unexpected dataRow message from backend.')],
  ['unreachable', new QueryRunnerAlreadyReleasedError()],
  ['unreachable', new QueryRunnerProviderAlreadyReleasedError()],
  ['refused_credentials', sql('28P01')],
  ['missing', sql('3D000')],
  ['missing', sql('57P04')],
  ['unreachable', sql('57P05')],
  ['system_error', sql('58030')],
  ['timeout', sql('57014')],
  ['timeout', sql('25P03')],
  ['timeout', sql('25P04')],
  ['timeout', new DatabaseUnreachableError(new Error('The database did not answer in time'), 'timeout')],
  ['lock_timeout', sql('55P03')],
  ['conflict', sql('40001')],
  ['conflict', sql('40P01')],
  ...[...WHOLE_MESSAGES, ...BEGINNINGS].map(([failure, message]) => [failure, new Error(message)] as const),
];

const OTHERS: readonly unknown[] = [
  sql('42601'),
  sql('XX001'),
  fatal('ERROR'),
  sql('23505'),
  sql('5'),
  sql('constructor'),
  system('ENOENT', 'open'),
  new AggregateError([new Error('a bug')]),
  new Error('a bug'),
  ...WHOLE_MESSAGES.flatMap(([, message]) => [new Error(`not: ${message}`), new Error(`${message}: no`)]),
  ...BEGINNINGS.map(([, message]) => new Error(`not: ${message}`)),
  { message: ['Query read timeout'] },
  new StoppingError(),
  'text',
  null,
  undefined,
];

describe('databaseFailureOf', () => {
  it.each(FAILURES)('is %s for %p, and the database is unavailable', (failure, error) => {
    expect(databaseFailureOf(error)).toBe(failure);
    expect(isDatabaseUnavailable(error)).toBe(true);
  });

  it('is found for an error that is its own cause', () => {
    const error: Error & { driverError?: unknown } = Object.assign(new Error(), { code: '53100' });
    error.driverError = error;

    expect(databaseFailureOf(error)).toBe('full');
  });

  it('is stated by refusals of the application, which do not mean that the database is unavailable', () => {
    expect(databaseFailureOf(new DatabaseBusyError())).toBe('busy');
    expect(databaseFailureOf(new ReadOnlyDatabaseError())).toBe('read_only');
    expect(isDatabaseUnavailable(new DatabaseBusyError())).toBe(false);
  });

  it('is null for an error that the database did not cause', () => {
    for (const error of OTHERS) expect([databaseFailureOf(error), isDatabaseUnavailable(error)]).toEqual([null, false]);
  });

  it('is not revealed to callers', () => {
    expect(new DatabaseUnreachableError(sql('53100'))).toMatchObject({
      kind: 'unavailable',
      message: 'The service is temporarily unavailable',
    });
  });

  it('has the reasons that docs/operations.md explains', () => {
    const [, section = ''] =
      /### Failures of the database\n(.*?)\n#/s.exec(readFileSync('docs/operations.md', 'utf8')) ?? [];
    const explained = [...section.matchAll(/^\| `(\w+)` +\|/gm)].map(([, reason]) => reason);

    expect(explained.slice(1)).toEqual(Object.keys(DATABASE_FAILURES)); // without the header of the table
  });

  it('has at least one error for each reason', () => {
    expect(new Set(FAILURES.map(([failure]) => failure))).toEqual(new Set(Object.keys(DATABASE_FAILURES)));
  });
});

import type { LoggerService } from '@nestjs/common';
import { type DestinationStream, type Logger, pino, stdSerializers } from 'pino';
import { isDatabaseUnavailable } from '../errors/database-unavailable.js';
import { DomainError } from '../errors/domain.error.js';
import { redactKeys } from '../api-key-format.js';

export interface LogSettings {
  readonly level: string;
  /** Lines for people instead of JSON. */
  readonly pretty: boolean;
}

/**
 * Lines are buffered and written together: a system call for each line would cost a tenth of a
 * request. The buffer is also written when the process exits, unless it is killed.
 */
const BUFFER_BYTES = 8 * 1024;
const FLUSH_EVERY_MS = 100;

/**
 * The one log of the process: JSON lines on stdout, or on stderr for the command line, whose stdout
 * is for its results. Every line passes `redactKeys`, so that a key in the message of a library is
 * not stored.
 */
export async function createLogger({ level, pretty }: LogSettings, fd: 1 | 2 = 1): Promise<Logger> {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: describeError },
    hooks: { streamWrite: redactKeys },
  };
  return pino(
    options,
    pretty
      ? await prettyStream(fd)
      : pino.destination({ fd, sync: false, minLength: BUFFER_BYTES, periodicFlush: FLUSH_EVERY_MS }),
  );
}

async function prettyStream(fd: 1 | 2): Promise<DestinationStream> {
  const { default: pretty } = await import('pino-pretty');
  return pretty({
    destination: fd,
    sync: true,
    ignore: 'context',
    messageFormat: '{if context}[{context}] {end}{msg}',
  });
}

/**
 * Describes an error by its type, codes, message and stack. Its other fields contain SQL,
 * parameters and connection settings, which must not be logged.
 */
function describeError(error: unknown): object {
  if (!(error instanceof Error)) return { message: String(error) };
  if (error instanceof DomainError && error.cause instanceof Error) return describeError(error.cause);
  const { type, message, stack } = stdSerializers.err(error);
  const { code, constraint } = error as { code?: unknown; constraint?: unknown };
  // The stack of a connection failure is not informative, and there may be hundreds of such lines a
  // second.
  return {
    type,
    code,
    constraint,
    message,
    ...(isDatabaseUnavailable(error) || error instanceof DomainError ? {} : { stack }),
  };
}

/** Writes the messages of Nest and its modules to the log of the process. */
export class NestLogger implements LoggerService {
  constructor(private readonly logger: Logger) {}

  log = (message: unknown, ...rest: unknown[]): void => {
    this.write('debug', message, rest);
  };
  error = (message: unknown, ...rest: unknown[]): void => {
    this.write('error', message, rest);
  };
  warn = (message: unknown, ...rest: unknown[]): void => {
    this.write('warn', message, rest);
  };
  debug = (message: unknown, ...rest: unknown[]): void => {
    this.write('debug', message, rest);
  };
  verbose = (message: unknown, ...rest: unknown[]): void => {
    this.write('trace', message, rest);
  };
  fatal = (message: unknown, ...rest: unknown[]): void => {
    this.write('fatal', message, rest);
  };

  /**
   * Nest passes the context last, and before it a text or, in our own calls, fields and then the
   * text.
   */
  private write(
    level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal',
    message: unknown,
    rest: unknown[],
  ): void {
    const context = rest.at(-1);
    if (typeof message === 'object' && message !== null && !(message instanceof Error)) {
      this.logger[level]({ context, ...message }, rest.length > 1 ? String(rest[0]) : undefined);
    } else if (message instanceof Error) {
      this.logger[level]({ context, err: message }, message.message);
    } else {
      this.logger[level]({ context }, String(message));
    }
  }
}

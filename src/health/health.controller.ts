import { Controller, Get, Header, VERSION_NEUTRAL } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { Operation } from '../api-keys/operation.decorator.js';
import { ApiTag } from '../common/docs/tags.js';
import { DatabaseUnreachableError } from '../common/errors/database-unavailable.js';
import { isReadOnly } from '../database/read-only.js';
import { Drain } from './drain.js';
import { ReadOnlyDatabaseError, StoppingError } from './health.errors.js';
import { HealthResponse } from './health.response.js';

/**
 * Health checks for orchestrators: whether the process is alive, and whether it can serve. They
 * need no key and are never cached.
 */
@ApiTag('Health')
@Controller({ version: VERSION_NEUTRAL })
export class HealthController {
  constructor(
    private readonly database: DataSource,
    private readonly drain: Drain,
  ) {}

  @Get('livez')
  @Header('Cache-Control', 'no-store')
  @Operation({
    id: 'livez',
    summary: 'Tell whether the process is alive',
    details: 'Asks nothing of the database: an orchestrator restarts a process that does not answer here.',
    access: 'anyone',
    scope: null,
    returns: HealthResponse,
    description: 'The process is alive',
  })
  live(): HealthResponse {
    return { status: 'ok' };
  }

  /** The error filter turns a failing query into 503. */
  @Get('readyz')
  @Header('Cache-Control', 'no-store')
  @Operation({
    id: 'readyz',
    summary: 'Tell whether requests can be served',
    details:
      '503 while the database cannot take writes, and once the process is told to stop: a proxy then sends requests elsewhere.',
    access: 'anyone',
    scope: null,
    returns: HealthResponse,
    description: 'Requests can be served',
    fails: ['unavailable'],
    examples: {
      database: new DatabaseUnreachableError(null),
      read_only: new ReadOnlyDatabaseError(),
      stopping: new StoppingError(),
    },
  })
  async ready(): Promise<HealthResponse> {
    if (this.drain.isDraining) throw new StoppingError();
    if (await isReadOnly(this.database)) throw new ReadOnlyDatabaseError();
    return { status: 'ok' };
  }
}

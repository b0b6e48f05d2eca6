import { Injectable, type NestMiddleware } from '@nestjs/common';
import type { NextFunction, Request, Response } from 'express';
import { Counter, Histogram } from 'prom-client';
import { DATABASE_FAILURES } from '../common/errors/database-unavailable.js';
import { Counters } from '../common/counters/counters.js';

/**
 * Measures the duration of every request by its route, and counts the requests that failed because
 * of the database. The URL is not a label: callers choose it, so the number of values would be
 * unbounded.
 */
@Injectable()
export class RequestMetrics implements NestMiddleware {
  private readonly durations: Histogram<'method' | 'route' | 'status'>;
  private readonly databaseFailures: Counter<'reason'>;

  constructor({ registry }: Counters) {
    this.durations = new Histogram({
      name: 'users_api_http_request_duration_seconds',
      help: 'From the end of the header to the end of the answer, by route and status; status 0 where the caller went away first',
      labelNames: ['method', 'route', 'status'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
      registers: [registry],
    });
    this.databaseFailures = new Counter({
      name: 'users_api_database_failures_total',
      help: 'Requests answered 503 because of the database, by the reason',
      labelNames: ['reason'],
      registers: [registry],
    });
    // Starts at 0, so that the first failure is an increase.
    for (const reason of Object.keys(DATABASE_FAILURES)) this.databaseFailures.inc({ reason }, 0);
  }

  use(request: Request, response: Response, next: NextFunction): void {
    const start = performance.now();
    response.once('close', () => {
      const { path: route = '(none)' } = (request.route as { path?: string } | undefined) ?? {};
      const status = response.headersSent ? response.statusCode : 0;
      this.durations.observe({ method: request.method, route, status }, (performance.now() - start) / 1000);
      if (request.databaseFailure) this.databaseFailures.inc({ reason: request.databaseFailure });
    });
    next();
  }
}

import { Injectable } from '@nestjs/common';
import type { Pool } from 'pg';
import { Gauge } from 'prom-client';
import { DataSource } from 'typeorm';
import { Metrics } from '../common/metrics/metrics.js';

/** Reads the pool whenever somebody asks. */
@Injectable()
export class DatabaseMetrics {
  constructor({ registry }: Metrics, database: DataSource) {
    const { master: pool } = database.driver as unknown as { readonly master: Pool };
    new Gauge({
      name: 'users_api_database_pool_connections',
      help: 'Connections to the database, by what they do',
      labelNames: ['state'],
      registers: [registry],
      collect() {
        this.set({ state: 'idle' }, pool.idleCount);
        this.set({ state: 'busy' }, pool.totalCount - pool.idleCount);
      },
    });
    new Gauge({
      name: 'users_api_database_pool_waiting',
      help: 'Pieces of work that wait for a connection',
      registers: [registry],
      collect() {
        this.set(pool.waitingCount);
      },
    });
  }
}

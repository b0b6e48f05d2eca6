import { Injectable } from '@nestjs/common';
import type { Pool } from 'pg';
import { Gauge } from 'prom-client';
import { DataSource } from 'typeorm';
import { Counters } from '../common/counters/counters.js';
import type { BoundedPool } from '../database/bounded-pool.js';

/** Reads the state of the pool at each scrape. */
@Injectable()
export class DatabaseMetrics {
  constructor({ registry }: Counters, database: DataSource) {
    const { master: pool } = database.driver as unknown as { readonly master: Pool & Partial<BoundedPool> };
    new Gauge({
      name: 'users_api_database_pool_connections',
      help: 'Connections to the database, by state; abandoned: closed after a timeout, while the server still runs the statement',
      labelNames: ['state'],
      registers: [registry],
      collect() {
        this.set({ state: 'idle' }, pool.idleCount);
        this.set({ state: 'busy' }, pool.totalCount - pool.idleCount);
        this.set({ state: 'abandoned' }, pool.abandonedCount ?? 0);
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

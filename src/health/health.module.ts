import { type DynamicModule, Module } from '@nestjs/common';
import { Drain, DRAIN_MS } from './drain.js';
import { HealthController } from './health.controller.js';

@Module({})
export class HealthModule {
  static forRoot({ drainMs }: { readonly drainMs: number }): DynamicModule {
    return {
      module: HealthModule,
      controllers: [HealthController],
      providers: [Drain, { provide: DRAIN_MS, useValue: drainMs }],
    };
  }
}

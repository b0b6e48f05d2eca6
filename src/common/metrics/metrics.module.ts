import { Module } from '@nestjs/common';
import { Metrics } from './metrics.js';

/** Gives every feature the one `Metrics` of its application. */
@Module({ providers: [Metrics], exports: [Metrics] })
export class MetricsModule {}

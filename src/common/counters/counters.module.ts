import { Module } from '@nestjs/common';
import { Counters } from './counters.js';

/** Provides the one `Counters` of the application to every feature. */
@Module({ providers: [Counters], exports: [Counters] })
export class CountersModule {}

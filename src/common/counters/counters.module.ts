import { Module } from '@nestjs/common';
import { Counters } from './counters.js';

/** Gives every feature the one `Counters` of its application. */
@Module({ providers: [Counters], exports: [Counters] })
export class CountersModule {}

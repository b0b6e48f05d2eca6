import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { ApiKeysModule } from '../api-keys/api-keys.module.js';
import { AuditEvent } from './audit-event.entity.js';
import { AuditEventsController } from './audit-events.controller.js';
import { AuditEventsRepository } from './audit-events.repository.js';

/** Serves the audit trail. What writes it is SQL that other features take from `common/audit/recording.ts`. */
@Module({
  imports: [TypeOrmModule.forFeature([AuditEvent]), ApiKeysModule],
  controllers: [AuditEventsController],
  providers: [AuditEventsRepository],
})
export class AuditModule {}

import { Module } from '@nestjs/common';
import { ApiKeysCoreModule } from '../api-keys/api-keys.module.js';
import { AuditEventsController } from './audit-events.controller.js';
import { AuditEventsRepository } from './audit-events.repository.js';
import { AuditEventsService } from './audit-events.service.js';

/** Serves the audit trail. Other features write it with the SQL of `audit-trail/with-audit.ts`. */
@Module({
  imports: [ApiKeysCoreModule],
  controllers: [AuditEventsController],
  providers: [AuditEventsService, AuditEventsRepository],
})
export class AuditModule {}

import { Module } from '@nestjs/common';
import { AuditArchive } from './audit-archive.js';

/** Archives and removes old audit events. Only the command line uses it. */
@Module({ providers: [AuditArchive], exports: [AuditArchive] })
export class AuditArchiveModule {}

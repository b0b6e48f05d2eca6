import { Module } from '@nestjs/common';
import { ApiKeyGuard } from '@users-api/server';
import { JwtGuard } from '../auth/jwt.guard.js';
import { ReportsController } from './reports.controller.js';
import { ReportsGateway } from './reports.gateway.js';
import { ReportsResolver } from './reports.resolver.js';

@Module({
  controllers: [ReportsController],
  providers: [ReportsGateway, ReportsResolver, ApiKeyGuard, JwtGuard],
})
export class ReportsModule {}

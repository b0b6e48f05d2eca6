import { type CanActivate, type ExecutionContext, Get, Query, Req, UseGuards } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { Request } from 'express';
import type { AuthenticatedRequest } from '../api-keys/api-key.guard.js';
import { NotAdministratorError } from '../api-keys/api-keys.errors.js';
import { Authenticated, CurrentUser } from '../api-keys/authenticated.decorator.js';
import type { Principal } from '../api-keys/principal.js';
import { ApiFailures, Documented, NEXT_PAGE } from '../common/docs/documented.decorator.js';
import { ApiController } from '../common/http/api-controller.decorator.js';
import { sliceOf } from '../common/pagination/page.js';
import { paginated } from '../common/pagination/paginated.js';
import { parametersOf, ValidQuery } from '../common/validation/request-validation.js';
import { CreditsService } from './credits.service.js';
import { CreditHistoryRequest } from './dto/credit.requests.js';
import { CreditEntryPage, CreditEntryResponse } from './dto/credit-entry.response.js';

/** Only administrators may name a user; whether they may is asked before whether the query is valid. */
const anotherUserNeedsAdministrator: CanActivate = {
  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<AuthenticatedRequest>();
    if (parametersOf(request).has('user_id') && !request.principal?.isAdmin) throw new NotAdministratorError();
    return true;
  },
};

@ApiTags('Billing')
@Authenticated()
@ApiController('billing')
export class CreditsController {
  constructor(private readonly credits: CreditsService) {}

  @Get('credit-history')
  @ApiFailures('forbidden')
  @ValidQuery(CreditHistoryRequest)
  @UseGuards(anotherUserNeedsAdministrator) // the lowest one runs first
  @Documented({
    id: 'listCreditHistory',
    summary: 'List the movements of a balance, the newest first',
    details:
      'Inclusive UTC dates bound the list. The entries of a user add up to its balance. Only administrators may name a `user_id`. To read every entry once while others are added, follow the `Link` header.',
    returns: CreditEntryPage,
    description: 'One page of entries',
    headers: NEXT_PAGE,
    fails: ['invalid', 'not_found'],
  })
  async history(
    @CurrentUser() caller: Principal,
    @Query() query: CreditHistoryRequest,
    @Req() request: Request,
  ): Promise<CreditEntryPage> {
    const { user_id: userId = caller.userId, start_date: startDate, end_date: endDate } = query;
    const page = await this.credits.history(userId, { startDate, endDate }, sliceOf(query));
    return paginated(page, query, (entry) => CreditEntryResponse.from(entry), request);
  }
}

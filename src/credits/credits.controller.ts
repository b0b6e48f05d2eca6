import { Get, Query, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { Request } from 'express';
import { NotAdministratorError } from '../api-keys/api-keys.errors.js';
import { Authenticated, CurrentUser } from '../api-keys/authenticated.decorator.js';
import type { Principal } from '../api-keys/principal.js';
import { ApiFailures, Documented, NEXT_PAGE } from '../common/docs/documented.decorator.js';
import { ApiController } from '../common/http/api-controller.decorator.js';
import { paginated, sliceOf } from '../common/pagination/page.js';
import { ValidQuery } from '../common/validation/request-validation.js';
import { CreditsService } from './credits.service.js';
import { CreditHistoryRequest } from './dto/credit.requests.js';
import { CreditEntryPage, CreditEntryResponse } from './dto/credit-entry.response.js';

@ApiTags('Billing')
@Authenticated()
@ApiController('billing')
export class CreditsController {
  constructor(private readonly credits: CreditsService) {}

  @Get('credit-history')
  @ApiFailures('forbidden')
  @ValidQuery(CreditHistoryRequest)
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
    const { start_date: startDate, end_date: endDate } = query;
    const page = await this.credits.history(whoseHistory(query, caller), { startDate, endDate }, sliceOf(query));
    return paginated(page, query, (entry) => CreditEntryResponse.from(entry), request);
  }
}

function whoseHistory({ user_id: userId }: CreditHistoryRequest, caller: Principal): string {
  if (userId !== undefined && !caller.isAdmin) throw new NotAdministratorError();
  return userId ?? caller.userId;
}

import { Get, Query, Req } from '@nestjs/common';
import type { Request } from 'express';
import { CurrentUser } from '../api-keys/authenticated.decorator.js';
import { ApiController, Operation } from '../api-keys/operation.decorator.js';
import type { Principal } from '../api-keys/principal.js';
import { PAGE_HEADERS } from '../common/docs/responses.js';
import { ApiTag } from '../common/docs/tags.js';
import { INVALID_PAGE } from '../common/pagination/page.request.js';
import { pageWindowOf } from '../common/pagination/page.js';
import { paginated } from '../common/pagination/paginated.js';
import { EXAMPLE_USER_ID } from '../common/validation/uuid.js';
import { UserNotFoundError } from '../users/users.errors.js';
import { InvalidPeriodError, InvalidTransactionIdError, InvalidTransactionTypeError } from './credits.errors.js';
import { CreditsService } from './credits.service.js';
import { creditFilterOf, CreditHistoryRequest } from './dto/credit.requests.js';
import { CreditEntryPage, CreditEntryResponse } from './dto/credit-entry.response.js';

@ApiTag('Billing')
@ApiController('billing')
export class CreditsController {
  constructor(private readonly credits: CreditsService) {}

  @Get('credit-history')
  @Operation({
    id: 'listCreditHistory',
    summary: 'List the movements of a balance, the newest first',
    details:
      'Inclusive UTC dates bound the list; `transaction_id`, `transaction_type` and `api_key_id` narrow it further. The entries of a user add up to its balance. Only administrators may name a `user_id`. To read every entry once while others are added, follow the `Link` header.',
    access: 'user',
    scope: 'ua:credits:read',
    administratorQuery: { parameter: 'user_id', scope: 'ua:users:read' },
    query: CreditHistoryRequest,
    returns: CreditEntryPage,
    description: 'One page of entries',
    headers: PAGE_HEADERS,
    fails: ['not_found'],
    examples: {
      period: new InvalidPeriodError(),
      transaction_id: new InvalidTransactionIdError(),
      transaction_type: new InvalidTransactionTypeError(),
      ...INVALID_PAGE,
      user: new UserNotFoundError({ id: EXAMPLE_USER_ID }),
    },
  })
  async history(
    @CurrentUser() caller: Principal,
    @Query() query: CreditHistoryRequest,
    @Req() request: Request,
  ): Promise<CreditEntryPage> {
    const { user_id: userId = caller.userId } = query;
    const page = await this.credits.history(userId, creditFilterOf(query), pageWindowOf(query));
    return paginated(page, query, (entry) => CreditEntryResponse.from(entry), request);
  }
}

import { Body, Get, HttpCode, Post, Query, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { Request, Response } from 'express';
import { NotAdministratorError } from '../api-keys/api-keys.errors.js';
import { Administrators, Authenticated, CurrentUser } from '../api-keys/authenticated.decorator.js';
import type { Principal } from '../api-keys/principal.js';
import { ApiFailures, Documented, NEXT_PAGE } from '../common/docs/documented.decorator.js';
import { ApiController } from '../common/http/api-controller.decorator.js';
import { JsonBody } from '../common/http/json-body.guard.js';
import { paginated, sliceOf } from '../common/pagination/page.js';
import { ValidQuery } from '../common/validation/request-validation.js';
import { type CreditRequest, CreditsService, type Receipt } from './credits.service.js';
import { CreditChange, CreditHistoryRequest } from './dto/credit.requests.js';
import { CreditEntryPage, CreditEntryResponse } from './dto/credit-entry.response.js';

const REPLAYED = { 'Idempotency-Replayed': 'true where an earlier request made the entry, and this one moved nothing' };

@ApiTags('Billing')
@ApiController('billing')
export class CreditsController {
  constructor(private readonly credits: CreditsService) {}

  @Get('credit-history')
  @Authenticated()
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

  @Post('credits-add')
  @HttpCode(200)
  @Administrators()
  @JsonBody(CreditChange)
  @Documented({
    id: 'addCredits',
    summary: 'Add credits to a balance; safe to repeat',
    details:
      'Moves the balance and writes the entry, both or neither. The same `transaction_id` again answers the same entry and moves nothing, so repeat a request whose answer was lost. 409: that id stands for another amount or type.',
    returns: CreditEntryResponse,
    description: 'The entry',
    headers: REPLAYED,
    fails: ['invalid', 'not_found', 'conflict', 'too_large', 'unsupported_media_type'],
  })
  async add(
    @CurrentUser() caller: Principal,
    @Body() body: CreditChange,
    @Res({ passthrough: true }) response: Response,
  ): Promise<CreditEntryResponse> {
    return answer(await this.credits.add(toRequest(body), caller), response);
  }

  @Post('credits-deduct')
  @HttpCode(200)
  @Administrators()
  @JsonBody(CreditChange)
  @Documented({
    id: 'deductCredits',
    summary: 'Take credits from a balance; safe to repeat',
    details:
      'Moves the balance and writes the entry, both or neither. 402: the balance is lower than the amount, and nothing moved. The same `transaction_id` again answers the same entry and moves nothing, so repeat a request whose answer was lost. 409: that id stands for another amount or type.',
    returns: CreditEntryResponse,
    description: 'The entry',
    headers: REPLAYED,
    fails: ['invalid', 'payment_required', 'not_found', 'conflict', 'too_large', 'unsupported_media_type'],
  })
  async deduct(
    @CurrentUser() caller: Principal,
    @Body() body: CreditChange,
    @Res({ passthrough: true }) response: Response,
  ): Promise<CreditEntryResponse> {
    return answer(await this.credits.spend(toRequest(body), caller), response);
  }
}

function whoseHistory({ user_id: userId }: CreditHistoryRequest, caller: Principal): string {
  if (userId !== undefined && !caller.isAdmin) throw new NotAdministratorError();
  return userId ?? caller.userId;
}

const toRequest = (body: CreditChange): CreditRequest => ({
  userId: body.user_id,
  amount: body.amount,
  transactionId: body.transaction_id,
  transactionType: body.transaction_type,
});

function answer({ entry, replayed }: Receipt, response: Response): CreditEntryResponse {
  if (replayed) response.setHeader('Idempotency-Replayed', 'true');
  return CreditEntryResponse.from(entry);
}

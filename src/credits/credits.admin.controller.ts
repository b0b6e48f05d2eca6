import { Body, Post, Res } from '@nestjs/common';
import type { Response } from 'express';
import { CurrentUser } from '../api-keys/authenticated.decorator.js';
import { ApiController, Operation } from '../api-keys/operation.decorator.js';
import type { Principal } from '../api-keys/principal.js';
import { ApiTag } from '../common/docs/tags.js';
import { BalanceLimitError, InsufficientCreditsError } from './credits.errors.js';
import { type CreditRequest, CreditsService } from './credits.service.js';
import { CreditChange } from './dto/credit.requests.js';
import { CreditEntryResponse } from './dto/credit-entry.response.js';
import { TRANSACTION_REFUSED } from './documented-failures.js';
import { respondWithEntry } from './respond-with-entry.js';

const REPLAYED = { 'Idempotency-Replayed': 'true where an earlier request made the entry, and this one moved nothing' };

@ApiTag('Billing')
@ApiController('billing')
export class CreditsAdminController {
  constructor(private readonly credits: CreditsService) {}

  @Post('credits-add')
  @Operation({
    id: 'addCredits',
    summary: 'Add credits to a balance; safe to repeat',
    details:
      'Moves the balance and writes the entry, both or neither. The same `transaction_id` again returns the same entry and moves nothing, so repeat a request whose response was lost. 409: that id stands for another amount or type, or for an open hold.',
    access: 'administrator',
    scope: 'ua:credits:add',
    body: CreditChange,
    returns: CreditEntryResponse,
    description: 'The entry',
    headers: REPLAYED,
    fails: ['not_found', 'conflict'],
    examples: { ...TRANSACTION_REFUSED, balance: new BalanceLimitError() },
  })
  async add(
    @CurrentUser() caller: Principal,
    @Body() body: CreditChange,
    @Res({ passthrough: true }) response: Response,
  ): Promise<CreditEntryResponse> {
    return respondWithEntry(await this.credits.add(toRequest(body), { by: caller }), response);
  }

  @Post('credits-deduct')
  @Operation({
    id: 'deductCredits',
    summary: 'Take credits from a balance; safe to repeat',
    details:
      'Moves the balance and writes the entry, both or neither. 402: fewer credits are available than the amount, and nothing moved; credits that open holds keep are not available. The same `transaction_id` again returns the same entry and moves nothing, so repeat a request whose response was lost. 409: that id stands for another amount or type, or for an open hold.',
    access: 'administrator',
    scope: 'ua:credits:spend',
    body: CreditChange,
    returns: CreditEntryResponse,
    description: 'The entry',
    headers: REPLAYED,
    fails: ['payment_required', 'not_found', 'conflict'],
    examples: { ...TRANSACTION_REFUSED, balance: new InsufficientCreditsError() },
  })
  async deduct(
    @CurrentUser() caller: Principal,
    @Body() body: CreditChange,
    @Res({ passthrough: true }) response: Response,
  ): Promise<CreditEntryResponse> {
    return respondWithEntry(await this.credits.spend(toRequest(body), { by: caller }), response);
  }
}

const toRequest = (body: CreditChange): CreditRequest => ({
  userId: body.user_id,
  amount: body.amount,
  transactionId: body.transaction_id,
  transactionType: body.transaction_type,
});

import { Body, Post, Res } from '@nestjs/common';
import type { Response } from 'express';
import { CurrentUser } from '../api-keys/authenticated.decorator.js';
import { ApiController, Operation } from '../api-keys/operation.decorator.js';
import type { Principal } from '../api-keys/principal.js';
import type { Examples } from '../common/docs/responses.js';
import { ApiTag } from '../common/docs/tags.js';
import { InvalidRequestError } from '../common/validation/request-validation.js';
import { EXAMPLE_USER_ID } from '../common/validation/uuid.js';
import { UserNotFoundError } from '../users/users.errors.js';
import {
  BalanceLimitError,
  InsufficientCreditsError,
  InvalidTransactionTypeError,
  TransactionIdTakenError,
} from './credits.errors.js';
import { type CreditRequest, CreditsService, type Receipt } from './credits.service.js';
import { CreditChange } from './dto/credit.requests.js';
import { CreditEntryResponse } from './dto/credit-entry.response.js';

const REPLAYED = { 'Idempotency-Replayed': 'true where an earlier request made the entry, and this one moved nothing' };

/** Failures of both routes, as examples in the document. */
const REFUSED: Examples = {
  amount: new InvalidRequestError('amount must not be less than 1'),
  transaction_type: new InvalidTransactionTypeError(),
  user: new UserNotFoundError({ id: EXAMPLE_USER_ID }),
  transaction: new TransactionIdTakenError(),
};

@ApiTag('Billing')
@ApiController('billing')
export class CreditsAdminController {
  constructor(private readonly credits: CreditsService) {}

  @Post('credits-add')
  @Operation({
    id: 'addCredits',
    summary: 'Add credits to a balance; safe to repeat',
    details:
      'Moves the balance and writes the entry, both or neither. The same `transaction_id` again returns the same entry and moves nothing, so repeat a request whose response was lost. 409: that id stands for another amount or type.',
    access: 'administrator',
    scope: 'ua:credits:add',
    body: CreditChange,
    returns: CreditEntryResponse,
    description: 'The entry',
    headers: REPLAYED,
    fails: ['not_found', 'conflict'],
    examples: { ...REFUSED, balance: new BalanceLimitError() },
  })
  async add(
    @CurrentUser() caller: Principal,
    @Body() body: CreditChange,
    @Res({ passthrough: true }) response: Response,
  ): Promise<CreditEntryResponse> {
    return answer(await this.credits.add(toRequest(body), { by: caller }), response);
  }

  @Post('credits-deduct')
  @Operation({
    id: 'deductCredits',
    summary: 'Take credits from a balance; safe to repeat',
    details:
      'Moves the balance and writes the entry, both or neither. 402: the balance is lower than the amount, and nothing moved. The same `transaction_id` again returns the same entry and moves nothing, so repeat a request whose response was lost. 409: that id stands for another amount or type.',
    access: 'administrator',
    scope: 'ua:credits:spend',
    body: CreditChange,
    returns: CreditEntryResponse,
    description: 'The entry',
    headers: REPLAYED,
    fails: ['payment_required', 'not_found', 'conflict'],
    examples: { ...REFUSED, balance: new InsufficientCreditsError() },
  })
  async deduct(
    @CurrentUser() caller: Principal,
    @Body() body: CreditChange,
    @Res({ passthrough: true }) response: Response,
  ): Promise<CreditEntryResponse> {
    return answer(await this.credits.spend(toRequest(body), { by: caller }), response);
  }
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

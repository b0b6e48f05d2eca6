import { Body, Post } from '@nestjs/common';
import { CurrentUser } from '../api-keys/authenticated.decorator.js';
import { ApiController, Operation } from '../api-keys/operation.decorator.js';
import type { Principal } from '../api-keys/principal.js';
import { InvalidRequiredScopesError } from '../api-keys/api-keys.errors.js';
import { ApiTag } from '../common/docs/tags.js';
import { InvalidRequestError } from '../common/validation/request-validation.js';
import { InvalidHoldDurationError, TransactionIdTakenError } from '../credits/credits.errors.js';
import type { CreditTransaction } from '../credits/dto/credit.requests.js';
import type { Transaction } from '../credits/credits.service.js';
import { holdOf } from '../credits/holds/dto/hold.requests.js';
import { VerificationResponse } from './dto/verification.response.js';
import { VerifyRequest } from './dto/verify.request.js';
import { ChargeAndHoldError } from './verification.errors.js';
import { VerificationService } from './verification.service.js';

@ApiTag('Verification')
@ApiController('verify')
export class VerifyController {
  constructor(private readonly verification: VerificationService) {}

  @Post()
  @Operation({
    id: 'verify',
    summary: 'Verify the API key of your own caller, and charge for its call or hold credits; safe to repeat',
    details:
      'For services and gateways in any language. 200 means that there is a result: decide by `allowed` alone. 401 and 403 are about the key of your own request, never about the verified key. While the database is unavailable the response is 503: let no caller through then.\n\nThe checks run in this order, and nothing is charged or held unless all earlier ones passed: the shape of the key, its state, its rate limits, its scopes, the credits of its owner. The same charge again returns the same entry with `replayed: true`, and the same hold again the hold while it is OPEN. Such a repeat takes nothing from the rate limit, and tells of the charge or the hold even where the key has stopped working since. 409: the `transaction_id` stands for something else, or the hold has ended.\n\n`hold` is for work whose price is known afterwards: end it with `captureHold` or `voidHold`, by a key with the scope `ua:credits:spend`.\n\nRequests of this operation count for no rate limit, and are never 429. Nothing is cached: a revoked key is refused by the next call. Do not cache the response either.',
    access: 'service',
    scope: 'ua:verify',
    body: VerifyRequest,
    bodyScope: { properties: ['charge', 'hold'], scope: 'ua:credits:charge' },
    returns: VerificationResponse,
    description: 'The result. Every field other than `allowed` and `reason` is null for a key that does not work',
    fails: ['conflict'],
    examples: {
      key: new InvalidRequestError('key must be a string'),
      scopes: new InvalidRequiredScopesError(),
      both: new ChargeAndHoldError(),
      expires_in_seconds: new InvalidHoldDurationError(),
      transaction: new TransactionIdTakenError(),
    },
  })
  async verify(@CurrentUser() caller: Principal, @Body() body: VerifyRequest): Promise<VerificationResponse> {
    const { key, scopes, charge, hold } = body;
    const request = { key, scopes, charge: charge && toTransaction(charge), hold: hold && holdOf(hold) };
    return VerificationResponse.from(await this.verification.verify(request, { by: caller }));
  }
}

const toTransaction = (charge: CreditTransaction): Transaction => ({
  amount: charge.amount,
  transactionId: charge.transaction_id,
  transactionType: charge.transaction_type,
});

import { Body, Delete, Get, HttpStatus, Param, Post, Query, Req, Res } from '@nestjs/common';
import type { Request, Response } from 'express';
import { CurrentUser } from '../../api-keys/authenticated.decorator.js';
import { ApiController, Operation, type PathParameter } from '../../api-keys/operation.decorator.js';
import type { Principal } from '../../api-keys/principal.js';
import { LOCATION, PAGE_HEADERS } from '../../common/docs/responses.js';
import { ApiTag } from '../../common/docs/tags.js';
import { locationOf } from '../../common/http/location.js';
import { INVALID_PAGE } from '../../common/pagination/page.request.js';
import { pageWindowOf } from '../../common/pagination/page.js';
import { paginated } from '../../common/pagination/paginated.js';
import { EXAMPLE_USER_ID, UUID, UUID_SCHEMA } from '../../common/validation/uuid.js';
import { InvalidRequestError } from '../../common/validation/request-validation.js';
import { UserNotFoundError } from '../../users/users.errors.js';
import {
  CaptureAboveHoldError,
  HoldEndedError,
  HoldNotFoundError,
  InsufficientCreditsError,
  InvalidHoldDurationError,
  InvalidHoldStatusError,
} from '../credits.errors.js';
import { CreditsService } from '../credits.service.js';
import { TRANSACTION_REFUSED } from '../documented-failures.js';
import { respondWithEntry } from '../respond-with-entry.js';
import { CreditEntryResponse } from '../dto/credit-entry.response.js';
import { HoldCapture, HoldCreate, HoldListRequest, holdOf } from './dto/hold.requests.js';
import { EXAMPLE_HOLD_ID, HoldPage, HoldResponse } from './dto/hold.response.js';

const HOLD_ID: PathParameter = {
  pattern: UUID,
  description: 'The id of a hold',
  example: EXAMPLE_HOLD_ID,
  schema: UUID_SCHEMA,
};

const NOT_FOUND = { hold: new HoldNotFoundError() };

@ApiTag('Billing')
@ApiController('billing/holds')
export class HoldsController {
  constructor(private readonly credits: CreditsService) {}

  @Post()
  @Operation({
    id: 'createHold',
    summary: 'Hold credits for work whose price is known afterwards; safe to repeat',
    details:
      'The balance stays as it is, and nothing else can spend the held credits: `captureHold` takes what the work cost, `voidHold` nothing, and a hold that expires releases them by itself. 402: fewer credits are available. The same request again returns the hold while it is OPEN, with 200, so repeat a request whose response was lost. 409: the `transaction_id` stands for an entry or for another hold, or the hold has ended.',
    access: 'administrator',
    scope: 'ua:credits:spend',
    body: HoldCreate,
    returns: HoldResponse,
    status: HttpStatus.CREATED,
    description: 'The new hold',
    headers: LOCATION,
    repeat: {
      status: HttpStatus.OK,
      description: 'The hold, which an earlier request made and which is OPEN',
      headers: { 'Idempotency-Replayed': 'true: this request held nothing' },
    },
    fails: ['payment_required', 'not_found', 'conflict'],
    examples: {
      ...TRANSACTION_REFUSED,
      expires_in_seconds: new InvalidHoldDurationError(),
      balance: new InsufficientCreditsError(),
    },
  })
  async create(
    @CurrentUser() caller: Principal,
    @Body() body: HoldCreate,
    @Res({ passthrough: true }) response: Response,
  ): Promise<HoldResponse> {
    const request = { ...holdOf(body), userId: body.user_id };
    const { hold, replayed } = await this.credits.hold(request, { by: caller });
    if (replayed) response.status(HttpStatus.OK).setHeader('Idempotency-Replayed', 'true');
    else response.location(locationOf(response.req, hold.id));
    return HoldResponse.from(hold);
  }

  @Get()
  @Operation({
    id: 'listHolds',
    summary: 'List the holds of a user, the newest first',
    details:
      'Those of the caller, unless `user_id` names another user. A hold is EXPIRED from its `expires_at` on. To read every hold once while others are added, follow the `Link` header.',
    access: 'administrator',
    scope: 'ua:credits:spend',
    query: HoldListRequest,
    returns: HoldPage,
    description: 'One page of holds',
    headers: PAGE_HEADERS,
    fails: ['not_found'],
    examples: {
      user_id: new InvalidRequestError('user_id must be a UUID'),
      status: new InvalidHoldStatusError(),
      ...INVALID_PAGE,
      user: new UserNotFoundError({ id: EXAMPLE_USER_ID }),
    },
  })
  async list(
    @CurrentUser() caller: Principal,
    @Query() query: HoldListRequest,
    @Req() request: Request,
  ): Promise<HoldPage> {
    const { user_id: userId = caller.userId, status } = query;
    const page = await this.credits.holds(userId, { status }, pageWindowOf(query));
    return paginated(page, query, (hold) => HoldResponse.from(hold), request);
  }

  @Get(':hold_id')
  @Operation({
    id: 'getHold',
    summary: 'Read a hold',
    details: 'Its `status` tells why a capture or a void was refused, and `captured` what a capture took.',
    access: 'administrator',
    scope: 'ua:credits:spend',
    params: { hold_id: HOLD_ID },
    returns: HoldResponse,
    description: 'The hold',
    examples: NOT_FOUND,
  })
  async get(@Param('hold_id') id: string): Promise<HoldResponse> {
    return HoldResponse.from(await this.credits.getHold(id));
  }

  @Post(':hold_id/capture')
  @Operation({
    id: 'captureHold',
    summary: 'Take credits of a hold, and release the rest; safe to repeat',
    details:
      'Takes from 1 up to all of the held credits, and ends the hold. It is never refused for lack of credits. The entry has the `transaction_id` of the hold. The same capture again returns the same entry and moves nothing. 409: the amount is larger than the hold (capture what it has, and charge the rest with `deductCredits` and another id), or the hold has expired, was voided, or was captured with another amount: `getHold` tells.',
    access: 'administrator',
    scope: 'ua:credits:spend',
    params: { hold_id: HOLD_ID },
    body: HoldCapture,
    returns: CreditEntryResponse,
    description: 'The entry',
    headers: { 'Idempotency-Replayed': 'true where an earlier request captured the hold, and this one moved nothing' },
    fails: ['conflict'],
    examples: {
      amount: TRANSACTION_REFUSED.amount,
      ...NOT_FOUND,
      larger: new CaptureAboveHoldError(40),
      ended: new HoldEndedError('VOIDED'),
    },
  })
  async capture(
    @CurrentUser() caller: Principal,
    @Param('hold_id') id: string,
    @Body() { amount }: HoldCapture,
    @Res({ passthrough: true }) response: Response,
  ): Promise<CreditEntryResponse> {
    return respondWithEntry(await this.credits.capture(id, amount, { by: caller }), response);
  }

  @Delete(':hold_id')
  @Operation({
    id: 'voidHold',
    summary: 'Void a hold, which releases all its credits; safe to repeat',
    details:
      'No entry is made, because nothing was taken. A repeated request gets the same response. A hold that has expired is returned as it is, EXPIRED. 409: the hold was captured.',
    access: 'administrator',
    scope: 'ua:credits:spend',
    params: { hold_id: HOLD_ID },
    returns: HoldResponse,
    description: 'The hold, VOIDED or EXPIRED',
    fails: ['conflict'],
    examples: { ...NOT_FOUND, captured: new HoldEndedError('CAPTURED') },
  })
  async void(@CurrentUser() caller: Principal, @Param('hold_id') id: string): Promise<HoldResponse> {
    return HoldResponse.from(await this.credits.release(id, { by: caller }));
  }
}

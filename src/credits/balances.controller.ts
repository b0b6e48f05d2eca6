import { Get, Param } from '@nestjs/common';
import { CurrentUser } from '../api-keys/authenticated.decorator.js';
import { ApiController, Operation } from '../api-keys/operation.decorator.js';
import { USER_ID } from '../api-keys/path-parameters.js';
import type { Principal } from '../api-keys/principal.js';
import { ApiTag } from '../common/docs/tags.js';
import { EXAMPLE_USER_ID } from '../common/validation/uuid.js';
import { UserNotFoundError } from '../users/users.errors.js';
import { CreditsService } from './credits.service.js';
import { BalanceResponse } from './dto/balance.response.js';

@ApiTag('Billing')
@ApiController('')
export class BalancesController {
  constructor(private readonly credits: CreditsService) {}

  @Get('billing/balance')
  @Operation({
    id: 'getBalance',
    summary: 'Read your balance, and what of it can be spent',
    details:
      'Credits that OPEN holds keep are part of the balance, and cannot be spent. A hold that has expired counts no more.',
    access: 'user',
    scope: 'ua:credits:read',
    returns: BalanceResponse,
    description: 'The balance',
  })
  async getOwn(@CurrentUser() caller: Principal): Promise<BalanceResponse> {
    return BalanceResponse.from(await this.credits.balance(caller.userId));
  }

  @Get('users/:user_id/balance')
  @Operation({
    id: 'getBalanceOfUser',
    summary: 'Read the balance of a user, and what of it can be spent',
    details: 'As `getBalance` of that user. An INACTIVE user has a balance, too.',
    access: 'administrator',
    scope: 'ua:users:read',
    params: { user_id: USER_ID },
    returns: BalanceResponse,
    description: 'The balance',
    examples: { user: new UserNotFoundError({ id: EXAMPLE_USER_ID }) },
  })
  async getOfUser(@Param('user_id') userId: string): Promise<BalanceResponse> {
    return BalanceResponse.from(await this.credits.balance(userId));
  }
}

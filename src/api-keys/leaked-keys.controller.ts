import { Body, Post } from '@nestjs/common';
import { ApiTag } from '../common/docs/tags.js';
import { InvalidRequestError } from '../common/validation/request-validation.js';
import { CurrentUser } from './authenticated.decorator.js';
import { LeakedKeys } from './dto/leaked-keys.request.js';
import { LeakedKeysResponse } from './dto/leaked-keys.response.js';
import { LeakedSecretsService } from './leaked-secrets.service.js';
import { ApiController, Operation } from './operation.decorator.js';
import type { Principal } from './principal.js';

@ApiTag('Administration')
@ApiController('leaked-keys')
export class LeakedKeysController {
  constructor(private readonly secrets: LeakedSecretsService) {}

  @Post()
  @Operation({
    id: 'revokeLeakedKeys',
    summary: 'Revoke the keys of leaked secrets, whoever owns them; safe to repeat',
    details:
      'For the reports of secret scanners. Each key stops working with the next request. While the overlap of a rotation lasts, the old secret revokes its whole key; afterwards it is `already_ended`, and its key works on. No secret appears in the log, in an error or in the audit trail.',
    access: 'administrator',
    scope: 'ua:users:keys:write',
    body: LeakedKeys,
    returns: LeakedKeysResponse,
    description: 'The outcome of each key, in the order of the request',
    examples: { keys: new InvalidRequestError('keys must contain at least 1 elements') },
  })
  async revoke(@CurrentUser() caller: Principal, @Body() { keys }: LeakedKeys): Promise<LeakedKeysResponse> {
    return LeakedKeysResponse.from(await this.secrets.revoke(keys, { by: caller }));
  }
}

import type { IncomingHttpHeaders } from 'node:http';
import { Body, Get, Headers, Patch, Res } from '@nestjs/common';
import type { Response } from 'express';
import { CurrentUser } from '../api-keys/authenticated.decorator.js';
import { ApiController, Operation } from '../api-keys/operation.decorator.js';
import type { Principal } from '../api-keys/principal.js';
import { IF_MATCH, IF_NONE_MATCH } from '../common/docs/responses.js';
import { ApiTag } from '../common/docs/tags.js';
import { conditionsOf } from '../common/http/entity-tag.js';
import { UserResponse } from './dto/user.response.js';
import { UserUpdate } from './dto/user.requests.js';
import { NAME_NOT_TEXT, VERSION_MISMATCH } from './documented-failures.js';
import { respondWithUser } from './respond-with-user.js';
import { UsersService } from './users.service.js';

@ApiTag('Users')
@ApiController('users/me')
export class UsersController {
  constructor(private readonly users: UsersService) {}

  @Get()
  @Operation({
    id: 'getMe',
    summary: 'Read current user information',
    details:
      'Returns the user that the API key belongs to. Send the `ETag` of an earlier response as `If-None-Match`: 304 means that nothing has changed.',
    access: 'user',
    scope: 'ua:profile:read',
    returns: UserResponse,
    description: 'The user that the API key belongs to',
    condition: IF_NONE_MATCH,
  })
  async getMe(@CurrentUser() caller: Principal, @Res({ passthrough: true }) response: Response): Promise<UserResponse> {
    return respondWithUser(await this.users.getById(caller.userId), UserResponse, response);
  }

  @Patch()
  @Operation({
    id: 'updateMe',
    summary: 'Update current user information',
    details:
      'Changes the name, which is trimmed and normalized to Unicode NFC before it is checked and stored; an empty object changes nothing, and any other property is 400. Safe to repeat. With `If-Match`, 412 means that another request has changed the user since, and nothing was written: read it again, and decide anew. Every movement of credits changes the user, so a user who is charged all the time often gets 412: repeat the request with the new `ETag`, or send no `If-Match`. After 503 or without a response, a repeated request with `If-Match` is 412 if the first one was carried out.',
    access: 'user',
    scope: 'ua:profile:write',
    body: UserUpdate,
    returns: UserResponse,
    description: 'User information updated successfully',
    condition: IF_MATCH,
    examples: { ...NAME_NOT_TEXT, ...VERSION_MISMATCH },
  })
  async updateMe(
    @CurrentUser() caller: Principal,
    @Headers() headers: IncomingHttpHeaders,
    @Body() changes: UserUpdate,
    @Res({ passthrough: true }) response: Response,
  ): Promise<UserResponse> {
    const options = { by: caller, ...conditionsOf(headers, caller.userId) };
    return respondWithUser(await this.users.updateProfile(caller.userId, changes, options), UserResponse, response);
  }
}

import type { IncomingHttpHeaders } from 'node:http';
import { Body, Delete, Get, Headers, Param, Patch, Post, Query, Req, Res } from '@nestjs/common';
import type { Request, Response } from 'express';
import { CurrentUser } from '../api-keys/authenticated.decorator.js';
import { InsufficientScopeError, InvalidRateLimitError } from '../api-keys/api-keys.errors.js';
import { ApiController, Operation } from '../api-keys/operation.decorator.js';
import { USER_ID } from '../api-keys/path-parameters.js';
import type { Principal } from '../api-keys/principal.js';
import { ETAG, IF_MATCH, IF_NONE_MATCH, LOCATION, PAGE_HEADERS } from '../common/docs/responses.js';
import { ApiTag } from '../common/docs/tags.js';
import { conditionsOf } from '../common/http/entity-tag.js';
import { locationOf } from '../common/http/location.js';
import { invalidInstant } from '../common/validation/instant.decorator.js';
import { EXAMPLE_USER_ID } from '../common/validation/uuid.js';
import { INVALID_PAGE } from '../common/pagination/page.request.js';
import { pageWindowOf } from '../common/pagination/page.js';
import { paginated } from '../common/pagination/paginated.js';
import {
  changesOf,
  newUserOf,
  UserAdminUpdate,
  UserCreate,
  userFilterOf,
  UserListRequest,
} from './dto/user.requests.js';
import { AdminUserResponse, UserPage } from './dto/user.response.js';
import { NAME_NOT_TEXT, VERSION_MISMATCH } from './documented-failures.js';
import { respondWithUser } from './respond-with-user.js';
import { USER_STATUSES } from './user.entity.js';
import {
  EmailTakenError,
  InvalidCreationPeriodError,
  InvalidEmailError,
  InvalidKeyPrefixError,
  InvalidSearchError,
  InvalidUserRoleError,
  InvalidUserStatusError,
  LastAdministratorError,
  SearchUnavailableError,
  UserNotFoundError,
} from './users.errors.js';
import { UsersService } from './users.service.js';

const NOT_FOUND = { user: new UserNotFoundError({ id: EXAMPLE_USER_ID }) };
const LAST = { last_administrator: new LastAdministratorError() };
const INVALID_RATE_LIMIT = { rate_limit: new InvalidRateLimitError('user') };
const INVALID_STATUS = { status: new InvalidUserStatusError(USER_STATUSES) };

@ApiTag('Administration')
@ApiController('users')
export class UsersAdminController {
  constructor(private readonly users: UsersService) {}

  @Post()
  @Operation({
    id: 'createUser',
    summary: 'Add a user, who has no key yet',
    details:
      'Adds an ACTIVE user, whose name is trimmed and normalized to Unicode NFC before it is checked and stored. The user has no key: create one with `createApiKeyForUser`. After 503 or without a response the user may have been created: a repeated request is 409 then, since the e-mail address is taken, and `listUsers` finds the user by its `email`.',
    access: 'administrator',
    scope: 'ua:users:write',
    body: UserCreate,
    returns: AdminUserResponse,
    status: 201,
    description: 'The new user',
    headers: { ...LOCATION, ...ETAG },
    fails: ['conflict'],
    examples: { ...NAME_NOT_TEXT, email: new InvalidEmailError(), ...INVALID_RATE_LIMIT, taken: new EmailTakenError() },
  })
  async create(
    @CurrentUser() caller: Principal,
    @Body() body: UserCreate,
    @Res({ passthrough: true }) response: Response,
  ): Promise<AdminUserResponse> {
    const user = await this.users.create(newUserOf(body), { by: caller });
    response.location(locationOf(response.req, user.id));
    return respondWithUser(user, AdminUserResponse, response);
  }

  @Get()
  @Operation({
    id: 'listUsers',
    summary: 'List users, the newest first',
    details:
      'Filters by `status`, by the whole `email`, by the first characters of a key (`api_key_prefix`), by a part of the name or address (`search`), by the instant of creation and by role; all that are given must hold. To read every user once while others are added, follow the `Link` header. A `search` that many users match may end a page early: read on while there is a `Link` header.',
    access: 'administrator',
    scope: 'ua:users:read',
    query: UserListRequest,
    returns: UserPage,
    description: 'One page of users',
    headers: PAGE_HEADERS,
    examples: {
      ...INVALID_STATUS,
      email: new InvalidEmailError(),
      api_key_prefix: new InvalidKeyPrefixError(),
      search: new InvalidSearchError(),
      search_unavailable: new SearchUnavailableError(),
      created_after: invalidInstant('created_after'),
      created_before: new InvalidCreationPeriodError(),
      is_admin: new InvalidUserRoleError('is_admin'),
      ...INVALID_PAGE,
    },
  })
  async list(@Query() query: UserListRequest, @Req() request: Request): Promise<UserPage> {
    const page = await this.users.list(userFilterOf(query), pageWindowOf(query));
    return paginated(page, query, (user) => AdminUserResponse.from(user), request);
  }

  @Get(':user_id')
  @Operation({
    id: 'getUser',
    summary: 'Read a user',
    details: 'Send the `ETag` of an earlier response as `If-None-Match`: 304 means that nothing has changed.',
    access: 'administrator',
    scope: 'ua:users:read',
    params: { user_id: USER_ID },
    returns: AdminUserResponse,
    description: 'The user',
    condition: IF_NONE_MATCH,
    examples: NOT_FOUND,
  })
  async get(@Param('user_id') id: string, @Res({ passthrough: true }) response: Response): Promise<AdminUserResponse> {
    return respondWithUser(await this.users.getById(id), AdminUserResponse, response);
  }

  @Patch(':user_id')
  @Operation({
    id: 'updateUser',
    summary: 'Change the name, address, role, status or rate limit of a user',
    details:
      'Changes only the given fields; a name is trimmed and normalized to Unicode NFC before it is checked and stored. An empty object changes nothing. Safe to repeat. With `If-Match`, 412 means that another request has changed the user since, and nothing was written: read it again, and decide anew. After 503 or without a response, a repeated request with `If-Match` is 412 if the first one was carried out. 403 for `email`, `is_admin` or the status ACTIVE with a key that has scopes. 409: another user has the address, or this is the last active administrator, who must stay one.',
    access: 'administrator',
    scope: 'ua:users:write',
    params: { user_id: USER_ID },
    body: UserAdminUpdate,
    returns: AdminUserResponse,
    description: 'The user as stored',
    condition: IF_MATCH,
    fails: ['conflict'],
    examples: {
      ...NAME_NOT_TEXT,
      email: new InvalidEmailError(),
      ...INVALID_STATUS,
      ...INVALID_RATE_LIMIT,
      key_with_scopes: new InsufficientScopeError(),
      ...NOT_FOUND,
      taken: new EmailTakenError(),
      ...LAST,
      ...VERSION_MISMATCH,
    },
  })
  async update(
    @CurrentUser() caller: Principal,
    @Param('user_id') id: string,
    @Headers() headers: IncomingHttpHeaders,
    @Body() changes: UserAdminUpdate,
    @Res({ passthrough: true }) response: Response,
  ): Promise<AdminUserResponse> {
    const options = { by: caller, ...conditionsOf(headers, id) };
    return respondWithUser(await this.users.change(id, changesOf(changes), options), AdminUserResponse, response);
  }

  @Delete(':user_id')
  @Operation({
    id: 'deactivateUser',
    summary: 'Deactivate a user, whose keys stop working at once; safe to repeat',
    details:
      'The user becomes INACTIVE, and every key of it stops working with the next request. Nothing is deleted; `updateUser` makes it ACTIVE again. With `If-Match`, 412 means that another request has changed the user since, and nothing was written. After 503 or without a response, a repeated request with `If-Match` is 412 if the first one was carried out. 409: this is the last active administrator, who must stay.',
    access: 'administrator',
    scope: 'ua:users:write',
    params: { user_id: USER_ID },
    status: 204,
    description: 'The user is INACTIVE',
    condition: IF_MATCH,
    fails: ['conflict'],
    examples: { ...NOT_FOUND, ...LAST, ...VERSION_MISMATCH },
  })
  async deactivate(
    @CurrentUser() caller: Principal,
    @Param('user_id') id: string,
    @Headers() headers: IncomingHttpHeaders,
  ): Promise<void> {
    await this.users.change(id, { status: 'INACTIVE' }, { by: caller, ...conditionsOf(headers, id) });
  }
}

import { Body, Delete, Get, Header, Param, Patch, Post, Query, Req } from '@nestjs/common';
import type { Request } from 'express';
import { PAGE_HEADERS } from '../common/docs/responses.js';
import { ApiTag } from '../common/docs/tags.js';
import { INVALID_PAGE } from '../common/pagination/page.request.js';
import { pageWindowOf } from '../common/pagination/page.js';
import { paginated } from '../common/pagination/paginated.js';
import { invalidInstant } from '../common/validation/instant.decorator.js';
import { EXAMPLE_USER_ID } from '../common/validation/uuid.js';
import { ApiKeyOwnerNotFoundError, MissingScopesError } from './api-keys.errors.js';
import { ApiKeysService } from './api-keys.service.js';
import { CurrentUser } from './authenticated.decorator.js';
import {
  KEY_EXPIRY_PASSED,
  KEY_LIMIT,
  KEY_NOT_ACTIVE,
  KEY_NOT_FOUND,
  KEY_REFUSED,
  HIGHER_RATE_LIMIT,
  INVALID_RATE_LIMIT,
  STRONGER_KEY,
} from './documented-failures.js';
import {
  ApiKeyCreate,
  ApiKeyListRequest,
  ApiKeyRotate,
  ApiKeyUpdate,
  changesOf,
  newKeyOf,
} from './dto/api-key.requests.js';
import { ApiKeyPage, ApiKeyResponse, ApiKeyWithSecretResponse } from './dto/api-key.response.js';
import { ApiController, Operation } from './operation.decorator.js';
import { KEY_NAME, USER_ID } from './path-parameters.js';
import type { Principal } from './principal.js';

const NO_USER = { user: new ApiKeyOwnerNotFoundError(EXAMPLE_USER_ID) };

/** The keys of other users, for administrators. `current` identifies no key here. */
@ApiTag('Administration')
@ApiController('users/:user_id/api-keys')
export class ApiKeysAdminController {
  constructor(private readonly apiKeys: ApiKeysService) {}

  @Post()
  @Header('Cache-Control', 'no-store')
  @Operation({
    id: 'createApiKeyForUser',
    summary: 'Create an API key for a user',
    details:
      'The response is the only one that contains the secret. 409: the user has a key of that name, or 100 active ones. The name of an expired or revoked key stays taken. After 503 or without a response the key may have been made, and its secret is lost: a repeated request is 409 then, and a request with another name makes a key with a secret that you can read.',
    access: 'administrator',
    scope: 'ua:users:keys:write',
    params: { user_id: USER_ID },
    body: ApiKeyCreate,
    returns: ApiKeyWithSecretResponse,
    status: 201,
    description: 'The key with its secret, which no other response contains',
    fails: ['conflict'],
    examples: {
      ...STRONGER_KEY,
      ...HIGHER_RATE_LIMIT,
      missing_scopes: new MissingScopesError(),
      ...INVALID_RATE_LIMIT,
      ...KEY_REFUSED,
      ...NO_USER,
      ...KEY_LIMIT,
    },
  })
  async create(
    @CurrentUser() caller: Principal,
    @Param('user_id') id: string,
    @Body() body: ApiKeyCreate,
  ): Promise<ApiKeyWithSecretResponse> {
    const created = await this.apiKeys.create({ userId: id, ...newKeyOf(body) }, { by: caller });
    return ApiKeyWithSecretResponse.withSecret(created);
  }

  @Get()
  @Operation({
    id: 'listApiKeysOfUser',
    summary: 'List the API keys of a user, the newest first',
    details:
      'Expired and revoked keys stay in the list, unless `expires_before` asks for the active ones that expire soon. To read every key once while others are added, follow the `Link` header.',
    access: 'administrator',
    scope: 'ua:users:keys:read',
    params: { user_id: USER_ID },
    query: ApiKeyListRequest,
    returns: ApiKeyPage,
    description: 'One page of keys',
    headers: PAGE_HEADERS,
    examples: { expires_before: invalidInstant('expires_before'), ...INVALID_PAGE, ...NO_USER },
  })
  async list(
    @Param('user_id') userId: string,
    @Query() query: ApiKeyListRequest,
    @Req() request: Request,
  ): Promise<ApiKeyPage> {
    const page = await this.apiKeys.list(userId, pageWindowOf(query), { expiresBefore: query.expires_before });
    return paginated(page, query, (key) => ApiKeyResponse.from(key), request);
  }

  @Get(':key_name')
  @Operation({
    id: 'getApiKeyOfUser',
    summary: 'Read an API key of a user',
    details: 'The key without its secret. 404 is the same for an unknown user and for an unknown key.',
    access: 'administrator',
    scope: 'ua:users:keys:read',
    params: { user_id: USER_ID, key_name: KEY_NAME },
    returns: ApiKeyResponse,
    description: 'The key',
    examples: KEY_NOT_FOUND,
  })
  async get(@Param('user_id') userId: string, @Param('key_name') name: string): Promise<ApiKeyResponse> {
    return ApiKeyResponse.from(await this.apiKeys.getByName(userId, name));
  }

  @Patch(':key_name')
  @Operation({
    id: 'updateApiKeyOfUser',
    summary: 'Change the name, the scopes, the rate limit or the expiry of an API key of a user',
    details:
      'Changes only the given fields. After 503 or without a response the change may have been made: a repeated renaming is 404 then, because the key has its new name. Any other change is safe to repeat. 409: the new name is taken, or the expiry of an expired or revoked key would change; such a key stays ended.',
    access: 'administrator',
    scope: 'ua:users:keys:write',
    params: { user_id: USER_ID, key_name: KEY_NAME },
    body: ApiKeyUpdate,
    returns: ApiKeyResponse,
    description: 'The key as stored',
    fails: ['conflict'],
    examples: { ...STRONGER_KEY, ...INVALID_RATE_LIMIT, ...KEY_REFUSED, ...KEY_NOT_FOUND, ...KEY_NOT_ACTIVE },
  })
  async update(
    @CurrentUser() caller: Principal,
    @Param('user_id') userId: string,
    @Param('key_name') name: string,
    @Body() changes: ApiKeyUpdate,
  ): Promise<ApiKeyResponse> {
    return ApiKeyResponse.from(await this.apiKeys.update(userId, name, changesOf(changes), { by: caller }));
  }

  @Delete(':key_name')
  @Operation({
    id: 'revokeApiKeyOfUser',
    summary: 'Revoke an API key of a user for good; safe to repeat',
    details:
      'The key stops working with the next request and stays in the list as REVOKED. A repeated request gets the same response.',
    access: 'administrator',
    scope: 'ua:users:keys:write',
    params: { user_id: USER_ID, key_name: KEY_NAME },
    returns: ApiKeyResponse,
    description: 'The key, REVOKED',
    examples: KEY_NOT_FOUND,
  })
  async revoke(
    @CurrentUser() caller: Principal,
    @Param('user_id') userId: string,
    @Param('key_name') name: string,
  ): Promise<ApiKeyResponse> {
    return ApiKeyResponse.from(await this.apiKeys.revoke(userId, name, { by: caller }));
  }

  @Post(':key_name/rotate')
  @Header('Cache-Control', 'no-store')
  @Operation({
    id: 'rotateApiKeyOfUser',
    summary: 'Give an active API key of a user a new secret',
    details:
      'The response is the only one that contains the new secret. The old one works on for `overlap_seconds`; 0 ends it at once. Not safe to repeat: each request makes another secret. 409: the key is expired or revoked.',
    access: 'administrator',
    scope: 'ua:users:keys:write',
    params: { user_id: USER_ID, key_name: KEY_NAME },
    body: ApiKeyRotate,
    returns: ApiKeyWithSecretResponse,
    status: 201,
    description: 'The key with its new secret',
    fails: ['conflict'],
    examples: { ...STRONGER_KEY, ...KEY_EXPIRY_PASSED, ...KEY_NOT_FOUND, ...KEY_NOT_ACTIVE },
  })
  async rotate(
    @CurrentUser() caller: Principal,
    @Param('user_id') userId: string,
    @Param('key_name') name: string,
    @Body() { expires_at: expiresAt, overlap_seconds: overlapSeconds = 0 }: ApiKeyRotate,
  ): Promise<ApiKeyWithSecretResponse> {
    const rotation = { expiresAt, overlapSeconds };
    return ApiKeyWithSecretResponse.withSecret(await this.apiKeys.rotate(userId, name, rotation, { by: caller }));
  }
}

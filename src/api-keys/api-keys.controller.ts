import { Body, Delete, Get, Header, Param, Patch, Post, Query, Req, Res } from '@nestjs/common';
import type { Request, Response } from 'express';
import { LOCATION, PAGE_HEADERS } from '../common/docs/responses.js';
import { ApiTag } from '../common/docs/tags.js';
import { locationOf } from '../common/http/location.js';
import { INVALID_PAGE } from '../common/pagination/page.request.js';
import { pageWindowOf } from '../common/pagination/page.js';
import { paginated } from '../common/pagination/paginated.js';
import { invalidInstant } from '../common/validation/instant.decorator.js';
import { ApiKeysService } from './api-keys.service.js';
import { CurrentUser } from './authenticated.decorator.js';
import {
  ApiKeyCreate,
  ApiKeyListRequest,
  ApiKeyRotate,
  ApiKeyUpdate,
  changesOf,
  newKeyOf,
} from './dto/api-key.requests.js';
import { ApiKeyPage, ApiKeyResponse, ApiKeyWithSecretResponse } from './dto/api-key.response.js';
import {
  KEY_EXPIRY_PASSED,
  KEY_LIMIT,
  KEY_NOT_ACTIVE,
  KEY_NOT_FOUND,
  KEY_REFUSED,
  HIGHER_RATE_LIMIT,
  RATE_LIMIT_REFUSED,
  STRONGER_KEY,
} from './documented-failures.js';
import { ApiController, Operation } from './operation.decorator.js';
import { KEY_NAME } from './path-parameters.js';
import type { Principal } from './principal.js';

@ApiTag('API keys')
@ApiController('api-keys')
export class ApiKeysController {
  constructor(private readonly apiKeys: ApiKeysService) {}

  @Post()
  @Header('Cache-Control', 'no-store')
  @Operation({
    id: 'createApiKey',
    summary: 'Create an API key for the calling user',
    details:
      'The response is the only one that contains the secret. 409: there is a key of that name, or there are 100 active ones. The name of an expired or revoked key stays taken. After 503 or without a response the key may have been made, and its secret is lost: a repeated request is 409 then, and `rotateApiKey` gives that key a secret that you can read.',
    access: 'user',
    scope: 'ua:keys:write',
    body: ApiKeyCreate,
    returns: ApiKeyWithSecretResponse,
    status: 201,
    description: 'The key with its secret, which no other response contains',
    headers: LOCATION,
    fails: ['conflict'],
    examples: { ...STRONGER_KEY, ...RATE_LIMIT_REFUSED, ...HIGHER_RATE_LIMIT, ...KEY_REFUSED, ...KEY_LIMIT },
  })
  async create(
    @CurrentUser() caller: Principal,
    @Body() body: ApiKeyCreate,
    @Res({ passthrough: true }) response: Response,
  ): Promise<ApiKeyWithSecretResponse> {
    const created = await this.apiKeys.create({ userId: caller.userId, ...newKeyOf(body) }, { by: caller });
    response.location(locationOf(response.req, created.key.name));
    return ApiKeyWithSecretResponse.withSecret(created);
  }

  @Get()
  @Operation({
    id: 'listApiKeys',
    summary: 'List the API keys of the calling user, the newest first',
    details:
      'Expired and revoked keys stay in the list, unless `expires_before` asks for the active ones that expire soon. To read every key once while others are added, follow the `Link` header.',
    access: 'user',
    scope: 'ua:keys:read',
    query: ApiKeyListRequest,
    returns: ApiKeyPage,
    description: 'One page of keys',
    headers: PAGE_HEADERS,
    examples: { expires_before: invalidInstant('expires_before'), ...INVALID_PAGE },
  })
  async list(
    @CurrentUser() caller: Principal,
    @Query() query: ApiKeyListRequest,
    @Req() request: Request,
  ): Promise<ApiKeyPage> {
    const filter = { expiresBefore: query.expires_before };
    const page = await this.apiKeys.list(caller.userId, pageWindowOf(query), filter);
    return paginated(page, query, (key) => ApiKeyResponse.from(key), request);
  }

  @Get('current')
  @Operation({
    id: 'getCurrentApiKey',
    summary: 'Read the API key that this call is made with',
    details: 'Works for whichever key the call is made with, without knowing its name.',
    access: 'user',
    scope: null,
    returns: ApiKeyResponse,
    description: 'The key',
  })
  async getCurrent(@CurrentUser() caller: Principal): Promise<ApiKeyResponse> {
    return ApiKeyResponse.from(await this.apiKeys.getById(caller.userId, caller.keyId));
  }

  @Delete('current')
  @Operation({
    id: 'revokeCurrentApiKey',
    summary: 'Revoke the API key that this call is made with, such as a leaked one that you have found',
    details:
      'Ends the key with which the call is made, for good: what to do with a key that was found where it should not be. The next request with it is 401. After 503 or without a response, a repeated request is 401 if the first one was carried out.',
    access: 'user',
    scope: null,
    returns: ApiKeyResponse,
    description: 'The key, REVOKED; the next call with it is refused',
  })
  async revokeCurrent(@CurrentUser() caller: Principal): Promise<ApiKeyResponse> {
    return ApiKeyResponse.from(await this.apiKeys.revokeById(caller.userId, caller.keyId, { by: caller }));
  }

  @Get(':key_name')
  @Operation({
    id: 'getApiKey',
    summary: 'Read an API key',
    details:
      'Returns the key without its secret, which was shown once. A key of another user is 404, like one that does not exist.',
    access: 'user',
    scope: 'ua:keys:read',
    params: { key_name: KEY_NAME },
    returns: ApiKeyResponse,
    description: 'The key',
    examples: KEY_NOT_FOUND,
  })
  async get(@CurrentUser() caller: Principal, @Param('key_name') name: string): Promise<ApiKeyResponse> {
    return ApiKeyResponse.from(await this.apiKeys.getByName(caller.userId, name));
  }

  @Patch(':key_name')
  @Operation({
    id: 'updateApiKey',
    summary: 'Change the name, the scopes or the rate limit of an API key, or the expiry of an active one',
    details:
      'Changes only the given fields. After 503 or without a response the change may have been made: a repeated renaming is 404 then, because the key has its new name. Any other change is safe to repeat. 409: the new name is taken, or the expiry of an expired or revoked key would change; such a key stays ended.',
    access: 'user',
    scope: 'ua:keys:write',
    params: { key_name: KEY_NAME },
    body: ApiKeyUpdate,
    returns: ApiKeyResponse,
    description: 'The key as stored',
    fails: ['conflict'],
    examples: { ...STRONGER_KEY, ...RATE_LIMIT_REFUSED, ...KEY_REFUSED, ...KEY_NOT_FOUND, ...KEY_NOT_ACTIVE },
  })
  async update(
    @CurrentUser() caller: Principal,
    @Param('key_name') name: string,
    @Body() changes: ApiKeyUpdate,
  ): Promise<ApiKeyResponse> {
    return ApiKeyResponse.from(await this.apiKeys.update(caller.userId, name, changesOf(changes), { by: caller }));
  }

  @Delete(':key_name')
  @Operation({
    id: 'revokeApiKey',
    summary: 'Revoke an API key for good; safe to repeat',
    details:
      'The key stops working with the next request and stays in the list as REVOKED. A repeated request gets the same response.',
    access: 'user',
    scope: 'ua:keys:write',
    params: { key_name: KEY_NAME },
    returns: ApiKeyResponse,
    description: 'The key, REVOKED',
    examples: KEY_NOT_FOUND,
  })
  async revoke(@CurrentUser() caller: Principal, @Param('key_name') name: string): Promise<ApiKeyResponse> {
    return ApiKeyResponse.from(await this.apiKeys.revoke(caller.userId, name, { by: caller }));
  }

  @Post(':key_name/rotate')
  @Header('Cache-Control', 'no-store')
  @Operation({
    id: 'rotateApiKey',
    summary: 'Give an active API key a new secret',
    details:
      'The response is the only one that contains the new secret. The old one works for `overlap_seconds` more, and responses to it have `Deprecation` and `Sunset`; 0 ends it at once. Not safe to repeat: each request makes another secret. After 503 or without a response the key may have a new secret, which is lost: rotate it again with another key of yours, or ask an administrator to. The old secret, which works until its overlap ends, may not rotate any more (403). 409: the key is expired or revoked.',
    access: 'user',
    scope: 'ua:keys:write',
    params: { key_name: KEY_NAME },
    body: ApiKeyRotate,
    returns: ApiKeyWithSecretResponse,
    status: 201,
    description:
      'The key with its new secret. Responses to the old one have `Deprecation` and `Sunset` until its overlap ends',
    fails: ['conflict'],
    examples: { ...STRONGER_KEY, ...KEY_EXPIRY_PASSED, ...KEY_NOT_FOUND, ...KEY_NOT_ACTIVE },
  })
  async rotate(
    @CurrentUser() caller: Principal,
    @Param('key_name') name: string,
    @Body() { expires_at: expiresAt, overlap_seconds: overlapSeconds = 0 }: ApiKeyRotate,
  ): Promise<ApiKeyWithSecretResponse> {
    const rotated = await this.apiKeys.rotate(caller.userId, name, { expiresAt, overlapSeconds }, { by: caller });
    return ApiKeyWithSecretResponse.withSecret(rotated);
  }
}

import { STATUS_CODES } from 'node:http';
import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { STATUS_OF } from '../errors/domain.error.js';
import { ErrorResponse } from '../errors/error.response.js';
import { headerObjects } from './responses.js';

type Operation = NonNullable<OpenAPIObject['paths'][string]['get']>;

/**
 * What a caller reads with each status, by the occasion. A test of the document sees each of them
 * said.
 */
const EXAMPLE_MESSAGES: Readonly<Partial<Record<number, Readonly<Record<string, string>>>>> = {
  [STATUS_OF.invalid]: {
    value: 'name must be a string',
    property: 'The property "email" is not known here',
    body: 'The body must be a JSON object',
  },
  [STATUS_OF.unauthenticated]: {
    missing: 'An API key is required in the x-api-key header',
    invalid: 'The API key is not valid',
  },
  [STATUS_OF.payment_required]: { balance: 'The balance does not hold that many credits' },
  [STATUS_OF.forbidden]: { role: 'Only administrators may do this' },
  [STATUS_OF.not_found]: {
    user: 'User with ID 0198c5a2-7b1e-4c7d-9f43-2a6d5e8b1c90 not found',
    api_key: 'There is no such API key',
  },
  [STATUS_OF.conflict]: {
    email: 'There is already a user with this e-mail address',
    last_administrator: 'The last active administrator cannot be deactivated',
    key_name: 'There is already an API key named laptop',
    key_status: 'The API key is REVOKED, which is final',
    transaction: 'This transaction_id already stands for another transaction of the user',
  },
  [STATUS_OF.precondition_failed]: {
    version: 'The user has changed since the version that If-Match names',
    none_match: 'The user is as If-None-Match says that it must not be',
  },
  [STATUS_OF.too_large]: { body: 'The body must be at most 16384 bytes long' },
  [STATUS_OF.unsupported_media_type]: {
    media_type: 'The body must be application/json or application/merge-patch+json',
  },
  [STATUS_OF.rate_limited]: { key: 'The API key may make 6000 requests a minute' },
  [STATUS_OF.internal]: { bug: 'Internal server error' },
  [STATUS_OF.unavailable]: { database: 'The service is temporarily unavailable' },
};

const TAGS: Readonly<Record<string, string>> = {
  Users:
    'The user that an API key belongs to. Every failure is `{ status, message }`; each operation says what its own mean',
  'API keys':
    'What a user calls with, in the `x-api-key` header. An administrator makes the first one; each can be rotated and revoked',
  Billing: 'Credits, which move only by entries of a ledger',
  Administration: 'Users, and the trail of who changed what, for administrators',
  Health: 'Whether the process lives, and whether it can serve',
};

const EXTRA_HEADERS: Partial<Record<number, Record<string, string>>> = {
  [STATUS_OF.unauthenticated]: { 'WWW-Authenticate': 'The scheme and the header field that carries the key' },
  [STATUS_OF.unsupported_media_type]: { 'Accept-Patch': 'The media types that this route takes' },
  [STATUS_OF.rate_limited]: { 'Retry-After': 'Seconds until the next window' },
  [STATUS_OF.unavailable]: { 'Retry-After': 'Seconds after which to try again' },
};

/** On answers to a key, where they apply. */
const LIMIT_HEADERS: Readonly<Record<string, string>> = {
  'RateLimit-Policy':
    'The limit of the key: requests in a window of so many seconds, as `"key";q=6000;w=60`; absent where there is none',
  RateLimit: 'What is left of it, and the seconds until the next window, as `"key";r=5999;t=60`',
};
const SUPERSEDED_HEADERS: Readonly<Record<string, string>> = {
  Deprecation: 'Where a rotation has replaced the secret: when (RFC 9745)',
  Sunset: 'Where a rotation has replaced the secret: until when it works (RFC 8594)',
};

/**
 * Describes the application. Every failure is stated once, as a component that the operations refer
 * to, so that a generated client has one type for it.
 */
export function describeApi(app: INestApplication, securityScheme: string): OpenAPIObject {
  const config = new DocumentBuilder()
    .setTitle('Users API')
    .setDescription('API for user management and authentication')
    .setVersion('1.0.0')
    .setLicense('MIT', 'https://spdx.org/licenses/MIT.html')
    .addServer('/', 'The server that publishes this document')
    .addApiKey({ type: 'apiKey', in: 'header', name: 'x-api-key' }, securityScheme)
    .build();
  const document = SwaggerModule.createDocument(app, config, { extraModels: [ErrorResponse] });
  const operations = Object.values(document.paths).flatMap((path) =>
    Object.values(path).filter((value): value is Operation => typeof value === 'object' && 'responses' in value),
  );
  describeKeyHeaders(document, operations);
  shareFailures(document, operations);
  closeRequestBodies(document, operations);
  document.security = []; // an operation that needs a key declares it
  document.tags = tagsOf(operations);
  return document;
}

/** What `ApiKeyGuard` says in the header of every answer to a key, stated once. */
function describeKeyHeaders(document: OpenAPIObject, operations: readonly Operation[]): void {
  const headers = { ...LIMIT_HEADERS, ...SUPERSEDED_HEADERS };
  document.components = { ...document.components, headers: headerObjects(headers) };
  const references = Object.fromEntries(
    Object.keys(headers).map((name) => [name, { $ref: `#/components/headers/${name}` }]),
  );
  for (const { responses } of operations.filter(({ security }) => security)) {
    for (const [status, response] of Object.entries(responses)) {
      if (Number(status) < 400 && response && !('$ref' in response))
        response.headers = { ...response.headers, ...references };
    }
  }
}

function shareFailures(document: OpenAPIObject, operations: readonly Operation[]): void {
  const shared: NonNullable<NonNullable<OpenAPIObject['components']>['responses']> = {};
  for (const { responses } of operations) {
    for (const status of Object.keys(responses)
      .map(Number)
      .filter((code) => code >= 400)) {
      const reason = STATUS_CODES[status] ?? 'Error';
      const name = reason.replaceAll(' ', '');
      shared[name] ??= failure(status, reason);
      responses[status] = { $ref: `#/components/responses/${name}` };
    }
  }
  document.components = { ...document.components, responses: shared };
}

function failure(status: number, reason: string) {
  const headers = { 'X-Request-Id': 'Names this request in the log', ...EXTRA_HEADERS[status] };
  return {
    description: reason.charAt(0) + reason.slice(1).toLowerCase(),
    headers: {
      ...headerObjects(headers),
      ...(status === STATUS_OF.rate_limited && headerObjects(LIMIT_HEADERS)),
    },
    content: {
      'application/json': {
        schema: { $ref: '#/components/schemas/ErrorResponse' },
        examples: Object.fromEntries(
          Object.entries(EXAMPLE_MESSAGES[status] ?? {}).map(([name, message]) => [
            name,
            { value: { status, message } },
          ]),
        ),
      },
    },
  };
}

/** In the order of `TAGS`, so that a reader begins with users, and others behind them. */
function tagsOf(operations: readonly Operation[]) {
  const used = new Set(operations.flatMap(({ tags = [] }) => tags));
  const known = Object.keys(TAGS).filter((name) => used.delete(name));
  return [...known, ...used].map((name) => ({ name, description: TAGS[name] ?? name }));
}

/** Documents that the validation pipe refuses unknown properties. */
function closeRequestBodies(document: OpenAPIObject, operations: readonly Operation[]): void {
  for (const { requestBody } of operations) {
    const bodies = Object.values(
      (requestBody as { content?: Record<string, { schema?: { $ref?: string } }> } | undefined)?.content ?? {},
    );
    for (const { schema } of bodies) {
      const model = document.components?.schemas?.[schema?.$ref?.split('/').at(-1) ?? ''];
      if (model) Object.assign(model, { additionalProperties: false });
    }
  }
}

import { STATUS_CODES } from 'node:http';
import { isDeepStrictEqual } from 'node:util';
import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { STATUS_OF } from '../errors/domain.error.js';
import { ErrorResponse } from '../errors/error.response.js';
import { MERGE_PATCH } from '../http/json-body.guard.js';
import { API_KEY_DESCRIPTION, INTRODUCTION } from './introduction.js';
import { headerObjects, type Headers, REQUEST_ID } from './responses.js';

type Operation = NonNullable<OpenAPIObject['paths'][string]['get']>;
type ResponseObject = Exclude<NonNullable<Operation['responses'][string]>, { $ref: string }>;

/** Examples of failures that no route or check declares. */
const COMMON_FAILURES: Readonly<Partial<Record<number, Readonly<Record<string, string>>>>> = {
  [STATUS_OF.internal]: { bug: 'Internal server error' },
  [STATUS_OF.unavailable]: { database: 'The service is temporarily unavailable' },
};

/** The path of the key of the request itself, which one of its operations revokes. */
const OWN_KEY = '/v1/api-keys/current';

const KEYS_TAG = 'API keys';

/**
 * In this order. The tag and the paths of API keys come last, and the revocation of one's own key
 * last of all: a collection that is made from the document and run from top to bottom uses its key
 * until the end.
 */
const TAGS: Readonly<Record<string, string>> = {
  Users:
    'The user that an API key belongs to. Every failure is `{ status, message }`; each operation says what its own mean',
  Billing: 'Credits, which move only by entries of a ledger',
  Administration: 'Users, and the trail of who changed what, for administrators',
  Health: 'Whether the process lives, and whether it can serve',
  [KEYS_TAG]:
    'What a user calls with, in the `x-api-key` header. An administrator makes the first one; each can be rotated and revoked',
};

const EXTRA_HEADERS: Partial<Record<number, Record<string, string>>> = {
  [STATUS_OF.unauthenticated]: { 'WWW-Authenticate': 'The scheme and the header field that carries the key' },
  [STATUS_OF.unsupported_media_type]: { 'Accept-Patch': 'The media types that this route takes' },
  [STATUS_OF.rate_limited]: { 'Retry-After': 'Seconds until the next window' },
  [STATUS_OF.unavailable]: { 'Retry-After': 'Seconds after which to try again' },
};

/** Headers of responses to a key, where they apply. */
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
 * Describes the application. The error responses of all operations are of one schema, so that a
 * generated client has one type for them.
 */
export function describeApi(app: INestApplication, securityScheme: string): OpenAPIObject {
  const config = new DocumentBuilder()
    .setTitle('Users API')
    .setDescription(INTRODUCTION)
    .setVersion('1.0.0')
    .setLicense('MIT', 'https://spdx.org/licenses/MIT.html')
    .addServer('/', 'The server that publishes this document')
    .addApiKey({ type: 'apiKey', in: 'header', name: 'x-api-key', description: API_KEY_DESCRIPTION }, securityScheme)
    .build();
  const document = SwaggerModule.createDocument(app, config, { extraModels: [ErrorResponse] });
  document.paths = sorted(document.paths);
  const operations = Object.values(document.paths).flatMap((path) =>
    Object.values(path).filter((value): value is Operation => typeof value === 'object' && 'responses' in value),
  );
  describeKeyHeaders(document, operations);
  describeFailures(document, operations);
  closeRequestBodies(document, operations);
  for (const path of Object.values(document.paths)) omitMergePatch(path);
  operations.forEach(moveExamples);
  document.security = []; // an operation that needs a key declares it
  document.tags = tagsOf(operations);
  return document;
}

/** The paths in the order of `TAGS`. */
function sorted(paths: OpenAPIObject['paths']): OpenAPIObject['paths'] {
  const { [OWN_KEY]: { get, ...others } = {}, ...rest } = paths;
  const isOfKeys = (path: string): boolean => path.startsWith('/v1/api-keys');
  return Object.fromEntries([
    ...Object.entries(rest).filter(([path]) => !isOfKeys(path)),
    ...Object.entries(rest).filter(([path]) => isOfKeys(path)),
    ...(OWN_KEY in paths ? [[OWN_KEY, { ...(get && { get }), ...others }] as const] : []),
  ]);
}

/** Lists `application/merge-patch+json`, which is for changes, with `PATCH` alone. */
function omitMergePatch(path: OpenAPIObject['paths'][string]): void {
  for (const [method, { requestBody }] of Object.entries(path) as [string, Operation][]) {
    if (method === 'patch' || !requestBody || '$ref' in requestBody) continue;
    requestBody.content = Object.fromEntries(
      Object.entries(requestBody.content).filter(([mediaType]) => mediaType !== MERGE_PATCH),
    );
  }
}

/** Moves the examples of parameters from their schemas to the parameters, where tools look. */
function moveExamples({ parameters = [] }: Operation): void {
  for (const parameter of parameters) {
    const { example, ...schema } = (parameter as { schema: { example?: unknown } }).schema;
    if (example !== undefined) Object.assign(parameter, { example, schema });
  }
}

/** Describes once the headers that `ApiKeyGuard` sets on every response to a key. */
function describeKeyHeaders(document: OpenAPIObject, operations: readonly Operation[]): void {
  const headers = { ...REQUEST_ID, ...LIMIT_HEADERS, ...SUPERSEDED_HEADERS };
  document.components = { ...document.components, headers: headerObjects(headers) };
  const references = referencesTo(LIMIT_HEADERS, SUPERSEDED_HEADERS);
  for (const { responses, security } of operations) {
    for (const [status, response] of Object.entries(responses)) {
      if (Number(status) >= 400 || !response || '$ref' in response) continue;
      response.headers = { ...response.headers, ...referencesTo(REQUEST_ID), ...(security && references) };
    }
  }
}

const referencesTo = (...headers: readonly Headers[]): Record<string, { $ref: string }> =>
  Object.fromEntries(headers.flatMap(Object.keys).map((name) => [name, { $ref: `#/components/headers/${name}` }]));

/**
 * Gives each operation its own examples of failures. The response of the first operation with a key
 * is a component, to which the others with the same examples refer.
 */
function describeFailures(document: OpenAPIObject, operations: readonly Operation[]): void {
  const shared: Record<string, ResponseObject> = {};
  const withKeysFirst = [...operations].sort((one, other) => Number(!one.security) - Number(!other.security));
  for (const { responses, security } of withKeysFirst) {
    for (const [status, response] of Object.entries(responses)) {
      if (Number(status) < 400) continue;
      const own = failure(Number(status), response as ResponseObject, security !== undefined);
      const name = (STATUS_CODES[status] ?? 'Error').replaceAll(' ', '');
      shared[name] ??= own;
      responses[status] = isDeepStrictEqual(own, shared[name]) ? { $ref: `#/components/responses/${name}` } : own;
    }
  }
  document.components = { ...document.components, responses: shared };
}

function failure(status: number, { content }: ResponseObject, toKey: boolean): ResponseObject {
  const reason = STATUS_CODES[status] ?? 'Error';
  const declared = Object.entries(content?.['application/json']?.examples ?? {}) as [
    string,
    { value: ErrorResponse },
  ][];
  const common = Object.entries(COMMON_FAILURES[status] ?? {});
  const limits = toKey && status < 500 && status !== STATUS_OF.unauthenticated;
  return {
    description: reason.charAt(0) + reason.slice(1).toLowerCase(),
    headers: {
      ...referencesTo(REQUEST_ID, limits ? LIMIT_HEADERS : {}),
      ...headerObjects(EXTRA_HEADERS[status] ?? {}),
    },
    content: {
      'application/json': {
        schema: { $ref: '#/components/schemas/ErrorResponse' },
        examples: Object.fromEntries(
          declared.length > 0
            ? declared.map(([name, { value }]) => [name, { value }])
            : common.map(([name, message]) => [name, { value: { status, message } }]),
        ),
      },
    },
  };
}

/** The tags in the order of `TAGS`, and others behind them. */
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

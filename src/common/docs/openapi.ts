import { STATUS_CODES } from 'node:http';
import { isDeepStrictEqual } from 'node:util';
import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { ApiKeyFormat } from '../api-key-format.js';
import { STATUS_OF } from '../errors/domain.error.js';
import { ErrorResponse } from '../errors/error.response.js';
import { MERGE_PATCH } from '../http/json-body.guard.js';
import { describeKey, INTRODUCTION } from './introduction.js';
import { withKeyPrefixes } from './key-prefixes.js';
import {
  ADMINISTRATORS_ONLY,
  ANY_METHOD,
  API_KEY_SCHEME,
  componentName,
  isOurComponent,
  isOurOperation,
  operationId,
  tagName,
  withOperationIds,
  withoutPrefix,
} from './names.js';
import { headerObjects, type Headers, REQUEST_ID } from './responses.js';
import { TAGS } from './tags.js';

type Operation = NonNullable<OpenAPIObject['paths'][string]['get']>;
type PathItem = OpenAPIObject['paths'][string];
type Tags = NonNullable<OpenAPIObject['tags']>;
type Components = NonNullable<OpenAPIObject['components']>;
type ResponseObject = Exclude<NonNullable<Operation['responses'][string]>, { $ref: string }>;

/** Examples of failures that no route or check declares. */
const COMMON_FAILURES: Readonly<Partial<Record<number, Readonly<Record<string, string>>>>> = {
  [STATUS_OF.internal]: { bug: 'Internal server error' },
  [STATUS_OF.unavailable]: { database: 'The service is temporarily unavailable' },
};

const schemeOf = (format: ApiKeyFormat) =>
  ({ type: 'apiKey', in: 'header', name: 'x-api-key', description: describeKey(format) }) as const;

/** Inputs of the document besides the routes. */
export interface DescriptionOptions {
  /** The option `apiKeyPrefixes` of `UsersApiModule`. */
  readonly apiKeyPrefixes?: readonly string[] | undefined;
}

const ERROR = `#/components/schemas/${componentName(ErrorResponse.name)}`;

const OWN_KEY_REVOCATION = operationId('revokeCurrentApiKey');

const KEYS_TAG = tagName('API keys');

const EXTRA_HEADERS: Partial<Record<number, Record<string, string>>> = {
  [STATUS_OF.unauthenticated]: { 'WWW-Authenticate': 'The scheme and the header field that carries the key' },
  [STATUS_OF.unsupported_media_type]: { 'Accept-Patch': 'The media types that this route takes' },
  [STATUS_OF.rate_limited]: { 'Retry-After': 'Seconds until the next window of the exceeded limit' },
  [STATUS_OF.unavailable]: { 'Retry-After': 'Seconds after which to try again' },
};

/** Headers of responses to requests with a key, where they apply. */
const LIMIT_HEADERS: Readonly<Record<string, string>> = {
  'RateLimit-Policy':
    'The limits of the key and of its user, as far as they exist: requests in a window of so many seconds, as `"key";q=6000;w=60, "user";q=9000;w=60`',
  RateLimit: 'What is left of each, and the seconds until its next window, as `"key";r=5999;t=60, "user";r=8999;t=60`',
};
const SUPERSEDED_HEADERS: Readonly<Record<string, string>> = {
  Deprecation: 'Where a rotation has replaced the secret: when (RFC 9745)',
  Sunset: 'Where a rotation has replaced the secret: until when it works (RFC 8594)',
};

/**
 * Describes the standalone application: `describeUsersApi`, plus a title and an introduction, and
 * with names without a prefix.
 */
export function describeApi(app: INestApplication, options: DescriptionOptions): OpenAPIObject {
  const config = new DocumentBuilder()
    .setTitle('Users API')
    .setDescription(INTRODUCTION)
    .setVersion('1.0.0')
    .setLicense('MIT', 'https://spdx.org/licenses/MIT.html')
    .addServer('/', 'The server that publishes this document')
    .addSecurity(API_KEY_SCHEME, schemeOf(new ApiKeyFormat(options.apiKeyPrefixes)))
    .build();
  const document = SwaggerModule.createDocument(app, config, { extraModels: [ErrorResponse] });
  document.paths = Object.fromEntries(
    Object.entries(document.paths)
      .sort(([, one], [, other]) => rank(one) - rank(other))
      .map(([path, item]) => [path, revocationLast(item)]),
  );
  document.security = []; // an operation that needs a key declares it
  return withoutPrefix(describeUsersApi(document, options));
}

/**
 * Completes a document of `SwaggerModule.createDocument`, which lists the routes of
 * `UsersApiModule`: adds their examples, headers, failures and tags, closes their request bodies,
 * and adds the security scheme unless the document has it. Shows keys with the first of the given
 * prefixes. Changes nothing else. Idempotent.
 *
 * @returns the same document
 */
export function describeUsersApi(document: OpenAPIObject, { apiKeyPrefixes }: DescriptionOptions = {}): OpenAPIObject {
  const format = new ApiKeyFormat(apiKeyPrefixes);
  document.paths = Object.fromEntries(Object.entries(document.paths).map(([path, item]) => [path, listedOnce(item)]));
  const items = Object.values(document.paths).sort((one, other) => rank(one) - rank(other));
  const operations = items.flatMap(operationsOf);
  const ids = operations.map(({ operationId = '' }) => operationId);
  const components = (document.components ??= {});
  const schemes = (components.securitySchemes ??= {});
  const scheme = schemeOf(format);
  schemes[API_KEY_SCHEME] ??= { ...scheme, description: withOperationIds(scheme.description, ids) };
  if (operations.length === 0) return document;
  describeKeyHeaders(components, operations);
  describeFailures(components, operations);
  closeRequestBodies(components, operations);
  for (const item of items) omitMergePatch(item);
  for (const operation of operations) {
    moveExamples(operation);
    operation.description = withOperationIds(operation.description ?? '', ids);
  }
  showPrefixes(components, operations, format);
  document.tags = withTags(document.tags ?? [], operations);
  return document;
}

const isOperation = (value: unknown): value is Operation =>
  typeof value === 'object' && value !== null && 'responses' in value;

/** Our operations of a path. */
const operationsOf = (item: PathItem): Operation[] =>
  Object.values(item)
    .filter(isOperation)
    .filter(({ operationId }) => isOurOperation(operationId));

/**
 * The sort key of a path. The paths of API keys come last, and the path that revokes the caller's
 * own key last of all, so that a collection of requests generated from the document can use one key
 * from the first to the last.
 */
function rank(item: PathItem): number {
  const operations = operationsOf(item);
  if (operations.some(({ operationId }) => operationId === OWN_KEY_REVOCATION)) return 2;
  return operations.some(({ tags }) => tags?.includes(KEYS_TAG)) ? 1 : 0;
}

/** The operations of a path, with the revocation of the caller's own key last. */
function revocationLast(item: PathItem): PathItem {
  if (item.delete?.operationId !== OWN_KEY_REVOCATION) return item;
  const { delete: revocation, ...others } = item;
  return { ...others, delete: revocation };
}

/** A path, with a handler that accepts every method listed only as GET. */
const listedOnce = (item: PathItem): PathItem => (item.get && ANY_METHOD in item.get ? { get: item.get } : item);

/** Lists `application/merge-patch+json`, which is for changes, only with `PATCH`. */
function omitMergePatch(item: PathItem): void {
  for (const operation of operationsOf(item)) {
    const { requestBody } = operation;
    if (operation === item.patch || !requestBody || '$ref' in requestBody) continue;
    requestBody.content = Object.fromEntries(
      Object.entries(requestBody.content).filter(([mediaType]) => mediaType !== MERGE_PATCH),
    );
  }
}

/**
 * Moves the examples of parameters from their schemas to the parameters, where tools look for them.
 */
function moveExamples({ parameters = [] }: Operation): void {
  for (const parameter of parameters) {
    const { example, ...schema } = (parameter as { schema?: { example?: unknown } }).schema ?? {};
    if (example !== undefined) Object.assign(parameter, { example, schema });
  }
}

/** Describes once the headers that `ApiKeyGuard` sets on every response to a request with a key. */
function describeKeyHeaders(components: Components, operations: readonly Operation[]): void {
  const headers = Object.entries(headerObjects({ ...REQUEST_ID, ...LIMIT_HEADERS, ...SUPERSEDED_HEADERS }));
  components.headers = {
    ...components.headers,
    ...Object.fromEntries(headers.map(([name, header]) => [componentName(name), header])),
  };
  const references = referencesTo(LIMIT_HEADERS, SUPERSEDED_HEADERS);
  for (const { responses, security } of operations) {
    for (const [status, response] of Object.entries(responses)) {
      if (Number(status) >= 400 || !response || '$ref' in response) continue;
      response.headers = { ...response.headers, ...referencesTo(REQUEST_ID), ...(security && references) };
    }
  }
}

const referencesTo = (...headers: readonly Headers[]): Record<string, { $ref: string }> =>
  Object.fromEntries(
    headers.flatMap(Object.keys).map((name) => [name, { $ref: `#/components/headers/${componentName(name)}` }]),
  );

/**
 * Gives each operation its own examples of failures. The response of the first operation that needs
 * a key becomes a component, to which operations with the same examples refer.
 */
function describeFailures(components: Components, operations: readonly Operation[]): void {
  const shared = { ...components.responses };
  const withKeysFirst = [...operations].sort((one, other) => Number(!one.security) - Number(!other.security));
  for (const { responses, security } of withKeysFirst) {
    for (const [status, response] of Object.entries(responses)) {
      if (!response || '$ref' in response || !isOurFailure(response)) continue;
      const own = failure(Number(status), response, security !== undefined);
      const name = componentName((STATUS_CODES[status] ?? 'Error').replaceAll(' ', ''));
      shared[name] ??= own;
      responses[status] = isDeepStrictEqual(own, shared[name]) ? { $ref: `#/components/responses/${name}` } : own;
    }
  }
  components.responses = shared;
}

/** Whether a response is declared by this module, not added to all operations by the host. */
const isOurFailure = ({ content = {} }: ResponseObject): boolean =>
  Object.values(content).some(({ schema }) => schema && '$ref' in schema && schema.$ref === ERROR);

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
        schema: { $ref: ERROR },
        examples: Object.fromEntries(
          declared.length > 0
            ? declared.map(([name, { value }]) => [name, { value }])
            : common.map(([name, message]) => [name, { value: { status, message } }]),
        ),
      },
    },
  };
}

/** Shows keys with the prefixes of the application, in our schemas and parameters. */
function showPrefixes({ schemas = {} }: Components, operations: readonly Operation[], format: ApiKeyFormat): void {
  for (const operation of operations) operation.parameters = withKeyPrefixes(operation.parameters ?? [], format);
  for (const [name, schema] of Object.entries(schemas))
    if (isOurComponent(name)) schemas[name] = withKeyPrefixes(schema, format);
}

/** Adds the tags of our operations in the order of `TAGS`, unless the document already has them. */
function withTags(tags: Tags, operations: readonly Operation[]): Tags {
  const used = new Set(operations.flatMap(({ tags: names = [] }) => names));
  const ours = Object.entries(TAGS).map(([tag, description]) => ({ name: tagName(tag), description }));
  const present = new Set(tags.map(({ name }) => name));
  return [...tags, ...ours.filter(({ name }) => used.has(name) && !present.has(name))];
}

/**
 * Documents that the validation pipe refuses unknown properties. A body with properties that only
 * administrators may send gets an example without them, which is valid for every caller.
 */
function closeRequestBodies({ schemas = {} }: Components, operations: readonly Operation[]): void {
  for (const { requestBody } of operations) {
    for (const body of Object.values((requestBody as { content?: Record<string, Body> } | undefined)?.content ?? {})) {
      const model = schemas[body.schema?.$ref?.split('/').at(-1) ?? ''];
      if (!model) continue;
      Object.assign(model, { additionalProperties: false });
      const properties = Object.entries((model as { properties?: Record<string, Property> }).properties ?? {});
      const open = properties.filter(([, property]) => property[ADMINISTRATORS_ONLY] !== true);
      if (open.length < properties.length)
        body.example = Object.fromEntries(open.map(([name, { example }]) => [name, example]));
    }
  }
}

interface Body {
  readonly schema?: { readonly $ref?: string };
  example?: unknown;
}

interface Property {
  readonly example?: unknown;
  readonly [ADMINISTRATORS_ONLY]?: boolean;
}

import { STATUS_CODES } from 'node:http';
import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { STATUS_OF } from '../errors/domain.error.js';
import { ErrorResponse } from '../errors/error.response.js';

type Operation = NonNullable<OpenAPIObject['paths'][string]['get']>;

/** What a caller reads with each status, in the published document. */
const EXAMPLE_MESSAGES: Partial<Record<number, string>> = {
  [STATUS_OF.invalid]: 'name must be a string',
  [STATUS_OF.unauthenticated]: 'The API key is not valid',
  [STATUS_OF.payment_required]: 'The balance does not hold that many credits',
  [STATUS_OF.forbidden]: 'Only administrators may do this',
  [STATUS_OF.not_found]: 'There is no such API key',
  [STATUS_OF.conflict]: 'There is already an API key named laptop',
  [STATUS_OF.precondition_failed]: 'The user has changed since the version that If-Match names',
  [STATUS_OF.too_large]: 'The body must be at most 16384 bytes long',
  [STATUS_OF.unsupported_media_type]: 'The body must be application/json or application/merge-patch+json',
  [STATUS_OF.internal]: 'Internal server error',
  [STATUS_OF.unavailable]: 'The service is temporarily unavailable',
};

const TAGS: Readonly<Record<string, string>> = {
  Users: 'Who may call, and in whose name',
  'API keys': 'What a user calls with; each can be rotated and revoked',
  Billing: 'Credits, which move only by entries of a ledger',
  Administration: 'Users, and the trail of who changed what, for administrators',
  Health: 'Whether the process lives, and whether it can serve',
};

const EXTRA_HEADERS: Partial<Record<number, Record<string, string>>> = {
  [STATUS_OF.unauthenticated]: { 'WWW-Authenticate': 'The scheme and the header field that carries the key' },
  [STATUS_OF.unsupported_media_type]: { 'Accept-Patch': 'The media types that this route takes' },
  [STATUS_OF.unavailable]: { 'Retry-After': 'Seconds after which to try again' },
};

/**
 * Describes the application. Every failure is stated once, as a component that the operations refer to, so that a
 * generated client has one type for it.
 */
export function describeApi(app: INestApplication, securityScheme: string): OpenAPIObject {
  const config = new DocumentBuilder()
    .setTitle('Users API')
    .setDescription('API for user management and authentication')
    .setVersion('1.0.0')
    .addServer('/', 'The server that publishes this document')
    .addApiKey({ type: 'apiKey', in: 'header', name: 'x-api-key' }, securityScheme)
    .build();
  const document = SwaggerModule.createDocument(app, config, { extraModels: [ErrorResponse] });
  const operations = Object.values(document.paths).flatMap((path) =>
    Object.values(path).filter((value): value is Operation => typeof value === 'object' && 'responses' in value),
  );
  shareFailures(document, operations);
  closeRequestBodies(document, operations);
  document.security = []; // what needs a key says so itself
  document.tags = tagsOf(operations);
  return document;
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
    headers: Object.fromEntries(
      Object.entries(headers).map(([name, description]) => [name, { description, schema: { type: 'string' } }]),
    ),
    content: {
      'application/json': {
        schema: { $ref: '#/components/schemas/ErrorResponse' },
        example: { status, message: EXAMPLE_MESSAGES[status] ?? reason },
      },
    },
  };
}

const tagsOf = (operations: readonly Operation[]) =>
  [...new Set(operations.flatMap(({ tags = [] }) => tags))].map((name) => ({
    name,
    description: TAGS[name] ?? name,
  }));

/** The validation pipe refuses properties it does not know; the document says so. */
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

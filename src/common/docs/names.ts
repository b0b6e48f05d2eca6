import type { Type } from '@nestjs/common';
import { ApiSchema, type OpenAPIObject } from '@nestjs/swagger';

/*
 * Names that are added to the OpenAPI document of a host application. All have a prefix: the
 * application may define its own `UserResponse` and `getMe`, and of two schemas with the same name
 * one replaces the other.
 */

const COMPONENT = 'UsersApi';
const OPERATION = 'usersApi_';
const TAG = 'Users API: ';

/** The name of the security scheme. */
export const API_KEY_SCHEME = componentName('ApiKeyAuth');

/** Marks a property of a request that only administrators may send. */
export const ADMINISTRATORS_ONLY = 'x-administrators-only';

/** The name of a schema, a response, a header or a security scheme. */
export function componentName(name: string): string {
  return COMPONENT + name;
}

export const operationId = (id: string): string => OPERATION + id;
export const tagName = (tag: string): string => TAG + tag;

/** Whether a schema belongs to this module, by its name. */
export const isOurComponent = (name: string): boolean => name.startsWith(COMPONENT);

export const isOurOperation = (id: string | undefined): boolean => id?.startsWith(OPERATION) ?? false;

/** The extension that marks an operation that accepts every method and is listed once. */
export const ANY_METHOD = 'x-accepts-any-method';

const named = new WeakSet<Type<unknown>>();

/** Names the schemas of classes. Idempotent. */
export function nameSchemas(...types: readonly Type<unknown>[]): void {
  for (const type of types) {
    if (!named.has(type)) ApiSchema({ name: componentName(type.name) })(type);
    named.add(type);
  }
}

/** Adds the prefix to the operation ids that a text names in backticks. Idempotent. */
export const withOperationIds = (text: string, ids: readonly string[]): string =>
  ids.reduce((result, id) => result.replaceAll(`\`${id.slice(OPERATION.length)}\``, `\`${id}\``), text);

/** Removes the prefix from all names, for the document of the standalone application. */
export const withoutPrefix = (document: OpenAPIObject): OpenAPIObject =>
  JSON.parse(
    JSON.stringify(document).replaceAll(new RegExp(`\\b${COMPONENT}(?=[A-Z])|\\b${OPERATION}|\\b${TAG}`, 'g'), ''),
  ) as OpenAPIObject;

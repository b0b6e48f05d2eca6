import type { Type } from '@nestjs/common';
import { ApiSchema, type OpenAPIObject } from '@nestjs/swagger';

/*
 * The names of what we add to the document of an application. All have a prefix: the application
 * may have a `UserResponse` and a `getMe` of its own, and one of two schemas with the same name
 * replaces the other.
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

/** Whether a schema is one of ours, by its name. */
export const isOurComponent = (name: string): boolean => name.startsWith(COMPONENT);

export const isOurOperation = (id: string | undefined): boolean => id?.startsWith(OPERATION) ?? false;

/** The extension of an operation that accepts every method, and is listed once. */
export const ANY_METHOD = 'x-accepts-any-method';

const named = new WeakSet<Type<unknown>>();

/** Gives classes the names of their schemas. A repeat changes nothing. */
export function nameSchemas(...types: readonly Type<unknown>[]): void {
  for (const type of types) {
    if (!named.has(type)) ApiSchema({ name: componentName(type.name) })(type);
    named.add(type);
  }
}

/** Replaces the ids of operations that a text names in backticks. A repeat changes nothing. */
export const withOperationIds = (text: string, ids: readonly string[]): string =>
  ids.reduce((result, id) => result.replaceAll(`\`${id.slice(OPERATION.length)}\``, `\`${id}\``), text);

/** Removes the prefix from all names, for the document of an application that has no others. */
export const withoutPrefix = (document: OpenAPIObject): OpenAPIObject =>
  JSON.parse(
    JSON.stringify(document).replaceAll(new RegExp(`\\b${COMPONENT}(?=[A-Z])|\\b${OPERATION}|\\b${TAG}`, 'g'), ''),
  ) as OpenAPIObject;

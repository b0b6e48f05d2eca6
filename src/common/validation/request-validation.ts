import {
  type ArgumentMetadata,
  type CanActivate,
  type ExecutionContext,
  type Type,
  ValidationPipe,
} from '@nestjs/common';
import * as transformerPackage from 'class-transformer';
import * as validatorPackage from 'class-validator';
import { getMetadataStorage, type ValidationError } from 'class-validator';
import type { Request } from 'express';
import { DomainError } from '../errors/domain.error.js';
import { quoted } from '../http/json-object.js';

export class InvalidRequestError extends DomainError {
  readonly kind = 'invalid';
}

export class UnknownPropertyError extends InvalidRequestError {
  constructor(name: string) {
    super(`The property ${quoted(name)} is not known here`);
  }
}

/** The properties of a request class by name, with the class of each that is an object. */
type Properties = ReadonlyMap<string, { readonly type: Type | null }>;

/** The kind of the rule of `@ValidateNested()`. */
const NESTED = 'nestedValidation';

/** The declared class of a property, which its decorators keep. */
const typeOf = ({ prototype }: Type, property: string): Type =>
  Reflect.getMetadata('design:type', prototype as object, property) as Type;

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;

/**
 * Checks a body or a query against its request class: unknown properties first, then the rules on
 * its fields. The error is one sentence that names the property.
 *
 * Unknown properties are checked here because `forbidNonWhitelisted` accepts `__proto__` and the
 * other names that every object inherits.
 */
class RequestValidation extends ValidationPipe {
  private readonly known = new Map<Type, Properties>();

  constructor() {
    super({
      transform: true,
      stopAtFirstError: true,
      exceptionFactory: firstProblem,
      // Otherwise Nest imports both packages at the first request, and their exports lack their
      // names in a bundle (`esbuild.config.js`).
      transformerPackage,
      validatorPackage,
    });
  }

  override async transform(value: object, metadata: ArgumentMetadata & { readonly metatype: Type }): Promise<object> {
    this.refuseUnknownProperties(value, metadata.metatype);
    return (await super.transform(value, metadata)) as object;
  }

  private refuseUnknownProperties(body: object, metatype: Type): void {
    const known = this.propertiesOf(metatype);
    for (const [name, value] of Object.entries(body)) {
      const property = known.get(name);
      if (property === undefined) throw new UnknownPropertyError(name);
      if (property.type && isObject(value)) this.refuseUnknownProperties(value, property.type);
    }
  }

  private propertiesOf(metatype: Type): Properties {
    let properties = this.known.get(metatype);
    if (!properties) {
      const rules = getMetadataStorage().getTargetValidationMetadatas(metatype, '', false, false);
      const nested = new Set(rules.filter(({ type }) => type === NESTED).map(({ propertyName }) => propertyName));
      properties = new Map(
        rules.map(({ propertyName: name }) => [name, { type: nested.has(name) ? typeOf(metatype, name) : null }]),
      );
      this.known.set(metatype, properties);
    }
    return properties;
  }
}

const validation = new RequestValidation();

/*
 * Bodies and queries are checked by guards, before any pipe: a global `ValidationPipe` of the
 * application might drop or coerce values that must be refused.
 */

/** @throws InvalidRequestError */
export const validBody = (body: object, metatype: Type): Promise<object> =>
  validation.transform(body, { type: 'body', metatype });

/**
 * Admits requests with a query that is a valid instance of a request class, and leaves it in
 * `request.query`.
 */
export class QueryGuard implements CanActivate {
  constructor(private readonly metatype: Type) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<Request>();
    const { metatype } = this;
    const query = await validation.transform(onceEach(parametersOf(request)), { type: 'query', metatype });
    Object.defineProperty(request, 'query', { value: query }); // Express has a getter there
    return true;
  }
}

/**
 * All query parameters of a request. Express's parsers omit some: `node:querystring` and `qs` read
 * at most a thousand, including empty ones, and `qs` turns some names into objects.
 */
export const parametersOf = ({ originalUrl }: Request): URLSearchParams =>
  new URLSearchParams(originalUrl.replace(/^[^?]*/, ''));

function onceEach(parameters: URLSearchParams): object {
  const names = new Set<string>();
  for (const name of parameters.keys()) {
    if (names.has(name)) throw new InvalidRequestError(`The query gives ${quoted(name)} twice`);
    names.add(name);
  }
  return Object.fromEntries(parameters);
}

function firstProblem([error]: ValidationError[]): InvalidRequestError {
  if (error?.children && error.children.length > 0) return firstProblem(error.children);
  const [message] = Object.values(error?.constraints ?? {});
  return new InvalidRequestError(message ?? `${error?.property ?? 'The body'} is not valid`);
}

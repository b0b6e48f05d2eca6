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

/** The properties of a request class by name; those that are objects have a class themselves. */
type Properties = ReadonlyMap<string, { readonly type: Type | null }>;

/** The kind of the rule of `@ValidateNested()`. */
const NESTED = 'nestedValidation';

/** The declared class of a property, which its decorators keep. */
const typeOf = ({ prototype }: Type, property: string): Type =>
  Reflect.getMetadata('design:type', prototype as object, property) as Type;

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;

/**
 * Checks a body or a query against its request class: unknown properties first, then the rules on
 * its fields. Answers with one sentence that names the property.
 *
 * The look-up of unknown properties is ours because `forbidNonWhitelisted` lets `__proto__` and the
 * other names that every object inherits slip through.
 */
class RequestValidation extends ValidationPipe {
  private readonly known = new Map<Type, Properties>();

  constructor() {
    super({
      transform: true,
      stopAtFirstError: true,
      exceptionFactory: firstProblem,
      // Else Nest imports them at the first request, and what it gets from a bundle
      // (`esbuild.config.js`) lacks their names.
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
 * Bodies and queries are checked by guards, before any pipe: a `ValidationPipe` that the
 * application has for all routes might drop what is to be refused, or coerce it.
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
 * The parameters of a request's query, all of them. What Express parses lacks some:
 * `node:querystring` and `qs` read a thousand, empty ones included, and `qs` makes objects of some
 * names.
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

import { type ArgumentMetadata, Injectable, type Type, ValidationPipe } from '@nestjs/common';
import { getMetadataStorage, type ValidationError } from 'class-validator';
import { DomainError } from '../errors/domain.error.js';
import { quoted } from '../http/json-object.js';

export class InvalidRequestError extends DomainError {
  readonly kind = 'invalid';
}

/**
 * Checks a body or a query against its request class: unknown properties first, then the rules on its fields. Answers with one
 * sentence that names the property.
 *
 * The look-up of unknown properties is ours because `forbidNonWhitelisted` lets `__proto__` and the other names that
 * every object inherits slip through.
 */
@Injectable()
export class RequestValidationPipe extends ValidationPipe {
  private readonly known = new Map<Type, ReadonlySet<string>>();

  constructor() {
    super({ transform: true, stopAtFirstError: true, exceptionFactory: firstProblem });
  }

  override async transform(value: unknown, metadata: ArgumentMetadata): Promise<unknown> {
    const { type, metatype, data } = metadata;
    if ((type === 'body' || type === 'query') && metatype && data === undefined)
      this.refuseUnknownProperties(value as object, metatype);
    return super.transform(value, metadata);
  }

  private refuseUnknownProperties(body: object, metatype: Type): void {
    const known = this.propertiesOf(metatype);
    const unknown = Object.keys(body).find((property) => !known.has(property));
    if (unknown !== undefined) throw new InvalidRequestError(`The property ${quoted(unknown)} is not known here`);
  }

  private propertiesOf(metatype: Type): ReadonlySet<string> {
    let properties = this.known.get(metatype);
    if (!properties) {
      const rules = getMetadataStorage().getTargetValidationMetadatas(metatype, '', false, false);
      properties = new Set(rules.map(({ propertyName }) => propertyName));
      this.known.set(metatype, properties);
    }
    return properties;
  }
}

function firstProblem([error]: ValidationError[]): InvalidRequestError {
  const [message] = Object.values(error?.constraints ?? {});
  return new InvalidRequestError(message ?? `${error?.property ?? 'The body'} is not valid`);
}

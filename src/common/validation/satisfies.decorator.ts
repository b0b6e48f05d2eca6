import { ValidateBy, type ValidationArguments } from 'class-validator';
import type { DomainError } from '../errors/domain.error.js';

/**
 * The field satisfies a rule that a service also checks; otherwise the message is that of the
 * service's error.
 */
export const Satisfies = (
  rule: (value: unknown, whole: ValidationArguments) => boolean,
  { message }: DomainError,
): PropertyDecorator => ValidateBy({ name: 'satisfies', validator: { validate: rule, defaultMessage: () => message } });

import { InvalidArgumentError } from 'commander';
import { parseInstant } from '../common/validation/instant.decorator.js';

/** Reads an option's value as an instant in RFC 3339. */
export function instant(text: string): Date {
  const value = parseInstant(text);
  if (!value) throw new InvalidArgumentError('It must be an instant in RFC 3339, such as 2026-01-01T00:00:00Z.');
  return value;
}

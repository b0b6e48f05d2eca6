import { QueryFailedError } from 'typeorm';

/**
 * Whether a statement violated this constraint. Every constraint has an explicit name, so code may
 * rely on it.
 */
export const violates = (error: unknown, constraint: string): boolean =>
  error instanceof QueryFailedError && (error.driverError as { constraint?: unknown }).constraint === constraint;

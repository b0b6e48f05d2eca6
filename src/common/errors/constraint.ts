import { QueryFailedError } from 'typeorm';

/** Whether a statement failed on this constraint. Constraints are named by us, so their names are facts to build on. */
export const violates = (error: unknown, constraint: string): boolean =>
  error instanceof QueryFailedError && (error.driverError as { constraint?: unknown }).constraint === constraint;

import { applyDecorators } from '@nestjs/common';
import { Transform } from 'class-transformer';
import { ValidateBy } from 'class-validator';

/** What a count may be at most: nine digits fit every integer type. */
export const MAX_COUNT = 999_999_999;

/** Days for which a key works where no other lifetime is asked for, and for which an operator may let it work: ten years. */
export const DEFAULT_KEY_DAYS = 365;
export const MAX_KEY_DAYS = 3650;

/**
 * Whether a URL is well-formed and its password in its place. In `postgres://app:12/ab@db/x`, whose "/" is not encoded, "app" would
 * be the host and a part of the password the port and the database, which messages repeat.
 */
export function isWellFormedUrl(value: string): boolean {
  try {
    const { href, pathname, search } = new URL(value);
    return decodeURIComponent(href) !== '' && !value.includes('#') && !`${pathname}${search}`.includes('@');
  } catch {
    return false;
  }
}

/** What follows a variable's name where a URL is not well-formed. */
export const WELL_FORMED_URL =
  'must be a well-formed URL: in a user, a password or a parameter, # / ? @ and % are to be percent-encoded';

export const isRedisUrl = (value: string): boolean => /^rediss?:\/\//.test(value) && isWellFormedUrl(value);
export const REDIS_URL =
  'must be a well-formed URL that begins with redis:// or rediss://: in a password, # / ? @ and % are to be percent-encoded';

/** The value passes a check; `must` says which, behind its name and without repeating it, since it may be a secret. */
export const Fits = (must: string, check: (value: never) => boolean): PropertyDecorator =>
  ValidateBy(
    { name: must, validator: { validate: check as (value: unknown) => boolean } },
    { message: `$property ${must}` },
  );

export const isIntegerFrom =
  (from: number, to: number) =>
  (value: unknown): boolean =>
    Number.isInteger(value) && (value as number) >= from && (value as number) <= to;

export const integerFrom = (from: number, to: number): string =>
  `must be an integer from ${String(from)} to ${String(to)}`;

/** A variable that is an integer in digits alone: `Number` would also take "1e3", " 1" and "0x1". */
export const IntegerVariable = (from: number, to: number): PropertyDecorator =>
  applyDecorators(
    Transform(({ value }: { value: unknown }) => (/^\d{1,9}$/.test(String(value)) ? Number(value) : value)),
    Fits(integerFrom(from, to), isIntegerFrom(from, to)),
  );

/** A variable that is `true` or `false`. */
export const Flag = (): PropertyDecorator =>
  applyDecorators(
    Transform(({ value }: { value: unknown }) => (value === 'true' || value === 'false' ? value === 'true' : value)),
    Fits('must be true or false', (value: unknown) => typeof value === 'boolean'),
  );

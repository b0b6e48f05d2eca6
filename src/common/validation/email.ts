import { isEmail } from 'class-validator';

/**
 * Addresses are ASCII, so that letter case folds the same way everywhere; the same rule as
 * `ck_users_email`.
 */
const ASCII = /^[!-~]+$/;

/** RFC 5321, section 4.5.3.1.3: a path of 256 octets, without its angle brackets. */
export const MAX_EMAIL_LENGTH = 254;

/** Whether a user can have this address: every stored address is ASCII. */
export const isAscii = (value: unknown): value is string => typeof value === 'string' && ASCII.test(value);

export const isEmailAddress = (value: unknown): value is string => isAscii(value) && isEmail(value);

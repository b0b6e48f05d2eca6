import { isEmail } from 'class-validator';

/**
 * Addresses are ASCII, so that letter case folds the same way everywhere; the same as
 * `ck_users_email`.
 */
const ASCII = /^[!-~]+$/;

/** Whether a user could have it: whatever has been stored, this much is sure. */
export const isAscii = (value: unknown): value is string => typeof value === 'string' && ASCII.test(value);

export const isEmailAddress = (value: unknown): value is string => isAscii(value) && isEmail(value);

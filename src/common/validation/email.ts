import { isEmail } from 'class-validator';

/** Addresses are ASCII, so that letter case folds the same way everywhere; the same as `ck_users_email`. */
const ASCII = /^[!-~]+$/;

export const isEmailAddress = (text: string): boolean => ASCII.test(text) && isEmail(text);

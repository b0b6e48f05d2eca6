import { isEmail } from 'class-validator';

/** Addresses are kept in ASCII, so that their case folds the same way everywhere; `ck_users_email` says so too. */
const ASCII = /^[!-~]+$/;

export const isEmailAddress = (text: string): boolean => ASCII.test(text) && isEmail(text);

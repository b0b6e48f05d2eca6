/** For a body that is compared whole: its message word for word, or what it matches. */
export const saying = (message: string | RegExp): string =>
  typeof message === 'string' ? message : (expect.stringMatching(message) as string);

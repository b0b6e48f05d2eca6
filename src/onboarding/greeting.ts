import type { KeyView } from '../api-keys/key-view.js';
import type { KeyWithSecret } from '../api-keys/api-keys.service.js';

/** The text that the first start prints once: the only place where the first key is shown. */
export const firstStartBanner = (url: string, email: string, { key, secret }: KeyWithSecret): string => `
The database was empty, so an administrator was created: ${email}
Its API key is shown only now. It expires at ${key.expiresAt.toISOString()}:

  ${secret}

Try it:

  curl -X PATCH ${url}/v1/users/me -H 'x-api-key: ${secret}' -H 'content-type: application/json' -d '{"name": "Ada Lovelace"}'

The documentation is at ${url}/docs

`;

/** The log line of a first start with a key of the operator. It does not contain the key. */
export const bootstrapLogLine = (email: string, { expiresAt }: KeyView): string =>
  `The database was empty, so the administrator ${email} was created with the key of BOOTSTRAP_ADMIN_KEY, which expires at ${expiresAt.toISOString()}`;

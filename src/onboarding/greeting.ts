/** What the first start prints, once: the only place where the first key can be read. */
export const greet = (url: string, email: string, secret: string): string => `
The database was empty, so an administrator was made: ${email}
Its API key is shown only now:

  ${secret}

Try it:

  curl -X PATCH ${url}/v1/users/me -H 'x-api-key: ${secret}' -H 'content-type: application/json' -d '{"name": "Ada Lovelace"}'

The documentation is at ${url}/docs

`;

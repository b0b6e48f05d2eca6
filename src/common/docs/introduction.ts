import type { ApiKeyFormat } from '../api-key-format.js';
import { BODY_LIMIT } from '../http/json-body.guard.js';

/** Joins the lines of each paragraph: some readers of Markdown keep single line breaks. */
const unwrapped = (text: string): string => text.replaceAll(/(?<!\n)\n(?!\n)/g, ' ');

/** What a reader needs before the first operation, in Markdown. */
export const INTRODUCTION = unwrapped(`API for user management and authentication

Users, their API keys, and their credits: an append-only ledger of what was bought and spent.

## Authentication

Send an API key in the \`x-api-key\` header of every request, and nowhere else. Only \`GET /livez\`, \`GET /readyz\` and this documentation
need none. A key that is missing, unknown, malformed, expired or revoked, that is sent twice, or whose user is INACTIVE is 401. The message
tells only whether a key is missing. Operations for administrators are 403 with the key of a user who is not one.

The \`scopes\` of a key say what it may do: null for everything that its owner may do, or a list. Each operation names the scope that it needs, if any, and
is 403 without it. Names that begin with \`ua:\` are those of this API; all others are yours, and are only compared.

A key that has been rotated can continue to work for a while. Responses to the old secret then have the headers \`Deprecation\` and \`Sunset\`.

## Requests

A body is one JSON object in UTF-8 of at most ${String(BODY_LIMIT)} bytes, as \`application/json\`; \`PATCH\` accepts \`application/merge-patch+json\` as well
and means the same by it. Values are never converted: \`"5"\` is not a number. A property, or a parameter of a list, that is not known or is
given twice is 400.

## Errors

Every failure is \`{ "status": 400, "message": "name must be a string" }\`. Decide by the status: the message is for developers, and may change.
Each response has an \`X-Request-Id\`, which identifies the request in the server's log. A value of your own in that header of the request is
kept if it matches \`^[0-9A-Za-z_.:=/+-]{1,128}$\`.

Every path can also respond with 404 (no such route), 405 with \`Allow\`, 400 (a malformed request), 408 (a request that does not arrive in time)
and 431 (headers over 16 KiB).

## Pagination

Lists return the newest rows first, in pages of \`items_per_page\`. To read every row once while others are added, follow the URL with
\`rel="next"\` in the \`Link\` header until a response has none. \`page\` reaches the newest 10,000 rows. \`total_pages\` is an estimate for longer lists.

## Conditional requests

Every response with a user has an \`ETag\`. With \`If-Match\`, a change is made only if the user has not changed since, otherwise the response is 412. With
\`If-None-Match\`, a \`GET\` is 304 without a body if nothing has changed. Every movement of credits is a change of the user: for a user who is charged all the time,
a change with \`If-Match\` is often 412. Repeat it with the new \`ETag\`, or send it without \`If-Match\`.

## Rate limits

A key may make a number of requests a minute, and so may all keys of a user together. \`RateLimit-Policy\` and \`RateLimit\` tell each limit that applies, \`"key"\`
and \`"user"\`, and what is left of it. A request above one of them is 429, with the seconds until that limit allows requests again in \`Retry-After\`; it counts for both. An address that has failed to authenticate too often gets 429 as well, for each further
request without a valid key.

## Retries

After 429 nothing has been done: repeat the request after \`Retry-After\`. After 503, which has \`Retry-After\` too, and after a connection that broke,
the request may have been carried out or not. Reads, changes of a user without \`If-Match\`, movements of credits, holds and what ends them,
revocations of named keys and deactivations are safe to repeat: the second request has no further effect and the same response. Other creations, rotations,
renamings, changes with \`If-Match\`, and the revocation of the key of the request itself are not. The description of each operation tells what a repeated request returns.`);

/** The security scheme, in Markdown. */
export const describeKey = ({ firstPrefix, pattern }: ApiKeyFormat): string =>
  unwrapped(`An API key, in the \`x-api-key\` header: \`${firstPrefix}\`, 43 random letters and digits, and 6 that are a checksum
(\`^${pattern}$\`). An administrator creates the first key of a user; \`createApiKey\` creates others. Its secret is in the response that creates or
rotates it, and in no other. Keep it out of URLs, logs and source code.`);

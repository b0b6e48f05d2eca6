/*
 * Calls of the public API. The key is in a variable of this module and nowhere else: reloading the
 * page discards it.
 */

let key = '';
let onRefusal = () => undefined;

/** @param refused called when the API refuses the key (401) */
export function useKey(typed, refused) {
  key = typed;
  onRefusal = refused;
}

export const forgetKey = () => useKey('', () => undefined);

/** Visible ASCII characters: `fetch` refuses any other in a header. */
export const isPossibleKey = (typed) => /^[\x21-\x7e]+$/.test(typed);

/** A call that did not succeed. */
export class CallError extends Error {
  /** @param status 0 where no response arrived */
  constructor(status, message) {
    super(message);
    this.status = status;
  }

  /** Whether the server may have carried out the call. */
  get isUndecided() {
    return this.status === 0 || this.status >= 500;
  }

  /** Whether the same call may succeed later. */
  get isTemporary() {
    return this.isUndecided || this.status === 429;
  }
}

/**
 * Calls an operation.
 *
 * @param path below `/v1/`
 * @throws CallError
 */
export async function call(path, { method = 'GET', body } = {}) {
  const sent = key;
  if (sent === '') throw new CallError(401, 'The key was forgotten.');
  let response;
  let data;
  try {
    // Relative to the page, which a proxy may serve below a prefix.
    response = await fetch(`./v1/${path}`, {
      method,
      headers: { 'x-api-key': sent, ...(body && { 'content-type': 'application/json' }) },
      body: body && JSON.stringify(body),
      cache: 'no-store',
      redirect: 'error', // the key must not be sent to another address
      signal: AbortSignal.timeout(30_000),
    });
    data = await response.text();
  } catch {
    throw new CallError(0, 'No response arrived. Check the connection and try again.');
  }
  const parsed = parse(data);
  if (response.ok && parsed) return { data: parsed, headers: response.headers };
  if (response.ok) throw new CallError(0, 'The response was not complete. Try again.');
  if (response.status === 401 && sent === key) onRefusal();
  throw new CallError(response.status, messageOf(response, parsed?.message));
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // an HTML page of a proxy, for example
  }
}

function messageOf({ status, headers }, given) {
  const message = typeof given === 'string' ? given : 'The server gave no reason';
  const seconds = Number(headers.get('retry-after'));
  const retry = seconds > 0 ? ` Try again in ${seconds} ${seconds === 1 ? 'second' : 'seconds'}.` : '';
  return `${message.replace(/\.$/, '')} (${status}).${retry}`;
}

export const query = (parameters) =>
  String(new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== undefined && value !== '')));

/** The query of the next page, from the `Link` header; undefined on the last page. */
export function nextQuery(headers) {
  const [, url] = /<([^>]*)>;\s*rel="?next/.exec(headers.get('link') ?? '') ?? [];
  return url && new URL(url, location.href).search.slice(1);
}

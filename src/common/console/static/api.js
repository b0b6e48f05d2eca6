/*
 * Calls of the public API. The key is in a variable of this module and nowhere else: a page that is
 * loaded again does not have it.
 */

let key = '';
let onRefusal = () => undefined;

/** @param refused is called when the API refuses the key (401) */
export function useKey(typed, refused) {
  key = typed;
  onRefusal = refused;
}

export const forgetKey = () => useKey('', () => undefined);

/** Visible ASCII characters: `fetch` refuses any other header. */
export const isPossibleKey = (typed) => /^[\x21-\x7e]+$/.test(typed);

/** A call that did not succeed. */
export class CallError extends Error {
  /** @param status 0 where no response arrived */
  constructor(status, message) {
    super(message);
    this.status = status;
  }

  /** Whether the server may have done what the call asked for. */
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
    // Relative to the page, which a proxy may have put below a prefix.
    response = await fetch(`./v1/${path}`, {
      method,
      headers: { 'x-api-key': sent, ...(body && { 'content-type': 'application/json' }) },
      body: body && JSON.stringify(body),
      cache: 'no-store',
      redirect: 'error', // no other address gets the key
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
    return undefined; // a proxy may answer with a page of its own
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

/** The query of the next page, which the `Link` header names; undefined on the last one. */
export function nextQuery(headers) {
  const [, url] = /<([^>]*)>;\s*rel="?next/.exec(headers.get('link') ?? '') ?? [];
  return url && new URL(url, location.href).search.slice(1);
}

import { redactKeys } from '../api-key-format.js';
import { DomainError } from '../errors/domain.error.js';

export class InvalidJsonError extends DomainError {
  readonly kind = 'invalid';
}

export class NotAnObjectError extends InvalidJsonError {
  constructor(label = 'The body') {
    super(`${label} must be a JSON object`);
  }
}

/** Levels of nesting. Request bodies have one; code that reads them recursively needs a bound. */
const MAX_DEPTH = 32;

export class TooDeepError extends InvalidJsonError {
  constructor(label = 'The body') {
    super(`${label} must not be nested more than ${String(MAX_DEPTH)} levels deep`);
  }
}

const UTF8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads one JSON object (RFC 8259), more strictly than `JSON.parse`: the bytes must be UTF-8; no
 * object may have the same property twice, because one of the values would be lost silently; and no
 * number may become an integer by rounding, because amounts of credits are exact.
 *
 * @param label the name of the text in messages
 * @throws InvalidJsonError for anything else; its message never contains the text
 */
export function parseJsonObject(bytes: Buffer, label = 'The body'): Record<string, unknown> {
  const text = decode(bytes, label);
  if (text.trim() === '') throw new InvalidJsonError(`${label} must be a JSON object, but it is empty`);
  const value = parse(text, label);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new NotAnObjectError(label);
  }
  rejectLossyJson(text, label);
  return value as Record<string, unknown>;
}

/**
 * A property name for a message: quoted, without keys and cut after 64 characters, so that a
 * message never repeats a body.
 */
export function quoted(name: string): string {
  const shown = redactKeys(name);
  return JSON.stringify(shown.length > 64 ? `${shown.slice(0, 64)}…` : shown);
}

function decode(bytes: Buffer, label: string): string {
  try {
    return UTF8.decode(bytes);
  } catch {
    throw new InvalidJsonError(`${label} must be in UTF-8`);
  }
}

function parse(text: string, label: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new InvalidJsonError(`${label} must be valid JSON`);
  }
}

/**
 * Rejects what `JSON.parse` loses: it keeps the last of two properties with the same name, and the
 * double nearest to a number. No maintained and fast parser reports both, so this scans the
 * strings, numbers and brackets of a text that is already known to be valid, in one pass.
 */
function rejectLossyJson(text: string, label: string): void {
  const open: Set<string>[] = [];
  for (const [token, string, colon, number] of text.matchAll(/("(?:[^"\\]|\\.)*")\s*(:)?|(-?\d[\d.eE+-]*)|[{}[\]]/g)) {
    if (token === '{' || token === '[') open.push(new Set());
    else if (token === '}' || token === ']') open.pop();
    else if (number !== undefined) {
      if (isRounded(number)) throw new InvalidJsonError(`${label} has a number with more digits than can be kept`);
    } else if (colon && string !== undefined) {
      const name = JSON.parse(string) as string;
      const names = open.at(-1);
      if (names?.has(name)) throw new InvalidJsonError(`${label} gives the property ${quoted(name)} twice`);
      names?.add(name);
    }
    if (open.length > MAX_DEPTH) throw new TooDeepError(label);
  }
}

/**
 * Whether a number would be read as a different integer. Beyond 2^53 no integer is exact, and none
 * is accepted.
 */
function isRounded(number: string): boolean {
  const read = Number(number);
  return Number.isSafeInteger(read) && digitsOf(number) !== digitsOf(String(read));
}

/**
 * The significant digits after a decimal point, and the power of ten: equal for every spelling of
 * the same number, apart from its sign.
 */
function digitsOf(number: string): string {
  const [, whole = '', fraction = '', power = '0'] = /(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?/.exec(number) ?? [];
  const digits = (whole + fraction).replace(/^0+/, '');
  let end = digits.length; // not a regular expression, which would take quadratic time
  while (digits.charAt(end - 1) === '0') end -= 1;
  return end === 0 ? '' : `${digits.slice(0, end)}e${String(Number(power) - fraction.length + digits.length)}`;
}

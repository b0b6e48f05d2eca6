import { redactKeys } from '../api-key-format.js';
import { DomainError } from '../errors/domain.error.js';

export class InvalidJsonError extends DomainError {
  readonly kind = 'invalid';
}

/** Levels. Our bodies have one; what reads them by recursion needs a bound. */
const MAX_DEPTH = 32;

export class TooDeepError extends InvalidJsonError {
  constructor(whole = 'The body') {
    super(`${whole} must not be nested more than ${String(MAX_DEPTH)} levels deep`);
  }
}

const UTF8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads one JSON object (RFC 8259), more strictly than `JSON.parse` alone: the bytes must be UTF-8 and no object may name
 * a property twice, since of two values one would be lost without a word.
 *
 * @param whole what messages call the text
 * @throws InvalidJsonError for anything else; its message never repeats the text
 */
export function parseJsonObject(bytes: Buffer, whole = 'The body'): Record<string, unknown> {
  const text = decode(bytes, whole);
  if (text.trim() === '') throw new InvalidJsonError(`${whole} must be a JSON object, but it is empty`);
  const value = parse(text, whole);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidJsonError(`${whole} must be a JSON object`);
  }
  const twice = findRepeatedProperty(text, whole);
  if (twice !== undefined) throw new InvalidJsonError(`${whole} gives the property ${quoted(twice)} twice`);
  return value as Record<string, unknown>;
}

/** A property name for a message: quoted, cut after 64 characters, so that a caller cannot make us repeat its body or a key. */
export function quoted(name: string): string {
  const shown = redactKeys(name);
  return JSON.stringify(shown.length > 64 ? `${shown.slice(0, 64)}…` : shown);
}

function decode(bytes: Buffer, whole: string): string {
  try {
    return UTF8.decode(bytes);
  } catch {
    throw new InvalidJsonError(`${whole} must be in UTF-8`);
  }
}

function parse(text: string, whole: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new InvalidJsonError(`${whole} must be valid JSON`);
  }
}

/**
 * The first property name that some object of the text gives twice. `JSON.parse` keeps only the last of them, and no
 * parser that reports it is both maintained and quick, so this walks the strings and brackets of a text already known
 * to be valid, in one pass.
 */
function findRepeatedProperty(text: string, whole: string): string | undefined {
  const open: Set<string>[] = [];
  for (const [token, string, colon] of text.matchAll(/("(?:[^"\\]|\\.)*")\s*(:)?|[{}[\]]/g)) {
    if (token === '{' || token === '[') open.push(new Set());
    else if (token === '}' || token === ']') open.pop();
    else if (colon && string !== undefined) {
      const name = JSON.parse(string) as string;
      const names = open.at(-1);
      if (names?.has(name)) return name;
      names?.add(name);
    }
    if (open.length > MAX_DEPTH) throw new TooDeepError(whole);
  }
  return undefined;
}

import { randomUUID } from 'node:crypto';

/** Hexadecimal digits of the milliseconds since 1970 (RFC 9562, section 5.7). */
const TIME_DIGITS = 12;

/** A version 7 UUID (RFC 9562): its first 48 bits are the time in milliseconds. */
export function timeOrderedUuid(time = Date.now()): string {
  const digits = time.toString(16).padStart(TIME_DIGITS, '0');
  return `${digits.slice(0, 8)}-${digits.slice(8)}-7${randomUUID().slice(15)}`;
}

/** The time of a version 7 UUID, or null for any other text. */
export function timeOf(text: string): Date | null {
  if (!/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i.test(text)) return null;
  return new Date(Number.parseInt(text.replace('-', ''), 16)); // up to the second hyphen
}

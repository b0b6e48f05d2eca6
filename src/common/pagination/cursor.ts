import { ValidateBy } from 'class-validator';
import { isInstant } from '../validation/date.js';
import { isUuid } from '../validation/uuid.js';

/** The position of a row in a list sorted by `created_at` and then `id`, both descending. */
export interface Cursor {
  readonly createdAt: Date;
  readonly id: string;
}

/** Also used in the OpenAPI document. */
export const CURSOR = '^([0-9]{1,15})_([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$';
export const MAX_CURSOR_LENGTH = 15 + 1 + 36;

const TEXT = new RegExp(CURSOR);

/** Encodes a position for a URL. Instants are stored in milliseconds, so the encoding is exact. */
export const encodeCursor = ({ createdAt, id }: Cursor): string => `${String(createdAt.getTime())}_${id}`;

export const isCursor = (value: unknown): value is Cursor => {
  const { createdAt, id } = Object(value) as Partial<Record<keyof Cursor, unknown>>;
  return isInstant(createdAt) && isUuid(id);
};

/** @returns the position, or null when the text is not a cursor */
export function parseCursor(cursor: string): Cursor | null {
  const [, time, id] = TEXT.exec(cursor) ?? [];
  const position = { createdAt: new Date(Number(time)), id };
  return isCursor(position) ? position : null;
}

export const IsCursor = (): PropertyDecorator =>
  ValidateBy({
    name: 'isCursor',
    validator: {
      validate: (value: unknown) => typeof value === 'string' && parseCursor(value) !== null,
      defaultMessage: () => 'after must be a cursor from the Link header of the previous page',
    },
  });

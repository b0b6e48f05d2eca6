import { ValidateBy } from 'class-validator';
import { isInstant } from '../validation/date.js';
import { isUuid } from '../validation/uuid.js';

/** The position of a row in a list sorted by `created_at` and then `id`, both descending. */
export interface Place {
  readonly createdAt: Date;
  readonly id: string;
}

const TEXT = /^(\d{1,15})_([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

/** Encodes a position for a URL. Instants are stored in milliseconds, so the encoding is exact. */
export const cursorOf = ({ createdAt, id }: Place): string => `${String(createdAt.getTime())}_${id}`;

export const isPlace = (value: unknown): value is Place => {
  const { createdAt, id } = Object(value) as Partial<Record<keyof Place, unknown>>;
  return isInstant(createdAt) && isUuid(id);
};

/** @returns the position, or null when the text is not a cursor */
export function placeOf(cursor: string): Place | null {
  const [, time, id] = TEXT.exec(cursor) ?? [];
  const place = { createdAt: new Date(Number(time)), id };
  return isPlace(place) ? place : null;
}

export const IsCursor = (): PropertyDecorator =>
  ValidateBy({
    name: 'isCursor',
    validator: {
      validate: (value: unknown) => typeof value === 'string' && placeOf(value) !== null,
      defaultMessage: () => 'after must be what the Link header of the page before says',
    },
  });

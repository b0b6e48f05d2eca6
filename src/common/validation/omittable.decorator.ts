import { ValidateIf } from 'class-validator';

/** The field may be left out but not sent as null; `IsOptional` would let null reach a NOT NULL column. */
export const Omittable = (): PropertyDecorator => ValidateIf((_, value: unknown) => value !== undefined);

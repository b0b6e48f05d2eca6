import { ValidateIf } from 'class-validator';

/** The field may be absent, but not null; `IsOptional` would let null reach a NOT NULL column. */
export const Omittable = (): PropertyDecorator => ValidateIf((_, value: unknown) => value !== undefined);

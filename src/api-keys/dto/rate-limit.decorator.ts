import { Satisfies } from '../../common/validation/satisfies.decorator.js';
import { InvalidRateLimitError } from '../api-keys.errors.js';
import { isRateLimit, MAX_RATE_LIMIT, MIN_RATE_LIMIT } from '../rate-limit-rules.js';

/** The field is null or a rate limit of a key or of a user. */
export const IsRateLimit = (of: keyof typeof MIN_RATE_LIMIT): PropertyDecorator =>
  Satisfies((value) => isRateLimit(value, of), new InvalidRateLimitError(of));

/** The schema of a rate limit, in requests and responses. */
export const rateLimitSchema = (of: keyof typeof MIN_RATE_LIMIT) =>
  ({
    type: 'integer',
    format: 'int32',
    minimum: MIN_RATE_LIMIT[of],
    maximum: MAX_RATE_LIMIT,
    nullable: true,
    example: 600,
  }) as const;

import { ApiPropertyOptional } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { IsInt, IsOptional, Max, Min } from 'class-validator';
import type { Examples } from '../docs/responses.js';
import { InvalidRequestError } from '../validation/request-validation.js';
import { EXAMPLE_USER_ID } from '../validation/uuid.js';
import { CURSOR, IsCursor, MAX_CURSOR_LENGTH } from './cursor.js';

export const MAX_PAGE = 1_000_000;
export const MAX_ITEMS_PER_PAGE = 100;
const DEFAULT_ITEMS_PER_PAGE = 20;

/**
 * Converts a sign and digits only: `Number` would also accept "1e3", " 1" and "0x1". Other text
 * stays text and fails `IsInt`.
 */
const Digits = (): PropertyDecorator =>
  Transform(({ value }: { value: unknown }) =>
    typeof value === 'string' && /^-?\d{1,9}$/.test(value) ? Number(value) : value,
  );

/** A failure of every list, as an example in the document. */
export const INVALID_PAGE: Examples = { page: new InvalidRequestError('page must not be less than 1') };

/** Query parameters of every list. */
export class PageRequest {
  @ApiPropertyOptional({
    type: 'integer',
    format: 'int32',
    minimum: 1,
    maximum: MAX_PAGE,
    default: 1,
    example: 1,
    description: 'Starts at 1; reaches the newest 10,000 rows of a list. For further pages use `after`',
  })
  @Digits()
  @Max(MAX_PAGE)
  @Min(1)
  @IsInt() // decorators apply bottom-up: this rule is reported first
  readonly page: number = 1;

  @ApiPropertyOptional({
    type: 'integer',
    format: 'int32',
    minimum: 1,
    maximum: MAX_ITEMS_PER_PAGE,
    default: DEFAULT_ITEMS_PER_PAGE,
    description: 'The most rows that one page has',
    example: DEFAULT_ITEMS_PER_PAGE,
  })
  @Digits()
  @Max(MAX_ITEMS_PER_PAGE)
  @Min(1)
  @IsInt()
  readonly items_per_page: number = DEFAULT_ITEMS_PER_PAGE;

  @ApiPropertyOptional({
    pattern: CURSOR,
    maxLength: MAX_CURSOR_LENGTH,
    example: `1767259800000_${EXAMPLE_USER_ID}`,
    description:
      'The cursor from the `Link` header of the previous page. Follow that header to read every row once while rows are added; ' +
      'a page selected by its number alone shifts as new rows arrive.',
  })
  @IsOptional()
  @IsCursor()
  readonly after?: string;
}

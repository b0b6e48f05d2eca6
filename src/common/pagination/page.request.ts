import { ApiPropertyOptional } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { IsInt, IsOptional, Max, Min } from 'class-validator';
import { IsCursor } from './cursor.js';

export const MAX_PAGE = 1_000_000;
const MAX_ITEMS_PER_PAGE = 100;
const DEFAULT_ITEMS_PER_PAGE = 20;

/** Digits and a sign only: `Number` would also take "1e3", " 1" and "0x1". What is not one stays text, and so fails `IsInt`. */
const Digits = (): PropertyDecorator =>
  Transform(({ value }: { value: unknown }) =>
    typeof value === 'string' && /^-?\d{1,9}$/.test(value) ? Number(value) : value,
  );

/** What every list takes in its query. */
export class PageRequest {
  @ApiPropertyOptional({
    type: 'integer',
    minimum: 1,
    maximum: MAX_PAGE,
    default: 1,
    description: 'Counted from 1; reaches the newest 10,000 rows of a list. Further pages: `after`',
  })
  @Digits()
  @Max(MAX_PAGE)
  @Min(1)
  @IsInt() // the lowest rule speaks first
  readonly page: number = 1;

  @ApiPropertyOptional({ type: 'integer', minimum: 1, maximum: MAX_ITEMS_PER_PAGE, default: DEFAULT_ITEMS_PER_PAGE })
  @Digits()
  @Max(MAX_ITEMS_PER_PAGE)
  @Min(1)
  @IsInt()
  readonly items_per_page: number = DEFAULT_ITEMS_PER_PAGE;

  @ApiPropertyOptional({
    description:
      'Where the page before ended, as its `Link` header says. Follow that header to read every row once while others are added; ' +
      'a page that is asked for by its number alone moves as new rows come in.',
  })
  @IsOptional()
  @IsCursor()
  readonly after?: string;
}

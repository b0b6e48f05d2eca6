import type { Type } from '@nestjs/common';
import { ApiProperty } from '@nestjs/swagger';
import { nameSchemas } from '../docs/names.js';
import { MAX_ITEMS_PER_PAGE, MAX_PAGE } from './page.request.js';

export class Pagination {
  @ApiProperty({
    type: 'integer',
    format: 'int64',
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    example: 3,
    description:
      'Exact for up to 10,000 rows; for longer lists an estimate, and then the response has the header `Total-Pages-Estimated`. Read on while there is a `Link` header',
  })
  readonly total_pages!: number;

  @ApiProperty({ type: 'integer', format: 'int32', minimum: 1, maximum: MAX_PAGE, example: 1 })
  readonly current_page!: number;

  @ApiProperty({ type: 'integer', format: 'int32', minimum: 1, maximum: MAX_ITEMS_PER_PAGE, example: 20 })
  readonly items_per_page!: number;
}

export interface PageResponse<T> {
  readonly data: T[];
  readonly pagination: Pagination;
}

/** Returns the class that documents a page of this response; extend it to give it a name. */
export function pageOf<T>(item: Type<T>): Type<PageResponse<T>> {
  nameSchemas(item, Pagination);
  class PageOf implements PageResponse<T> {
    @ApiProperty({ type: [item], maxItems: MAX_ITEMS_PER_PAGE })
    readonly data!: T[];

    @ApiProperty()
    readonly pagination!: Pagination;
  }
  return PageOf;
}

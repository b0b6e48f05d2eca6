import type { Type } from '@nestjs/common';
import { ApiProperty } from '@nestjs/swagger';

export class Pagination {
  @ApiProperty({
    type: 'integer',
    minimum: 0,
    example: 3,
    description: 'Exact for up to 10,000 rows, an estimate for longer lists. Read on while there is a `Link` header',
  })
  readonly total_pages!: number;

  @ApiProperty({ type: 'integer', minimum: 1, example: 1 })
  readonly current_page!: number;

  @ApiProperty({ type: 'integer', minimum: 1, maximum: 100, example: 20 })
  readonly items_per_page!: number;
}

export interface PageResponse<T> {
  readonly data: T[];
  readonly pagination: Pagination;
}

/** Returns the class that documents a page of this response; extend it to give it a name. */
export function pageOf<T>(item: Type<T>): Type<PageResponse<T>> {
  class PageOf implements PageResponse<T> {
    @ApiProperty({ type: [item] })
    readonly data!: T[];

    @ApiProperty()
    readonly pagination!: Pagination;
  }
  return PageOf;
}

import { ApiProperty } from '@nestjs/swagger';

/** The body of every failure: these two fields and no others. */
export class ErrorResponse {
  @ApiProperty({
    type: 'integer',
    format: 'int32',
    minimum: 400,
    maximum: 599,
    description: 'The HTTP status, repeated',
    example: 400,
  })
  readonly status!: number;

  @ApiProperty({
    maxLength: 1000,
    description: 'One sentence for the developer who reads it; its text may change',
    example: 'name must be a string',
  })
  readonly message!: string;
}

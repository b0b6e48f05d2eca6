import { ApiProperty } from '@nestjs/swagger';

/** The body of every failure: these two fields and no others. */
export class ErrorResponse {
  @ApiProperty({ type: 'integer', description: 'The HTTP status, repeated', example: 400 })
  readonly status!: number;

  @ApiProperty({ description: 'One sentence for the developer who reads it', example: 'name must be a string' })
  readonly message!: string;
}

import { ApiProperty } from '@nestjs/swagger';
import type { Balance } from '../credits.service.js';

const CREDITS = { type: 'integer', format: 'int64', minimum: 0, maximum: Number.MAX_SAFE_INTEGER } as const;

export class BalanceResponse {
  @ApiProperty({ ...CREDITS, description: 'The sum of all entries', example: 100 })
  readonly credits_balance!: number;

  @ApiProperty({ ...CREDITS, description: 'What OPEN holds keep from being spent', example: 40 })
  readonly credits_held!: number;

  @ApiProperty({ ...CREDITS, description: 'What can be spent: the difference of the two', example: 60 })
  readonly credits_available!: number;

  static from({ creditsBalance, creditsHeld, creditsAvailable }: Balance): BalanceResponse {
    return {
      credits_balance: creditsBalance,
      credits_held: creditsHeld,
      credits_available: creditsAvailable,
    };
  }
}

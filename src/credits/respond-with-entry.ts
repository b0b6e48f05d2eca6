import type { Response } from 'express';
import type { Receipt } from './credits.service.js';
import { CreditEntryResponse } from './dto/credit-entry.response.js';

/** Responds with the entry, and sets a header if an earlier request made it. */
export function respondWithEntry({ entry, replayed }: Receipt, response: Response): CreditEntryResponse {
  if (replayed) response.setHeader('Idempotency-Replayed', 'true');
  return CreditEntryResponse.from(entry);
}

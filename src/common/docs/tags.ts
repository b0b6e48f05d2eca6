import { ApiTags } from '@nestjs/swagger';
import { tagName } from './names.js';

/** In the order of the document. */
export const TAGS = {
  Users:
    'The user that an API key belongs to. Every failure is `{ status, message }`; each operation describes its own',
  Billing: 'Credits, which move only by entries of a ledger',
  Verification: 'Whether the caller of another service may do something, for services and reverse proxies',
  Administration: 'Users, and the trail of who changed what, for administrators',
  Health: 'Whether the process lives, and whether it can serve',
  'API keys':
    'The keys that a user sends in the `x-api-key` header. An administrator creates the first one; each can be rotated and revoked',
} as const;

export const ApiTag = (tag: keyof typeof TAGS): ClassDecorator => ApiTags(tagName(tag));

import type { KeyView } from '../api-keys/key-view.js';
import { ApiKeyResponse } from '../api-keys/dto/api-key.response.js';
import { print, printTable } from './output.js';

export function printKeys(keys: readonly KeyView[], json?: true): void {
  if (json) print(keys.map((key) => ApiKeyResponse.from(key)));
  else {
    printTable(
      ['NAME', 'PREFIX', 'STATUS', 'CREATED', 'LAST USED', 'EXPIRES', 'RATE LIMIT', 'SCOPES'],
      keys.map(({ name, prefix, status, createdAt, lastUsedAt, expiresAt, rateLimitPerMinute, scopes }) => [
        ...[name, prefix, status, createdAt.toISOString()],
        ...[lastUsedAt?.toISOString() ?? 'never', expiresAt.toISOString(), rateLimit(rateLimitPerMinute)],
        scopes?.join(' ') ?? '*',
      ]),
    );
  }
}

const rateLimit = (stored: number | null): string => (stored === 0 ? 'none' : String(stored ?? 'default'));

/*
 * `npm run bench -- --verify`: the requests of gateways and services, compared with `GET
 * /v1/users/me` and with the two requests that a charge would otherwise take.
 */
import type autocannon from 'autocannon';
import type { Load } from './load.js';

/**
 * The requests of a unit. Only the last two kinds charge credits, and only `verify, then charge`
 * has two requests.
 */
export type Verification = 'forward-auth' | 'verify' | 'verify, then charge' | 'verify with a charge';

/** Tasks that are compared with the first of their group. */
export const VERIFICATIONS = [
  { title: 'Keys', kinds: ['GET', 'forward-auth', 'verify'] },
  { title: 'Keys and charges', kinds: ['verify, then charge', 'verify with a charge'] },
] as const satisfies readonly { readonly title: string; readonly kinds: readonly Load['kind'][] }[];

/**
 * A unit for each key in turn. Keys are verified for a service that calls with the first of all
 * keys.
 *
 * @param own the keys that this connection sends or has verified
 * @param connection its number, which makes the transaction ids unique
 * @param refused called for each response that does not allow what was asked
 */
export function verifications(
  { kind, keys: [service = ''], run }: Load,
  own: readonly string[],
  connection: number,
  refused: () => void,
): autocannon.Request[] {
  let sent = 0;
  const nextId = (): string => {
    sent += 1;
    return `${run} ${String(connection)} ${String(sent)}`;
  };
  const post = { method: 'POST', headers: { 'x-api-key': service, 'content-type': 'application/json' } } as const;
  return own.flatMap((key): autocannon.Request[] => {
    if (kind === 'forward-auth')
      return [{ method: 'GET', path: '/v1/forward-auth?scope=jobs:write', headers: { 'x-api-key': key } }];
    const verify = { key, scopes: ['jobs:write'] };
    const verification: autocannon.Request = {
      ...post,
      path: '/v1/verify',
      body: JSON.stringify(verify),
      onResponse: (_, body, context: { user_id?: string | null }) => {
        const { allowed, user_id } = JSON.parse(body) as { allowed?: boolean; user_id?: string };
        if (allowed !== true) refused();
        context.user_id = user_id ?? null;
      },
    };
    if (kind === 'verify with a charge')
      return [
        {
          ...verification,
          setupRequest: (request) => ({
            ...request,
            body: JSON.stringify({ ...verify, charge: { amount: 1, transaction_id: nextId() } }),
          }),
        },
      ];
    if (kind !== 'verify, then charge') return [verification];
    const charge: autocannon.Request = {
      ...post,
      path: '/v1/billing/credits-deduct',
      setupRequest: (request, { user_id }: { user_id?: string }) => ({
        ...request,
        body: JSON.stringify({ user_id, amount: 1, transaction_id: nextId() }),
      }),
    };
    return [verification, charge];
  });
}

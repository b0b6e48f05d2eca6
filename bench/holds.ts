/*
 * `npm run bench -- --holds`: a hold and its capture, compared with two charges. Both are two
 * requests, which count as one unit.
 */
import type autocannon from 'autocannon';
import type { Load } from './load.js';

/** The requests of a unit. */
export type Holding = 'charge, then charge' | 'hold, then capture';

/** Tasks that are compared with the first of their group. */
export const HOLDINGS = [
  { title: 'Holds over many accounts', kinds: ['charge, then charge', 'hold, then capture'] },
  { title: 'Holds of one account', kinds: ['charge, then charge', 'hold, then capture'], accounts: 1 },
] as const satisfies readonly {
  readonly title: string;
  readonly kinds: readonly Holding[];
  readonly accounts?: number;
}[];

/**
 * A unit for each account in turn.
 *
 * @param accounts those of this connection
 * @param connection its number, which makes the transaction ids unique
 */
export function holdings(
  { kind, keys: [key = ''], run }: Load,
  accounts: readonly string[],
  connection: number,
): autocannon.Request[] {
  let sent = 0;
  const post = { method: 'POST', headers: { 'x-api-key': key, 'content-type': 'application/json' } } as const;
  const movement = (user_id: string, path: string): autocannon.Request => ({
    ...post,
    path,
    setupRequest: (request) => {
      sent += 1;
      const transaction_id = `${run} ${String(connection)} ${String(sent)}`;
      return { ...request, body: JSON.stringify({ user_id, amount: 1, transaction_id }) };
    },
  });
  return accounts.flatMap((user_id): autocannon.Request[] => {
    const charge = movement(user_id, '/v1/billing/credits-deduct');
    if (kind === 'charge, then charge') return [charge, charge];
    const hold: autocannon.Request = {
      ...movement(user_id, '/v1/billing/holds'),
      onResponse: (_, body, context: { hold?: string }) => {
        context.hold = (JSON.parse(body) as { id: string }).id;
      },
    };
    const capture: autocannon.Request = {
      ...post,
      body: JSON.stringify({ amount: 1 }),
      setupRequest: (request, { hold: id = '' }: { hold?: string }) => ({
        ...request,
        path: `/v1/billing/holds/${id}/capture`,
      }),
    };
    return [hold, capture];
  });
}

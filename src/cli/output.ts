import Table from 'cli-table3';
import type { UserResponse } from '../users/dto/user.response.js';

export const print = (value: unknown): void => {
  process.stdout.write(`${JSON.stringify(value, null, process.stdout.isTTY ? 2 : undefined)}\n`);
};

export const printKey = (sentence: string, secret: string): void => {
  process.stdout.write(`${sentence}\nIts API key is shown only now:\n\n  ${secret}\n\n`);
};

export function table(users: readonly UserResponse[]): void {
  const drawn = new Table({
    head: ['ID', 'E-MAIL', 'NAME', 'STATUS', 'CREDITS', 'CREATED'],
    style: { head: [], border: [] },
  });
  drawn.push(
    ...users.map(({ id, email, name, status, credits_balance, created_at }) => [
      id,
      email,
      name,
      status,
      credits_balance,
      created_at,
    ]),
  );
  process.stdout.write(`${drawn.toString()}\n`);
}

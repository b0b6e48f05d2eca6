import Table from 'cli-table3';

/** Rows that a list prints at most. */
export const MAX_LISTED = 10_000;

/** JSON for scripts: one line, alone on stdout. */
export const print = (value: unknown): void => {
  process.stdout.write(`${JSON.stringify(value, null, process.stdout.isTTY ? 2 : undefined)}\n`);
};

export const printSecret = (sentence: string, secret: string): void => {
  process.stdout.write(`${sentence}\nIts API key is shown only now:\n\n  ${secret}\n\n`);
};

export function printTable(head: string[], rows: readonly string[][]): void {
  const table = new Table({ head, style: { head: [], border: [] } });
  table.push(...rows);
  process.stdout.write(`${table.toString()}\n`);
}

/** On stderr, so that what stdout has stays a list. */
export const sayThereAreMore = (limit: number): void => {
  console.error(
    limit < MAX_LISTED
      ? `These are the newest ${String(limit)}, and there are more: --limit takes up to ${String(MAX_LISTED)}.`
      : `These are the newest ${String(limit)}, and there are more, which the HTTP API lists.`,
  );
};

import { createInterface } from 'node:readline/promises';

/**
 * Asks at a terminal whether to go on with what cannot be undone.
 *
 * @throws Error where the answer is another than yes, or there is no terminal to ask at
 */
export async function confirm(question: string): Promise<void> {
  if (!process.stdin.isTTY) throw new Error('This cannot be undone: confirm it with --yes');
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  lines.once('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  try {
    const answer = await lines.question(`${question} Type yes to go on: `);
    if (answer.trim().toLowerCase() !== 'yes') throw new Error('Nothing was changed');
  } finally {
    lines.close();
  }
}

import { createInterface } from 'node:readline/promises';

/**
 * Asks at a terminal for the confirmation of an action that cannot be undone.
 *
 * @throws Error if the answer is not yes, or if there is no terminal
 */
export async function confirm(question: string): Promise<void> {
  if (!process.stdin.isTTY) throw new Error('This cannot be undone: confirm it with --yes');
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  lines.once('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  try {
    const answer = await lines.question(`${question} Type yes to continue: `);
    if (answer.trim().toLowerCase() !== 'yes') throw new Error('Nothing was changed');
  } finally {
    lines.close();
  }
}

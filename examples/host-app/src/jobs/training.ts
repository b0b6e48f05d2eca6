/** The most credits that a job can cost. */
export const MAX_COST = 10;

/** Seconds; a job that takes longer is given up. */
export const MAX_DURATION = 30 * 60;

/** Stands for the work, of which the cost is known afterwards. */
export async function train(prompt: string): Promise<{ readonly cost: number }> {
  if (prompt === 'fail') throw new Error('The training failed');
  return Promise.resolve({ cost: Math.min(prompt.split(' ').length, MAX_COST) });
}

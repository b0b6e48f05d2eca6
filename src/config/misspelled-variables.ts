import { VARIABLE_NAMES } from './variables.js';

/**
 * Warnings about variables whose names are similar to declared ones, one sentence each, without
 * values.
 */
export function misspelledVariables(env: NodeJS.ProcessEnv): string[] {
  return Object.keys(env)
    .filter((name) => !VARIABLE_NAMES.includes(name))
    .flatMap((name) => {
      const meant = VARIABLE_NAMES.find((variable) => resembles(name, variable));
      return meant === undefined ? [] : [`${name} in the environment has no meaning here; ${meant} is meant, perhaps`];
    });
}

/**
 * Whether a name has at most one typing error, or two if it is longer; or the same words in another
 * case or order.
 */
function resembles(name: string, variable: string): boolean {
  if (name.startsWith(variable) && /^_?\d+$/.test(name.slice(variable.length))) return false; // PORT0, PORT1: of schedulers
  const allowed = variable.length < 9 ? 1 : 2;
  // Stryker disable next-line ConditionalExpression: only saves work: no distance is shorter
  if (Math.abs(name.length - variable.length) > allowed) return false;
  const [given, known] = [name.toUpperCase(), variable.toUpperCase()];
  return distance(given, known) <= allowed || wordsOf(given) === wordsOf(known);
}

const wordsOf = (name: string): string => name.split('_').sort().join();

/**
 * The number of insertions, deletions, substitutions and exchanges of adjacent characters between
 * two texts.
 */
function distance(from: string, to: string): number {
  const rows = [Array.from({ length: to.length + 1 }, (_, index) => index)];
  const at = (i: number, j: number): number => rows[i]?.[j] ?? Infinity;
  for (let i = 1; i <= from.length; i += 1) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= to.length; j += 1) {
      const isSame = from[i - 1] === to[j - 1];
      const isExchange = from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1];
      row[j] = Math.min(
        at(i - 1, j) + 1,
        at(i, j - 1) + 1,
        at(i - 1, j - 1) + (isSame ? 0 : 1),
        isExchange ? at(i - 2, j - 2) + 1 : Infinity,
      );
    }
  }
  return at(from.length, to.length);
}

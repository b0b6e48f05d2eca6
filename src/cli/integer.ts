import { InvalidArgumentError } from 'commander';

/**
 * Reads an option's value as an integer, both bounds included; `to` is at most 2^53 − 1, so that a
 * rounded value is out of range.
 */
export const integer =
  (from: number, to: number) =>
  (text: string): number => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < from || value > to) {
      throw new InvalidArgumentError(`It must be an integer from ${String(from)} to ${String(to)}.`);
    }
    return value;
  };

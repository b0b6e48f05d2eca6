import { InvalidArgumentError } from 'commander';

/** Reads an option's value as an integer, both bounds included. */
export const integer =
  (from: number, to: number) =>
  (text: string): number => {
    const value = Number(text);
    if (!/^\d{1,15}$/.test(text) || value < from || value > to) {
      throw new InvalidArgumentError(`It must be an integer from ${String(from)} to ${String(to)}.`);
    }
    return value;
  };

import { Inject } from '@nestjs/common';
import { type OptionValues, type Variable, VARIABLES } from './variables.js';

/** The options of `UsersApiModule`. `forRootAsync` may compute them during the start. */
export type UsersApiOptions = { readonly [Key in keyof OptionValues]?: OptionValues[Key] | undefined };

const RULES = new Map(
  Object.entries<Variable>(VARIABLES).flatMap(([key, { isOption, rule }]) => (isOption ? [[key, rule] as const] : [])),
);

/** Thrown at startup, so that an invalid option is reported before any request. */
export class InvalidUsersApiOptionsError extends Error {
  constructor(problems: readonly string[]) {
    super(`The options of UsersApiModule are not valid: ${problems.join('; ')}`);
    this.name = 'InvalidUsersApiOptionsError';
  }
}

/** @throws InvalidUsersApiOptionsError naming every problem at once; no value is converted */
export function checkOptions(options: UsersApiOptions): UsersApiOptions {
  const problems = Object.entries(options).flatMap(([key, value]) => {
    const rule = RULES.get(key);
    if (!rule) return [`property ${key} should not exist`];
    const problem = value === undefined ? undefined : rule.problemOf(value);
    return problem === undefined ? [] : [`${key} ${problem}`];
  });
  if (problems.length > 0) throw new InvalidUsersApiOptionsError(problems);
  return { ...options };
}

/** The options among the values of all variables. */
export const optionsFrom = (values: OptionValues): UsersApiOptions =>
  Object.fromEntries(Object.entries(values).filter(([key]) => RULES.has(key)));

export const USERS_API_OPTIONS = Symbol('options of the users API');

export const InjectOptions = (): ParameterDecorator => Inject(USERS_API_OPTIONS);

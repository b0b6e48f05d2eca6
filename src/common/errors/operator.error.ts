/**
 * An error whose message tells an operator the cause and the remedy, in one or more lines. Its
 * stack is not informative.
 */
export abstract class OperatorError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

import { OperatorError } from './operator.error.js';

/** The modules cannot work in this application. The message is one sentence with the remedy. */
export class UnsuitableHostError extends OperatorError {}

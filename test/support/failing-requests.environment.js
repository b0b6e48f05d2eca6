import { TestEnvironment } from 'jest-environment-node';

/** Where `agent.ts` notes each response. */
const RESPONSES = Symbol.for('users-api.responses');

/** Responses of one kind that are shown: hundreds may be alike but for a name. */
const SHOWN = 3;

/**
 * Adds to the failure of a test or a hook the responses that it got, since
 * `expect(response.status)` knows nothing but the number. In JavaScript, since Jest loads this file
 * without its transformer for ECMAScript modules.
 */
export default class FailingRequestsEnvironment extends TestEnvironment {
  constructor(config, context) {
    super(config, context);
    this.global[RESPONSES] = [];
  }

  handleTestEvent({ name, error, test }) {
    if (name === 'test_start' || name === 'run_describe_start') this.global[RESPONSES].length = 0;
    if (name !== 'test_fn_failure' && name !== 'hook_failure') return;
    const lines = summaryOf(this.global[RESPONSES]);
    if (lines.length === 0) return;
    const more = `\n\nResponses:\n${lines.map((line) => `  ${line}`).join('\n')}`;
    if (typeof error?.stack === 'string') {
      const { message } = error;
      error.stack = error.stack.replace(message, () => message + more);
      error.message = message + more;
    } else {
      // A timeout is a string, which Jest keeps together with an error for its place.
      const failure = test?.errors.find(([thrown]) => thrown === error);
      if (typeof error === 'string' && failure) failure[0] = error + more;
    }
  }
}

/** Of each operation and status the first ones, and how many more there were. */
function summaryOf(responses) {
  const kinds = new Map();
  for (const line of responses) {
    const kind = /^\S+ [^?]*?: \d+/.exec(line)?.[0] ?? line;
    kinds.set(kind, [...(kinds.get(kind) ?? []), line]);
  }
  return [...kinds].flatMap(([kind, lines]) => [
    ...lines.slice(0, SHOWN),
    ...(lines.length > SHOWN ? [`${kind}, ${String(lines.length - SHOWN)} more`] : []),
  ]);
}

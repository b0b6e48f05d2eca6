import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { ApiKeyFormat } from '../common/api-key-format.js';
import { OperatorError } from '../common/errors/operator.error.js';
import { variableProblems } from './one-server.js';
import { type Variable, VARIABLES, type VariableValues } from './variables.js';

/**
 * Lists every problem of the environment, one per line. No value is repeated, since some values are
 * secrets.
 */
export class InvalidEnvironmentError extends OperatorError {
  constructor(readonly problems: readonly string[]) {
    super(['The environment is not valid:', ...problems.map((problem) => `  ${problem}`)].join('\n'));
  }
}

/** @throws InvalidEnvironmentError naming every problem at once */
function read(env: NodeJS.ProcessEnv): VariableValues {
  const problems: string[] = [];
  const entries = Object.entries<Variable>(VARIABLES).map(([key, variable]) => {
    const { value, problem } = readVariable(variable, env);
    if (problem !== undefined) problems.push(problem);
    return [key, value];
  });
  const values = Object.fromEntries(entries) as VariableValues;
  if (values.metricsPort !== undefined && values.databasePoolSize === 1)
    problems.push(
      'DATABASE_POOL_SIZE must be 2 or more where METRICS_PORT is set: checking the ledger takes one for a while',
    );
  if (values.databaseUrl !== undefined) problems.push(...variableProblems(values.databaseUrl, env));
  const { apiKeyPrefixes, bootstrapAdminKey } = values;
  if (problems.length === 0 && bootstrapAdminKey && !new ApiKeyFormat(apiKeyPrefixes).accepts(bootstrapAdminKey))
    problems.push('BOOTSTRAP_ADMIN_KEY must have one of the prefixes of API_KEY_PREFIX');
  if (problems.length > 0) throw new InvalidEnvironmentError(problems);
  return values;
}

function readVariable(
  { name, rule, default: fallback }: Variable,
  env: NodeJS.ProcessEnv,
): { readonly value: unknown; readonly problem?: string | undefined } {
  const text = env[name];
  if (text === undefined || text === '') return { value: fallback }; // `NAME=` in an .env or compose file means "not set"
  const value = rule.read(text);
  const problem = rule.problemOf(value);
  return { value, problem: problem === undefined ? undefined : `${name} ${problem}` };
}

/**
 * The format of keys, independent of the other variables: the command that generates a key for
 * `BOOTSTRAP_ADMIN_KEY` must run while that variable is not valid.
 *
 * @throws InvalidEnvironmentError when `API_KEY_PREFIX` is not valid
 */
export function apiKeyFormatFrom(env: NodeJS.ProcessEnv): ApiKeyFormat {
  const { value, problem } = readVariable(VARIABLES.apiKeyPrefixes, env);
  if (problem !== undefined) throw new InvalidEnvironmentError([problem]);
  return new ApiKeyFormat(value as VariableValues['apiKeyPrefixes']);
}

/** Declares a property for each variable; the constructor of `AppConfig` sets them. */
const Values = Object as unknown as new () => VariableValues;

/** All environment variables that the process reads, checked before it listens on any port. */
export class AppConfig extends Values {
  declare readonly logPretty: boolean;

  /** @throws InvalidEnvironmentError naming every problem at once */
  constructor(env: NodeJS.ProcessEnv, isTerminal = process.stdout.isTTY) {
    super();
    const values = read(env);
    Object.assign(this, values, { logPretty: values.logPretty ?? isTerminal });
  }

  /**
   * The protocol for traces; undefined if OpenTelemetry's own variables ask for no traces. Without
   * an endpoint, OpenTelemetry would send traces to localhost; here, they are disabled.
   */
  get tracesProtocol(): string | undefined {
    const isWanted =
      (this.otlpTracesEndpoint ?? this.otlpEndpoint) !== undefined &&
      this.tracesExporter.split(',').includes('otlp') &&
      this.otelDisabled.toLowerCase() !== 'true';
    return isWanted ? (this.otlpTracesProtocol ?? this.otlpProtocol) : undefined;
  }
}

/** An unquoted value in `.env`, up to a "#". */
const CUT_AT_HASH = /^[^\S\n]*(?:export\s+)?(\w+)[^\S\n]*=(?:[^\S\n]*[^\s'"`#](?:[^\n#]*[^\s#])?)?#/gm;

/** OpenTelemetry reads more variables than are declared here. */
const mayHaveHash = (given: string): boolean =>
  given.startsWith('OTEL_') ||
  Object.values<Variable>(VARIABLES).some((known) => known.name === given && known.mayHaveHash);

/**
 * Reads `.env` in the working directory, if there is one. Variables that are already set take
 * precedence.
 *
 * @throws InvalidEnvironmentError if the file cannot be read, is not text, or has a "#" outside
 *   quotes that truncates a secret: a lost variable must not look like one that is not set
 */
export function readDotEnv(): void {
  let text: string;
  try {
    text = decodeText(readFileSync('.env'));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return;
    throw new InvalidEnvironmentError([`.env cannot be read: ${code === 'EISDIR' ? 'it is a directory' : message}`]);
  }
  const cut = [...text.matchAll(CUT_AT_HASH)]
    .map(([, name = '']) => name)
    .filter(mayHaveHash)
    .map((name) => `.env cuts ${name} at its #, which begins a comment there: put the value in quotes`);
  if (cut.length > 0) throw new InvalidEnvironmentError(cut);
  for (const [name, value] of Object.entries(parseEnv(text))) process.env[name] ??= value;
}

/**
 * Decodes UTF-8, or UTF-16 with a byte order mark, which Windows PowerShell writes. Removes the
 * byte order mark of either.
 */
function decodeText(bytes: Uint8Array): string {
  const isUtf16 = bytes[0] === 0xff && bytes[1] === 0xfe;
  return new TextDecoder(isUtf16 ? 'utf-16le' : 'utf-8', { fatal: true }).decode(bytes);
}

import { readFileSync } from 'node:fs';
import { isIPv4, isIPv6 } from 'node:net';
import { parseEnv } from 'node:util';
import { plainToInstance } from 'class-transformer';
import { IsOptional, validateSync } from 'class-validator';
import { isApiKey } from '../common/api-key-format.js';
import { isEmailAddress } from '../common/validation/email.js';
import {
  DEFAULT_KEY_DAYS,
  Fits,
  Flag,
  IntegerVariable,
  isRedisUrl,
  isWellFormedUrl,
  MAX_COUNT,
  MAX_KEY_DAYS,
  REDIS_URL,
  WELL_FORMED_URL,
} from './rules.js';

/** Everything wrong with the environment, one line each; no value is repeated, since some of them are secrets. */
export class InvalidEnvironmentError extends Error {
  constructor(readonly problems: readonly string[]) {
    super(['The environment is not valid:', ...problems.map((problem) => `  ${problem}`)].join('\n'));
    this.name = 'InvalidEnvironmentError';
  }
}

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

/** What Express takes as `trust proxy`: how many proxies stand before us, or their addresses, subnets or names for these. */
const isTrustedProxies = (value: string): boolean =>
  /^\d{1,2}$/.test(value) || value.split(',').every((proxy) => isSubnet(proxy.trim()));

function isSubnet(proxy: string): boolean {
  if (['loopback', 'linklocal', 'uniquelocal'].includes(proxy)) return true;
  const [address = '', bits = '0', ...rest] = proxy.split('/');
  return (
    rest.length === 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (isIPv4(address) ? 32 : isIPv6(address) ? 128 : -1)
  );
}

/** OpenTelemetry repeats an endpoint that it cannot read in the log. Without "@" there is no password in it. */
const hasNoStrayPassword = (value: string): boolean => !value.includes('@') || isWellFormedUrl(value);

/** The environment variables the process reads. `.env.example` documents each of them. */
class Environment {
  @IntegerVariable(0, 65535)
  readonly PORT: number = 3000;

  readonly HOST: string = '127.0.0.1';

  @IsOptional()
  @Fits(`${WELL_FORMED_URL}, or the password left to PGPASSWORD`, isWellFormedUrl)
  @Fits('must be a URL that begins with postgres:// or postgresql://', (value: string) =>
    /^postgres(ql)?:\/\//.test(value),
  )
  readonly DATABASE_URL?: string = undefined;

  /** Read by `pg`. */
  readonly PGPASSWORD?: string = undefined;

  readonly DATA_DIR?: string = undefined;

  @IntegerVariable(1, 1000)
  readonly DATABASE_POOL_SIZE: number = 10;

  @Flag()
  readonly DATABASE_TRANSACTION_POOLER: boolean = false;

  @Flag()
  readonly MIGRATIONS_RUN: boolean = true;

  @IntegerVariable(0, MAX_COUNT)
  readonly NEW_USER_CREDITS: number = 0;

  @IntegerVariable(0, MAX_COUNT)
  readonly RATE_LIMIT_PER_MINUTE: number = 6000;

  @IsOptional()
  @Fits(REDIS_URL, isRedisUrl)
  readonly REDIS_URL?: string = undefined;

  @IsOptional()
  @Fits('must be a number of proxies, or their addresses', isTrustedProxies)
  readonly TRUST_PROXY?: string = undefined;

  @IntegerVariable(0, 60_000)
  readonly SHUTDOWN_DRAIN_MS: number = 0;

  @IsOptional()
  @IntegerVariable(0, 65535)
  readonly METRICS_PORT?: number = undefined;

  @IsOptional()
  @Fits(WELL_FORMED_URL, hasNoStrayPassword)
  readonly OTEL_EXPORTER_OTLP_ENDPOINT?: string = undefined;

  @IsOptional()
  @Fits(WELL_FORMED_URL, hasNoStrayPassword)
  readonly OTEL_EXPORTER_OTLP_TRACES_ENDPOINT?: string = undefined;

  readonly OTEL_EXPORTER_OTLP_PROTOCOL: string = 'http/protobuf';
  readonly OTEL_EXPORTER_OTLP_TRACES_PROTOCOL?: string = undefined;
  readonly OTEL_TRACES_EXPORTER: string = 'otlp';
  readonly OTEL_SDK_DISABLED: string = 'false';

  @Fits(`must be one of ${LOG_LEVELS.join(', ')}`, (value: string) => LOG_LEVELS.includes(value))
  readonly LOG_LEVEL: string = 'info';

  @IsOptional()
  @Flag()
  readonly LOG_PRETTY?: boolean = undefined;

  @Fits('must be an e-mail address', isEmailAddress)
  readonly BOOTSTRAP_ADMIN_EMAIL: string = 'admin@example.com';

  @IsOptional()
  @Fits('must be an API key with a valid checksum; `users-api keys generate` makes one', isApiKey)
  readonly BOOTSTRAP_ADMIN_KEY?: string = undefined;

  @IntegerVariable(1, MAX_KEY_DAYS)
  readonly BOOTSTRAP_ADMIN_KEY_DAYS: number = DEFAULT_KEY_DAYS;
}

export const VARIABLES = Object.keys(new Environment()) as readonly (keyof Environment)[];

/** @throws InvalidEnvironmentError naming every problem at once */
function read(env: NodeJS.ProcessEnv): Environment {
  // `NAME=` in an .env or compose file means "not set".
  const set = VARIABLES.filter((name) => env[name] !== undefined && env[name] !== '');
  const environment = plainToInstance(Environment, Object.fromEntries(set.map((name) => [name, env[name]])));
  const problems = validateSync(environment, { stopAtFirstError: true, forbidUnknownValues: false }).flatMap(
    ({ constraints = {} }) => Object.values(constraints),
  );
  if (environment.METRICS_PORT !== undefined && environment.DATABASE_POOL_SIZE === 1)
    problems.push(
      'DATABASE_POOL_SIZE must be 2 or more where METRICS_PORT is set: checking the ledger takes one for a while',
    );
  if (problems.length > 0) throw new InvalidEnvironmentError(problems);
  return environment;
}

/** Everything the process reads from its environment, checked before anything listens. */
export class AppConfig {
  readonly port: number;
  readonly host: string;
  /** Undefined: the app starts a PostgreSQL server of its own in `dataDir`. */
  readonly databaseUrl: string | undefined;
  /** Undefined: the user left the choice to us. */
  readonly dataDir: string | undefined;
  readonly databasePoolSize: number;
  /** True behind PgBouncer and its like in transaction mode: nothing then relies on a session that lasts. */
  readonly transactionPooler: boolean;
  readonly migrationsRun: boolean;
  /** What each new user gets. */
  readonly newUserCredits: number;
  /** Requests of one key, and failed authentications of one address; 0 for no limit. */
  readonly rateLimitPerMinute: number;
  /** Where instances count together; undefined: each for itself. */
  readonly redisUrl: string | undefined;
  /** Express' `trust proxy`: how many proxies to believe, or which; undefined: none. */
  readonly trustProxy: number | string | undefined;
  /** How long a process that is told to stop goes on serving, for proxies to notice. */
  readonly shutdownDrainMs: number;
  /** Undefined: no metrics. */
  readonly metricsPort: number | undefined;
  /** Where OpenTelemetry's own variables ask for traces: the protocol they are sent by; undefined: no traces. */
  readonly traces: { readonly protocol: string } | undefined;
  readonly log: { readonly level: string; readonly pretty: boolean };
  /** The first administrator; without a key of its own it gets a new one. The key expires after so many days. */
  readonly bootstrapAdmin: { readonly email: string; readonly key: string | undefined; readonly keyDays: number };

  /** @throws InvalidEnvironmentError naming every problem at once */
  constructor(env: NodeJS.ProcessEnv, isTerminal = process.stdout.isTTY) {
    const given = read(env);
    this.port = given.PORT;
    this.host = given.HOST;
    this.databaseUrl = given.DATABASE_URL;
    this.dataDir = given.DATA_DIR;
    this.databasePoolSize = given.DATABASE_POOL_SIZE;
    this.transactionPooler = given.DATABASE_TRANSACTION_POOLER;
    this.migrationsRun = given.MIGRATIONS_RUN;
    this.newUserCredits = given.NEW_USER_CREDITS;
    this.rateLimitPerMinute = given.RATE_LIMIT_PER_MINUTE;
    this.redisUrl = given.REDIS_URL;
    this.trustProxy = /^\d+$/.test(given.TRUST_PROXY ?? '') ? Number(given.TRUST_PROXY) : given.TRUST_PROXY;
    this.shutdownDrainMs = given.SHUTDOWN_DRAIN_MS;
    this.metricsPort = given.METRICS_PORT;
    this.traces = wantsTraces(given)
      ? { protocol: given.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL ?? given.OTEL_EXPORTER_OTLP_PROTOCOL }
      : undefined;
    this.log = { level: given.LOG_LEVEL, pretty: given.LOG_PRETTY ?? isTerminal };
    this.bootstrapAdmin = {
      email: given.BOOTSTRAP_ADMIN_EMAIL,
      key: given.BOOTSTRAP_ADMIN_KEY,
      keyDays: given.BOOTSTRAP_ADMIN_KEY_DAYS,
    };
  }
}

/** OpenTelemetry would send to localhost where no endpoint is given; here that means that nobody asked for traces. */
const wantsTraces = (given: Environment): boolean =>
  (given.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? given.OTEL_EXPORTER_OTLP_ENDPOINT) !== undefined &&
  given.OTEL_TRACES_EXPORTER.split(',').includes('otlp') &&
  given.OTEL_SDK_DISABLED.toLowerCase() !== 'true';

/** Variables that may hold a secret with a "#". */
const CUT_AT_HASH =
  /^[^\S\n]*(?:export\s+)?(DATABASE_URL|PGPASSWORD|REDIS_URL|OTEL_\w+)[^\S\n]*=(?:[^\S\n]*[^\s'"`#](?:[^\n#]*[^\s#])?)?#/gm;

/**
 * Reads `.env` in the working directory, if there is one; what the environment already says wins.
 *
 * @throws InvalidEnvironmentError if it cannot be read, is no text, or has a "#" outside quotes that cuts a secret short: a
 *   variable that is dropped must not look like one that is not set
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
  const cut = [...text.matchAll(CUT_AT_HASH)].map(
    ([, name = '']) => `.env cuts ${name} at its #, which begins a comment there: put the value in quotes`,
  );
  if (cut.length > 0) throw new InvalidEnvironmentError(cut);
  for (const [name, value] of Object.entries(parseEnv(text))) process.env[name] ??= value;
}

/** Decodes UTF-8 or, after its byte order mark, UTF-16, which Windows PowerShell writes. Removes the mark of either. */
function decodeText(bytes: Uint8Array): string {
  const isUtf16 = bytes[0] === 0xff && bytes[1] === 0xfe;
  return new TextDecoder(isUtf16 ? 'utf-16le' : 'utf-8', { fatal: true }).decode(bytes);
}

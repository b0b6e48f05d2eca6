import { isApiKey } from '../common/api-key-format.js';
import { isIPv4, isIPv6 } from 'node:net';
import { z } from 'zod';

/** Everything wrong with the environment, one line each; no value is repeated, since some of them are secrets. */
export class InvalidEnvironmentError extends Error {
  constructor(readonly problems: readonly string[]) {
    super(['The environment is not valid:', ...problems.map((problem) => `  ${problem}`)].join('\n'));
    this.name = 'InvalidEnvironmentError';
  }
}

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

const integer = (from: number, to: number) =>
  z
    .string()
    .regex(/^\d{1,9}$/, `must be an integer from ${String(from)} to ${String(to)}`)
    .transform(Number)
    .refine((value) => value >= from && value <= to, `must be an integer from ${String(from)} to ${String(to)}`);

const flag = z.enum(['true', 'false'], 'must be true or false').transform((value) => value === 'true');

const isPostgresUrl = (value: string): boolean => /^postgres(ql)?:\/\//.test(value) && URL.canParse(value);

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

/** The environment variables the process reads. `.env.example` documents each of them. */
export const Environment = z.object({
  PORT: integer(0, 65535).default(3000),
  HOST: z.string().default('127.0.0.1'),
  DATABASE_URL: z
    .string()
    .refine(isPostgresUrl, 'must be a URL that begins with postgres:// or postgresql://')
    .optional(),
  DATA_DIR: z.string().optional(),
  DATABASE_POOL_SIZE: integer(1, 1000).default(10),
  DATABASE_TRANSACTION_POOLER: flag.default(false),
  MIGRATIONS_RUN: flag.default(true),
  NEW_USER_CREDITS: integer(0, 999_999_999).default(0),
  RATE_LIMIT_PER_MINUTE: integer(0, 999_999_999).default(6000),
  REDIS_URL: z
    .string()
    .refine(
      (value) => /^rediss?:\/\//.test(value) && URL.canParse(value),
      'must be a URL that begins with redis:// or rediss://',
    )
    .optional(),
  TRUST_PROXY: z.string().refine(isTrustedProxies, 'must be a number of proxies, or their addresses').optional(),
  SHUTDOWN_DRAIN_MS: integer(0, 60_000).default(0),
  METRICS_PORT: integer(0, 65535).optional(),
  OTEL_EXPORTER_OTLP_ENDPOINT: z.string().optional(),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: z.string().optional(),
  OTEL_EXPORTER_OTLP_PROTOCOL: z.string().default('http/protobuf'),
  OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: z.string().optional(),
  OTEL_TRACES_EXPORTER: z.string().default('otlp'),
  OTEL_SDK_DISABLED: z.string().default('false'),
  LOG_LEVEL: z.enum(LOG_LEVELS, `must be one of ${LOG_LEVELS.join(', ')}`).default('info'),
  LOG_PRETTY: flag.optional(),
  BOOTSTRAP_ADMIN_EMAIL: z.email('must be an e-mail address').default('admin@example.com'),
  BOOTSTRAP_ADMIN_KEY: z
    .string()
    .refine(isApiKey, 'must be an API key with a valid checksum; `users-api keys generate` makes one')
    .optional(),
});

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
  readonly bootstrapAdmin: { readonly email: string; readonly key: string | undefined };

  /** @throws InvalidEnvironmentError naming every problem at once */
  constructor(env: NodeJS.ProcessEnv, isTerminal = process.stdout.isTTY) {
    const { success, data: read, error } = Environment.safeParse(withoutEmpty(env));
    if (!success) {
      throw new InvalidEnvironmentError(error.issues.map(({ path, message }) => `${path.join('.')} ${message}`));
    }
    this.port = read.PORT;
    this.host = read.HOST;
    this.databaseUrl = read.DATABASE_URL;
    this.dataDir = read.DATA_DIR;
    this.databasePoolSize = read.DATABASE_POOL_SIZE;
    this.transactionPooler = read.DATABASE_TRANSACTION_POOLER;
    this.migrationsRun = read.MIGRATIONS_RUN;
    this.newUserCredits = read.NEW_USER_CREDITS;
    this.rateLimitPerMinute = read.RATE_LIMIT_PER_MINUTE;
    this.redisUrl = read.REDIS_URL;
    this.trustProxy = /^\d+$/.test(read.TRUST_PROXY ?? '') ? Number(read.TRUST_PROXY) : read.TRUST_PROXY;
    this.shutdownDrainMs = read.SHUTDOWN_DRAIN_MS;
    this.metricsPort = read.METRICS_PORT;
    this.traces = wantsTraces(read)
      ? { protocol: read.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL ?? read.OTEL_EXPORTER_OTLP_PROTOCOL }
      : undefined;
    this.log = { level: read.LOG_LEVEL, pretty: read.LOG_PRETTY ?? isTerminal };
    this.bootstrapAdmin = { email: read.BOOTSTRAP_ADMIN_EMAIL, key: read.BOOTSTRAP_ADMIN_KEY };
  }
}

/** OpenTelemetry would send to localhost where no endpoint is given; here that means that nobody asked for traces. */
const wantsTraces = (read: z.infer<typeof Environment>): boolean =>
  (read.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? read.OTEL_EXPORTER_OTLP_ENDPOINT) !== undefined &&
  read.OTEL_TRACES_EXPORTER.split(',').includes('otlp') &&
  read.OTEL_SDK_DISABLED.toLowerCase() !== 'true';

/** `NAME=` in an .env or compose file means "not set". */
function withoutEmpty(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
}

/** Reads `.env` in the working directory, if there is one; what the environment already says wins. */
export function readDotEnv(): void {
  try {
    process.loadEnvFile();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

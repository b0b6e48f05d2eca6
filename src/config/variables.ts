import { isIPv4, isIPv6 } from 'node:net';
import { DEFAULT_PREFIX, isApiKeyOfAnyPrefix, problemOfPrefixes } from '../common/api-key-format.js';
import { isEmailAddress } from '../common/validation/email.js';
import { hasNoDetour, leadsToOneServer, NO_DETOUR, ONE_SERVER } from './one-server.js';
import {
  DEFAULT_KEY_DAYS,
  FLAG,
  integer,
  isWellFormedUrl,
  MAX_COUNT,
  MAX_KEY_DAYS,
  type Rule,
  text,
  WELL_FORMED_URL,
} from './rules.js';

export interface Variable {
  /** Its name in the environment. */
  readonly name: string;
  readonly rule: Rule<unknown>;
  /** The value if the variable is not set; without it, undefined. */
  readonly default?: string | number | boolean | readonly string[];
  /** The text for the table in the README. */
  readonly description: string;
  /** True if `UsersApiModule` has an option of this name and rule, whose default is undefined. */
  readonly isOption?: true;
  /** True if the value may hold a secret with a "#", at which an unquoted value in `.env` ends. */
  readonly mayHaveHash?: true;
}

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

/**
 * What Express accepts as `trust proxy`: a number of proxies, or addresses, subnets and names for
 * these.
 */
const TRUSTED_PROXIES: Rule<number | string> = {
  read: (value) => (/^\d+$/.test(value) ? Number(value) : value),
  problemOf: (value) =>
    isTrustedProxies(String(value)) ? undefined : 'must be a number of proxies, or their addresses',
};

const isTrustedProxies = (value: string): boolean =>
  /^\d{1,2}$/.test(value) || value.split(',').every((proxy) => isSubnet(proxy.trim()));

function isSubnet(proxy: string): boolean {
  if (['loopback', 'linklocal', 'uniquelocal'].includes(proxy)) return true;
  const [address = '', bits = '0', ...rest] = proxy.split('/');
  return (
    rest.length === 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (isIPv4(address) ? 32 : isIPv6(address) ? 128 : -1)
  );
}

/** An endpoint without "@" has no password. OpenTelemetry logs an endpoint that it cannot parse. */
const OTLP_ENDPOINT = text({
  must: WELL_FORMED_URL,
  holds: (value) => !value.includes('@') || isWellFormedUrl(value),
});

/** A base URL. Its trailing slash is removed, since a path is appended. */
const PUBLIC_URL: Rule<string> = {
  read: (value) => value.replace(/\/+$/, ''),
  problemOf: (value) =>
    typeof value === 'string' && /^https?:\/\/[^/\\?#@\s]+(?:\/[\w.~%-]+)*$/.test(value) && URL.canParse(value)
      ? undefined
      : 'must be a URL that begins with http:// or https://, with a path or none, and without user, query and fragment',
};

const API_KEY_PREFIXES: Rule<readonly string[]> = {
  read: (value) => value.split(','),
  problemOf: problemOfPrefixes,
};

/**
 * The environment variables of the application. The key of each is the name of its value in
 * `AppConfig` and, if it is an option, in `UsersApiOptions`. Tests compare the README and
 * `.env.example` with this declaration.
 */
export const VARIABLES = {
  port: { name: 'PORT', rule: integer(0, 65_535), default: 3000, description: 'port to listen on; `0`: any free one' },
  host: { name: 'HOST', rule: text(), default: '127.0.0.1', description: 'address to listen on' },
  databaseUrl: {
    name: 'DATABASE_URL',
    rule: text(
      {
        must: 'must be a URL that begins with postgres:// or postgresql://',
        holds: (value) => /^postgres(ql)?:\/\//.test(value),
      },
      { must: ONE_SERVER, holds: leadsToOneServer },
      { must: `${WELL_FORMED_URL}, or the password left to PGPASSWORD`, holds: isWellFormedUrl },
      { must: NO_DETOUR, holds: hasNoDetour },
    ),
    description: 'PostgreSQL 13 or newer, encoding UTF8; not set: an embedded server',
    mayHaveHash: true,
  },
  pgPassword: {
    name: 'PGPASSWORD', // read by `pg`
    rule: text(),
    description: 'the password, unencoded, if `DATABASE_URL` has only the user',
    mayHaveHash: true,
  },
  dataDir: {
    name: 'DATA_DIR',
    rule: text(),
    description: 'directory for the data of the embedded server; not set: `.data`',
  },
  databasePoolSize: {
    name: 'DATABASE_POOL_SIZE',
    rule: integer(1, 1000),
    default: 10,
    description: 'connections that one process opens at most; with metrics 2 or more',
  },
  transactionPooler: {
    name: 'DATABASE_TRANSACTION_POOLER',
    rule: FLAG,
    default: false,
    description: '`DATABASE_URL` leads to a pooler in transaction mode, so nothing relies on a session',
  },
  migrationsRun: {
    name: 'MIGRATIONS_RUN',
    rule: FLAG,
    default: true,
    description: 'bring the schema up to date at the start',
  },
  /** Credits of each new user, entered in the transaction that creates the user; 0 if undefined. */
  newUserCredits: {
    name: 'NEW_USER_CREDITS',
    rule: integer(0, MAX_COUNT),
    default: 0,
    description: 'credits that each new user gets',
    isOption: true,
  },
  /**
   * Requests a minute of a key without a limit of its own, if its user has none either, and failed
   * authentications a minute of one address; no limit if 0 or undefined.
   */
  rateLimitPerMinute: {
    name: 'RATE_LIMIT_PER_MINUTE',
    rule: integer(0, MAX_COUNT),
    default: 6000,
    description: 'default limit of a key, and of failed authentications of one address; `0`: none',
    isOption: true,
  },
  /**
   * The Redis server in which all instances share their counts; if undefined, each instance counts
   * separately.
   */
  redisUrl: {
    name: 'REDIS_URL',
    rule: text({
      must: 'must be a well-formed URL that begins with redis:// or rediss://: in a password, # / ? @ and % are to be percent-encoded',
      holds: (value) => /^rediss?:\/\//.test(value) && isWellFormedUrl(value),
    }),
    description: 'where instances count together; not set: each alone',
    isOption: true,
    mayHaveHash: true,
  },
  /**
   * The prefixes of keys: new keys get the first one, and keys with any of them are accepted; only
   * `ua_` if undefined.
   */
  apiKeyPrefixes: {
    name: 'API_KEY_PREFIX',
    rule: API_KEY_PREFIXES,
    default: [DEFAULT_PREFIX],
    description: 'prefixes of keys, separated by commas: the first for new keys, all of them accepted',
    isOption: true,
  },
  trustProxy: {
    name: 'TRUST_PROXY',
    rule: TRUSTED_PROXIES,
    description: "proxies to believe about a caller's address: how many, or which",
  },
  publicUrl: {
    name: 'PUBLIC_URL',
    rule: PUBLIC_URL,
    description: 'where callers reach the app, if a proxy removes a prefix of the path',
  },
  consolePage: {
    name: 'CONSOLE_PAGE', // init systems set CONSOLE
    rule: FLAG,
    default: true,
    description: '`false`: no page for operators at `/console`',
  },
  shutdownDrainMs: {
    name: 'SHUTDOWN_DRAIN_MS',
    rule: integer(0, 60_000),
    default: 0,
    description: 'how long a stopping process says so at `/readyz` and goes on serving',
  },
  metricsPort: {
    name: 'METRICS_PORT',
    rule: integer(0, 65_535),
    description: 'port of `GET /metrics` for Prometheus, on `HOST`; not set: no metrics',
  },
  otlpEndpoint: {
    name: 'OTEL_EXPORTER_OTLP_ENDPOINT',
    rule: OTLP_ENDPOINT,
    description: 'base URL for traces; not set: no traces',
  },
  otlpTracesEndpoint: {
    name: 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
    rule: OTLP_ENDPOINT,
    description: 'URL for traces, instead of the base URL',
  },
  otlpProtocol: {
    name: 'OTEL_EXPORTER_OTLP_PROTOCOL',
    rule: text(),
    default: 'http/protobuf',
    description: 'or `http/json`',
  },
  otlpTracesProtocol: {
    name: 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL',
    rule: text(),
    description: 'the same for traces alone',
  },
  tracesExporter: {
    name: 'OTEL_TRACES_EXPORTER',
    rule: text(),
    default: 'otlp',
    description: '`none`: no traces, whatever else is set',
  },
  otelDisabled: {
    name: 'OTEL_SDK_DISABLED',
    rule: text(),
    default: 'false',
    description: '`true`: no traces, whatever else is set',
  },
  logLevel: {
    name: 'LOG_LEVEL',
    rule: text({ must: `must be one of ${LOG_LEVELS.join(', ')}`, holds: (value) => LOG_LEVELS.includes(value) }),
    default: 'info',
    description: `the least level that is logged: ${LOG_LEVELS.join(', ')}`,
  },
  logPretty: {
    name: 'LOG_PRETTY',
    rule: FLAG,
    description: 'lines for people instead of JSON; not set: in a terminal',
  },
  bootstrapAdminEmail: {
    name: 'BOOTSTRAP_ADMIN_EMAIL',
    rule: text({ must: 'must be an e-mail address', holds: isEmailAddress }),
    default: 'admin@example.com',
    description: 'the administrator that is created on a database without users',
  },
  bootstrapAdminKey: {
    name: 'BOOTSTRAP_ADMIN_KEY',
    rule: text({
      must: 'must be an API key with a valid checksum; `users-api keys generate` makes one',
      holds: isApiKeyOfAnyPrefix,
    }),
    description: 'its key, for unattended installs; not set: a new one, printed once',
  },
  bootstrapAdminKeyDays: {
    name: 'BOOTSTRAP_ADMIN_KEY_DAYS',
    rule: integer(1, MAX_KEY_DAYS),
    default: DEFAULT_KEY_DAYS,
    description: `days until that key expires, 1 to ${String(MAX_KEY_DAYS)}`,
  },
} as const satisfies Record<string, Variable>;

type Variables = typeof VARIABLES;

type ValueOf<V extends Variable> =
  V['rule'] extends Rule<infer T> ? (V extends { default: T } ? T : T | undefined) : never;

/** The value of each variable, or its default. */
export type VariableValues = { readonly [Key in keyof Variables]: ValueOf<Variables[Key]> };

/** The values of those variables that `UsersApiModule` takes as options. */
export type OptionValues = {
  readonly [Key in keyof Variables as Variables[Key] extends { isOption: true } ? Key : never]: ValueOf<Variables[Key]>;
};

export const VARIABLE_NAMES: readonly string[] = Object.values<Variable>(VARIABLES).map(({ name }) => name);

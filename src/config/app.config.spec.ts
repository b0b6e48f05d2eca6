import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import fc from 'fast-check';
import { generateApiKey } from '../common/api-key-format.js';
import { apiKeyFormatFrom, AppConfig, InvalidEnvironmentError, readDotEnv } from './app.config.js';
import { type Variable, VARIABLE_NAMES, VARIABLES } from './variables.js';

const problemsOf = (env: NodeJS.ProcessEnv): readonly string[] => {
  try {
    new AppConfig(env);
    return [];
  } catch (error) {
    if (error instanceof InvalidEnvironmentError) return error.problems;
    throw error;
  }
};

describe('AppConfig', () => {
  it('has a default for everything', () => {
    expect({ ...new AppConfig({}, false) }).toEqual({
      port: 3000,
      host: '127.0.0.1',
      databaseUrl: undefined,
      dataDir: undefined,
      databasePoolSize: 10,
      transactionPooler: false,
      migrationsRun: true,
      newUserCredits: 0,
      rateLimitPerMinute: 6000,
      redisUrl: undefined,
      apiKeyPrefixes: ['ua_'],
      trustProxy: undefined,
      publicUrl: undefined,
      consolePage: true,
      shutdownDrainMs: 0,
      metricsPort: undefined,
      otlpProtocol: 'http/protobuf',
      tracesExporter: 'otlp',
      otelDisabled: 'false',
      logLevel: 'info',
      logPretty: false,
      bootstrapAdminEmail: 'admin@example.com',
      bootstrapAdminKey: undefined,
      bootstrapAdminKeyDays: 365,
    });
  });

  it.each([
    { PORT: '0' },
    { PORT: '65535' },
    { DATABASE_POOL_SIZE: '1' },
    { DATABASE_POOL_SIZE: '1000' },
    { NEW_USER_CREDITS: '0' },
    { NEW_USER_CREDITS: '999999999' },
    { BOOTSTRAP_ADMIN_KEY_DAYS: '1' },
    { BOOTSTRAP_ADMIN_KEY_DAYS: '3650' },
  ])('accepts the shortest and the longest values: %j', (env) => {
    expect(problemsOf(env)).toEqual([]);
  });

  it.each([
    ['PORT', 'x', 'PORT must be an integer from 0 to 65535'],
    ['MIGRATIONS_RUN', 'yes', 'MIGRATIONS_RUN must be true or false'],
    ['LOG_LEVEL', 'loud', 'LOG_LEVEL must be one of trace, debug, info, warn, error, fatal, silent'],
    ['DATABASE_URL', 'mysql://db/x', 'DATABASE_URL must be a URL that begins with postgres:// or postgresql://'],
    [
      'DATABASE_URL',
      'postgres://db#/x',
      'DATABASE_URL must be a well-formed URL: in a user, a password or a parameter, # / ? @ and % are to be percent-encoded, or the password left to PGPASSWORD',
    ],
  ])('reports for %s=%s: %s', (name, value, problem) => {
    expect(problemsOf({ [name]: value })).toEqual([problem]);
  });

  it('logs readable lines in a terminal by default', () => {
    expect(new AppConfig({}, true).logPretty).toBe(true);
    expect(new AppConfig({ LOG_PRETTY: 'false' }, true).logPretty).toBe(false);
    expect(new AppConfig({ LOG_PRETTY: 'true' }, false).logPretty).toBe(true);
  });

  it('treats an empty value as one that is not set', () => {
    expect(new AppConfig({ PORT: '', DATABASE_URL: '', BOOTSTRAP_ADMIN_KEY: '' }).port).toBe(3000);
  });

  it.each([
    ['PORT', 'http'],
    ['PORT', '65536'],
    ['PORT', '-1'],
    ['PORT', '3000.5'],
    ['PORT', ' 3000'],
    ['PORT', '0x10'],
    ['DATABASE_URL', 'mysql://localhost/x'],
    ['DATABASE_URL', 'localhost:5432'],
    ['DATABASE_URL', 'postgres://ada:pa#ss@localhost/x'],
    ['DATABASE_URL', 'postgres://ada:pa%zz@localhost/x'],
    ['DATABASE_URL', 'postgres://ada:12#ss@localhost/x'],
    ['DATABASE_URL', 'postgres://ada:12/ss@localhost/x'],
    ['DATABASE_URL', 'postgres://ada:p@12?ss@localhost/x'],
    ['REDIS_URL', 'http://localhost'],
    ['REDIS_URL', 'redis://ada:12#ss@localhost/0'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'http://ada:12/ss@localhost:4318'],
    ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'http://ada:pa#ss@localhost:4318/v1/traces'],
    ['TRUST_PROXY', '10.0.0.0/33'],
    ['PUBLIC_URL', '/accounts'],
    ['PUBLIC_URL', 'ftp://api.example.com'],
    ['PUBLIC_URL', 'https://ada@api.example.com'],
    ['PUBLIC_URL', 'https://api.example.com/a?b'],
    ['PUBLIC_URL', 'https://api.example.com//a'],
    ['PUBLIC_URL', 'https://api.example.com:port'],
    ['METRICS_PORT', ''.padEnd(10, '1')],
    ['DATABASE_POOL_SIZE', '0'],
    ['MIGRATIONS_RUN', 'yes'],
    ['NEW_USER_CREDITS', '-1'],
    ['LOG_LEVEL', 'loud'],
    ['LOG_PRETTY', '1'],
    ['BOOTSTRAP_ADMIN_EMAIL', 'nobody'],
    ['BOOTSTRAP_ADMIN_EMAIL', 'adä@example.com'],
    ['API_KEY_PREFIX', 'acme'],
    ['API_KEY_PREFIX', 'acme_,'],
    ['API_KEY_PREFIX', ','],
    ['API_KEY_PREFIX', 'acme_, ua_'],
    ['API_KEY_PREFIX', 'acme_,ua_,acme_'],
    ['BOOTSTRAP_ADMIN_KEY', generateApiKey().slice(0, -1)],
    ['BOOTSTRAP_ADMIN_KEY', generateApiKey('acme_')],
    ['BOOTSTRAP_ADMIN_KEY_DAYS', '0'],
    ['BOOTSTRAP_ADMIN_KEY_DAYS', '3651'],
    ['BOOTSTRAP_ADMIN_KEY_DAYS', '1.5'],
  ])('refuses %s=%s in one line that does not repeat the value', (name, value) => {
    const problems = problemsOf({ [name]: value });

    expect(problems).toEqual([expect.stringMatching(new RegExp(`^${name} must `))]);
    expect(problems[0]).not.toContain(` ${value} `);
  });

  // Otherwise a part of the password would be read as the host, the port or the database, which
  // messages contain.
  it('accepts a URL only if its password ends where the host begins, whatever its characters', () => {
    const password = fc.string({ unit: fc.constantFrom(...'#/?@%:[]\\\\ab1'), maxLength: 8 });
    fc.assert(
      fc.property(password, fc.constantFrom('DATABASE_URL', 'REDIS_URL'), (given, name) => {
        const scheme = name === 'DATABASE_URL' ? 'postgres' : 'redis';
        const value = `${scheme}://app:${given}@db.example.com/0`;
        if (problemsOf({ [name]: value }).length > 0) return;
        const { username, host, pathname, search, hash } = new URL(value);
        expect({ username, host, pathname, search, hash }).toEqual({
          username: 'app',
          host: 'db.example.com',
          pathname: '/0',
          search: '',
          hash: '',
        });
      }),
      { numRuns: 2_000 },
    );
  });

  it('accepts any password that is encoded', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (password) => {
        const encoded = encodeURIComponent(password);
        expect(problemsOf({ DATABASE_URL: `postgres://app:${encoded}@db.example.com/x` })).toEqual([]);
        expect(problemsOf({ REDIS_URL: `redis://:${encoded}@cache.example.com/0` })).toEqual([]);
      }),
    );
  });

  it('refuses a single connection if the ledger is checked while requests are served', () => {
    expect(problemsOf({ METRICS_PORT: '9464', DATABASE_POOL_SIZE: '1' })).toEqual([
      expect.stringMatching(/^DATABASE_POOL_SIZE must be 2 or more where METRICS_PORT is set/),
    ]);
    expect(problemsOf({ METRICS_PORT: '9464', DATABASE_POOL_SIZE: '2' })).toEqual([]);
  });

  it('accepts a first key with any of the prefixes of keys, and with no other', () => {
    const withPrefix = (prefix: string, API_KEY_PREFIX: string): readonly string[] =>
      problemsOf({ API_KEY_PREFIX, BOOTSTRAP_ADMIN_KEY: generateApiKey(prefix) });

    expect([withPrefix('acme_', 'acme_,ua_'), withPrefix('ua_', 'acme_,ua_')]).toEqual([[], []]);
    expect(withPrefix('acme_live_', 'acme_,ua_')).toEqual([
      'BOOTSTRAP_ADMIN_KEY must have one of the prefixes of API_KEY_PREFIX',
    ]);
  });

  it('reads the prefixes of keys in the given order, whatever else is not valid', () => {
    const env = { API_KEY_PREFIX: 'acme_,acme_live_,ua_', PORT: 'x' };

    expect(apiKeyFormatFrom(env)).toMatchObject({ firstPrefix: 'acme_' });
    expect(apiKeyFormatFrom(env).accepts(generateApiKey('acme_live_'))).toBe(true);
    expect(() => apiKeyFormatFrom({ API_KEY_PREFIX: 'acme' })).toThrow(
      new InvalidEnvironmentError([`API_KEY_PREFIX ${VARIABLES.apiKeyPrefixes.rule.problemOf(['acme']) ?? ''}`]),
    );
  });

  it('refuses variables that change DATABASE_URL in libpq but not in `pg`, and none without a URL', () => {
    expect(problemsOf({ DATABASE_URL: 'postgres:///app', PGSERVICE: 'x' })).toEqual([
      expect.stringMatching(/^PGSERVICE must not be set/),
    ]);
    expect(problemsOf({ PGSERVICE: 'x' })).toEqual([]);
  });

  it('does not check the prefix of the first key if the prefixes are not valid', () => {
    const env = { API_KEY_PREFIX: 'acme', BOOTSTRAP_ADMIN_KEY: generateApiKey('acme_') };

    expect(problemsOf(env)).toEqual([expect.stringMatching(/^API_KEY_PREFIX must list/)]);
  });

  it('has a separate line for each problem', () => {
    expect(() => new AppConfig({ PORT: 'a', MIGRATIONS_RUN: 'c' })).toThrow(
      new InvalidEnvironmentError(['PORT must be an integer from 0 to 65535', 'MIGRATIONS_RUN must be true or false']),
    );
    expect(new InvalidEnvironmentError(['A', 'B']).message).toBe('The environment is not valid:\n  A\n  B');
  });

  it('names every problem at once', () => {
    expect(problemsOf({ PORT: 'a', LOG_LEVEL: 'b', MIGRATIONS_RUN: 'c' })).toHaveLength(3);
  });

  it('reads exactly the variables that .env.example documents, with the defaults that it gives', () => {
    const documented = parseEnv(readFileSync('.env.example', 'utf8'));

    expect(Object.keys(documented).sort()).toEqual([...VARIABLE_NAMES].sort());
    expect(new AppConfig(documented, false)).toEqual(new AppConfig({}, false));
  });

  it('has its variables, defaults and descriptions in the table of the README', () => {
    const rows = readFileSync('README.md', 'utf8').matchAll(/^\| `([A-Z_]+)` *\| *(?:`([^`]*)`)? *\| (.*?) *\|$/gm);

    expect([...rows].map(([, name, value = '', description]) => [name, value, description])).toEqual(
      Object.values<Variable>(VARIABLES).map(({ name, default: value, description }) => [
        name,
        String(value ?? ''),
        description,
      ]),
    );
  });

  it('has defaults that keep their own rules', () => {
    const defaults = Object.values<Variable>(VARIABLES).filter((variable) => variable.default !== undefined);

    expect(defaults.map((variable) => variable.rule.problemOf(variable.default))).toEqual(
      defaults.map(() => undefined),
    );
  });
});

describe('The protocol for traces', () => {
  const BASE = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' };

  it.each<[string | undefined, NodeJS.ProcessEnv]>([
    ['http/protobuf', BASE],
    ['http/protobuf', { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://127.0.0.1:4318/v1/traces' }],
    ['http/json', { ...BASE, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' }],
    ['http/json', { ...BASE, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc', OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/json' }],
    ['http/protobuf', { ...BASE, OTEL_TRACES_EXPORTER: 'console,otlp' }],
    ['http/protobuf', { ...BASE, OTEL_SDK_DISABLED: 'no' }],
    [undefined, {}],
    [undefined, { ...BASE, OTEL_TRACES_EXPORTER: 'none' }],
    [undefined, { ...BASE, OTEL_TRACES_EXPORTER: 'console' }],
    [undefined, { ...BASE, OTEL_SDK_DISABLED: 'true' }],
    [undefined, { ...BASE, OTEL_SDK_DISABLED: 'TRUE' }],
  ])('is %p with %j', (protocol, env) => {
    expect(new AppConfig(env).tracesProtocol).toBe(protocol);
  });
});

describe('readDotEnv', () => {
  const SECRETS = ['PGPASSWORD', 'DATABASE_URL', 'REDIS_URL', 'OTEL_EXPORTER_OTLP_HEADERS'];
  const before = process.cwd();
  const given = process.env;
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'users-api-env-'));
    process.chdir(directory);
    process.env = {};
  });
  afterEach(() => {
    process.chdir(before);
    rmSync(directory, { recursive: true });
    process.env = given;
  });

  /** The problems that are reported for a file with this content. */
  const problemsWith = (text: string | Uint8Array): readonly string[] => {
    writeFileSync('.env', text);
    try {
      readDotEnv();
      return [];
    } catch (error) {
      return (error as InvalidEnvironmentError).problems;
    }
  };

  it('needs no file', () => {
    expect(readDotEnv).not.toThrow();
  });

  it('sets only variables that the environment does not have', () => {
    process.env.HOST = 'of the environment';

    expect(problemsWith('HOST=of-the-file\nPORT=1234\n')).toEqual([]);
    expect([process.env.HOST, process.env.PORT]).toEqual(['of the environment', '1234']);
  });

  it.each(['utf8', 'utf16le'] as const)('reads %s with a byte order mark', (encoding) => {
    expect(problemsWith(Buffer.from('\ufeffPORT=1234\r\nHOST=hé', encoding))).toEqual([]);
    expect([process.env.PORT, process.env.HOST]).toEqual(['1234', 'hé']);
  });

  it.each([
    ['PORT=\xe9', 'The encoded data was not valid'],
    ['\xff\x41', 'The encoded data was not valid'],
    ['\x41\xfe', 'The encoded data was not valid'],
  ])('refuses bytes that are not text: %j', (bytes, reason) => {
    expect(problemsWith(Buffer.from(bytes, 'latin1'))).toEqual([
      expect.stringMatching(new RegExp(`^\\.env cannot be read: ${reason}`)),
    ]);
  });

  it('refuses a directory in place of the file', () => {
    mkdirSync('.env');
    expect(readDotEnv).toThrow(new InvalidEnvironmentError(['.env cannot be read: it is a directory']));
    rmSync('.env', { recursive: true });
    symlinkSync('.env', '.env');
    expect(readDotEnv).toThrow(/\.env cannot be read: ELOOP: /);
  });

  it.each([
    'PGPASSWORD=pa#ss',
    'PGPASSWORD=p#',
    'PGPASSWORD=#ss',
    'PGPASSWORD=p a#ss',
    ' \tPGPASSWORD \t= \tpa#ss',
    'export PGPASSWORD=pa#ss',
    ' export \tPGPASSWORD=pa#ss',
    'PORT=1234\nPGPASSWORD=pa#ss # a comment\nHOST=x',
    '# PGPASSWORD=1#2\nPGPASSWORD=pa#ss',
  ])('refuses a secret that is truncated at its #: %j', (text) => {
    expect(problemsWith(text)).toEqual([
      '.env cuts PGPASSWORD at its #, which begins a comment there: put the value in quotes',
    ]);
    expect(process.env.PORT).toBeUndefined();
  });

  it('names each variable that may have a secret in it', () => {
    expect(problemsWith(SECRETS.map((name) => `${name}=a#b`).join('\n'))).toEqual(
      SECRETS.map((name) => `.env cuts ${name} at its #, which begins a comment there: put the value in quotes`),
    );
  });

  it.each([
    'PGPASSWORD="pa#ss"',
    "PGPASSWORD='pa#ss'",
    'PGPASSWORD=`pa#ss`',
    'PGPASSWORD=pass # a comment',
    'PGPASSWORD=pass\t# a comment',
    'PGPASSWORD= # a comment',
    'PGPASSWORD=pass\n# a comment',
    'PGPASSWORD=\nHOST=a#b',
    'HOST=a#b',
    'MY_OTEL_PASSWORD=a#b',
    '#PGPASSWORD=pa#ss',
  ])('accepts a # that truncates no secret: %j', (text) => {
    expect(problemsWith(text)).toEqual([]);
  });
});

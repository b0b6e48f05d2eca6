import fc from 'fast-check';
import { AppConfig, InvalidEnvironmentError } from './app.config.js';
import { destinationProblem, NO_DETOUR, ONE_SERVER, variableProblems } from './one-server.js';

const problemsOf = (env: NodeJS.ProcessEnv): readonly string[] => {
  try {
    new AppConfig(env);
    return [];
  } catch (error) {
    if (error instanceof InvalidEnvironmentError) return error.problems;
    throw error;
  }
};

const REMEDY =
  /: give one address that follows the primary: that of HAProxy, a Kubernetes Service or a virtual address$/;

describe('DATABASE_URL with features of libpq that `pg` does not support', () => {
  it.each([
    'postgres://app@a:5432,b:5432/app',
    'postgres://app@a,b/app',
    'postgres://a,b',
    'postgres://app:pa%2Fss@a,b:5433/app',
    'postgres://app:pa@ss@a,b:5433/app',
    'postgres://app@a%2Cb/app',
    'postgres://app@[::1]:5432,[::2]:5432/app',
    'postgres://app@a:5432,b:5432/app?target_session_attrs=read-write',
    'postgres:///app?host=a,b&port=1,2',
    'postgres:///app?host=%2Frun%2Fa%2C%2Frun%2Fb',
    'postgres://app@a/app?port=5432,5433',
    'postgres://app@a/app?target_session_attrs=read-write',
    'postgres://app@a/app?target_session_attrs=any&target_session_attrs=primary',
    'postgres://app@a/app?sslmode=require&load_balance_hosts=random',
  ])('is refused in one sentence with the remedy: %s', (url) => {
    expect(problemsOf({ DATABASE_URL: url })).toEqual([`DATABASE_URL ${ONE_SERVER}`]);
    expect(ONE_SERVER).toMatch(REMEDY);
  });

  it.each(['hostaddr=127.0.0.1', 'service=accounts', 'servicefile=/etc/pg', 'dbname=accounts'])(
    'is refused, since `pg` would connect to another server or database: ?%s',
    (parameter) => {
      expect(problemsOf({ DATABASE_URL: `postgres://app@a/app?${parameter}` })).toEqual([`DATABASE_URL ${NO_DETOUR}`]);
      expect(NO_DETOUR).toMatch(/^must name the server .* ignores hostaddr, service, servicefile and dbname$/);
    },
  );

  it.each([
    'postgres://app@a/app?target_session_attrs=any&load_balance_hosts=disable',
    'postgres://app:pa,ss@a/app',
    'postgres://app:pa@s,s@a/app',
    'postgres://app@a/app?application_name=a,b&options=-c%20search_path%3Da,b',
    'postgres://app@[::1]:5432/app',
    'postgres:///app?host=/run/postgresql',
  ])('is accepted if it names one server: %s', (url) => {
    expect(problemsOf({ DATABASE_URL: url })).toEqual([]);
  });

  // Otherwise a message about hosts would hide that a part of the password is taken for the host.
  it.each(['postgres://app:1,2/3@a/app', 'postgres://app:1,2#3@a/app'])(
    'is refused because its password is not encoded: %s',
    (url) => {
      expect(problemsOf({ DATABASE_URL: url })).toEqual([
        expect.stringMatching(/^DATABASE_URL must be a well-formed URL: /),
      ]);
    },
  );

  it('is refused for every list of two hosts or more', () => {
    const host = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}(:[1-9][0-9]{0,3})?$/);
    fc.assert(
      fc.property(
        fc.array(host, { minLength: 1, maxLength: 4 }),
        fc.constantFrom('', 'app@', 'app:a,b@'),
        (hosts, user) => {
          const problems = problemsOf({ DATABASE_URL: `postgres://${user}${hosts.join(',')}/app` });
          expect(problems).toEqual(hosts.length > 1 ? [`DATABASE_URL ${ONE_SERVER}`] : []);
        },
      ),
    );
  });
});

describe("libpq's variables", () => {
  it.each([
    ['PGHOST', 'a,b', 'postgres:///app'],
    ['PGPORT', '5432,5433', 'postgres://app@a/app'],
    ['PGPORT', '5432,5433', 'postgres:///app?host=a'],
    ['PGTARGETSESSIONATTRS', 'read-write', 'postgres://app@a/app'],
    ['PGLOADBALANCEHOSTS', 'random', 'postgres://app@a/app'],
  ])('%s=%s is refused beside %s, with the remedy', (name, value, url) => {
    const problems = problemsOf({ DATABASE_URL: url, [name]: value });

    expect(problems).toEqual([expect.stringMatching(new RegExp(`^${name} must `))]);
    expect(problems[0]).toMatch(REMEDY);
  });

  it.each(['PGHOSTADDR', 'PGSERVICE'])('%s is refused, since `pg` ignores it', (name) => {
    expect(problemsOf({ DATABASE_URL: 'postgres://app@a/app', [name]: 'x' })).toEqual([
      `${name} must not be set, since the driver ignores it: name the server in DATABASE_URL`,
    ]);
  });

  it.each([
    { DATABASE_URL: 'postgres://app@a:5432/app', PGHOST: 'a,b', PGPORT: '1,2' },
    { DATABASE_URL: 'postgres:///app?host=a&port=1', PGHOST: 'a,b', PGPORT: '1,2' },
    { DATABASE_URL: 'postgres:///app', PGHOST: 'a', PGPORT: '5433', PGTARGETSESSIONATTRS: 'any', PGSERVICE: '' },
    { DATABASE_URL: 'postgres:///app', PGLOADBALANCEHOSTS: 'disable' },
    { PGHOST: 'a,b', PGTARGETSESSIONATTRS: 'primary', PGHOSTADDR: '192.0.2.1', PGSERVICE: 'x' },
  ])('are accepted if they have no effect in libpq either, and with the embedded server: %j', (env) => {
    expect(problemsOf(env)).toEqual([]);
  });
});

describe('variableProblems', () => {
  it.each([
    ['postgres:///app', ['PGHOST', 'PGPORT']],
    ['postgres://:5432/app', ['PGHOST']],
    ['postgres://:/app', ['PGHOST', 'PGPORT']],
    ['postgres://a/app', ['PGPORT']],
    ['postgres://[::1]/app', ['PGPORT']], // which ends in no port
    ['postgres://[::1]:5432/app', []],
    ['/run/postgresql', ['PGHOST', 'PGPORT']], // names nothing that a variable of libpq would be overridden by
  ])('of %s names the lists that it does not override: %j', (url, names) => {
    expect(variableProblems(url, { PGHOST: 'a,b', PGPORT: '1,2' }).map((problem) => problem.split(' ')[0])).toEqual(
      names,
    );
  });
});

describe('destinationProblem', () => {
  it.each([
    [{ url: 'postgres://a,b/app' }, ONE_SERVER],
    [{ host: 'a,b' }, ONE_SERVER],
    [{ host: 'a', port: '1,2' }, ONE_SERVER],
    [{ host: 'a', target_session_attrs: 'primary' }, ONE_SERVER],
    [{ host: 'a', hostaddr: '127.0.0.1' }, NO_DETOUR],
    [{ url: 'postgres://a/app?service=x' }, NO_DETOUR],
    [{ host: 'a', port: 5432 }, undefined],
    [{}, undefined],
  ])('of %j is %s', (options, problem) => {
    expect(destinationProblem(options)).toBe(problem);
  });
});

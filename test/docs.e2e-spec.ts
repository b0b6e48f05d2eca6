import { existsSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

const pages = [
  'README.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'clients/typescript/README.md',
  ...readdirSync('docs').map((name) => `docs/${name}`),
].filter((name) => name.endsWith('.md'));

/** As the source has it, whichever quotes it needs. */
const spelled = (name: string): string[] => [`'${name}'`, `"${name}"`, `'${name.replaceAll("'", String.raw`\'`)}'`];

const linksOf = async (page: string): Promise<string[]> =>
  [...(await readFile(page, 'utf8')).matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)].map(([, link = '']) => link);
const commandsOf = async (page: string): Promise<string[]> =>
  [...(await readFile(page, 'utf8')).matchAll(/npm run (?:--silent )?([\w:]+)/g)].map(([, name = '']) => name);

describe('The documentation', () => {
  // Otherwise the tests of what they find could not fail.
  it('has links and commands, which the patterns of these tests find', async () => {
    expect(await linksOf('README.md')).toContain('.env.example');
    expect(await commandsOf('README.md')).toContain('cli');
  });

  it.each(pages)('%s links to nothing that is not there', async (page) => {
    const links = await linksOf(page);

    expect(links.filter((link) => !existsSync(join(dirname(page), link)))).toEqual([]);
  });

  it('names, for each of the ten risks, tests that exist', async () => {
    const text = await readFile('docs/security.md', 'utf8');
    const risks = text.split(/^### /m).slice(1);
    const missing: string[] = [];
    for (const risk of risks) {
      const named = [...risk.matchAll(/^- `(.+?)`: "(.+)"$/gm)];
      if (named.length === 0) missing.push(`none for ${risk.split('\n')[0] ?? ''}`);
      for (const [, file = '', name = ''] of named) {
        const source = await readFile(file, 'utf8').catch(() => '');
        if (!spelled(name).some((text) => source.includes(text))) missing.push(`${file}: ${name}`);
      }
    }

    expect(risks.map((risk) => /^API\d+/.exec(risk)?.[0])).toEqual(
      Array.from({ length: 10 }, (_, index) => `API${String(index + 1)}`),
    );
    expect(missing).toEqual([]);
  });

  it.each(pages)('%s names only commands that package.json has', async (page) => {
    const { scripts } = JSON.parse(await readFile('package.json', 'utf8')) as { scripts: Record<string, string> };
    const named = await commandsOf(page);

    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });
});

import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import ts from 'typescript';
import { useTestApp } from './support/app.js';
import { installClient } from './support/client.js';
import { temporaryDirectory } from './support/processes.js';

const run = promisify(execFile);

/** The programs that run an example, given its text. */
const RUN = {
  sh: (text: string) => ['sh', '-c', text],
  ts: (text: string) => [process.execPath, '--input-type=module', '-e', javaScript(text)],
  python: (text: string) => ['python3', '-c', text],
} satisfies Record<string, (text: string) => string[]>;

const javaScript = (text: string): string =>
  ts.transpileModule(text, { compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext } })
    .outputText;

describe('The examples under "Call it" in the README', () => {
  const app = useTestApp();

  let directory: string;

  beforeAll(async () => {
    ({ path: directory } = await temporaryDirectory());
    await installClient(directory);
  }, 120_000);

  it.each(['sh', 'ts', 'python'] as const)('rename the caller when run as they stand: %s', async (language) => {
    const ada = await app.given.user({ name: 'Ada' });
    const section = (await readFile('README.md', 'utf8')).split('\n## ').find((text) => text.startsWith('Call it\n'));
    const [, text = ''] = new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 's').exec(section ?? '') ?? [];
    const [program = '', ...words] = RUN[language](text);

    const { stdout } = await run(program, words, {
      cwd: directory,
      env: {
        PATH: process.env.PATH,
        USERS_API_URL: `http://127.0.0.1:${String(app.port)}`,
        USERS_API_KEY: ada.key,
      },
    });

    expect(JSON.parse(stdout)).toMatchObject({ id: ada.id, name: 'Ada Lovelace' });
    expect(await app.stored(ada)).toMatchObject({ name: 'Ada Lovelace' });
  });
});

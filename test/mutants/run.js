import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { clearTimeout, setTimeout } from 'node:timers';
import { pathToFileURL } from 'node:url';
import openRunDirectory from '../support/run-directory.js';
import { MUTANTS } from './mutants.js';

/*
 * `npm run test:mutants`: puts each fault of `mutants.js` into a copy of the project, one at a
 * time, and runs the tests that must find it. It exits with 1 if a fault is not found: a test is
 * missing then.
 *
 *   --check         only compare the list with the files
 *   --only <texts>  only the faults with one of these texts, which commas separate, in the path of
 *                   their file or of their tests
 *
 * The copy is in a temporary directory. `clean-up.js` removes it, and ends the PostgreSQL server of
 * the run, however the run ends.
 */

/** Of a test or a hook (ms): a fault that stops a request for ever is found by it. */
const TEST_TIMEOUT_MS = 60_000;
/** Of a run of Jest (ms). */
const RUN_TIMEOUT_MS = 300_000;

const { argv, env, execPath } = process;
const say = (line) => void process.stdout.write(`${line}\n`);
const wanted = (argv.includes('--only') ? argv[argv.indexOf('--only') + 1] : '').split(',');
const mutants = MUTANTS.filter(({ file, killedBy }) =>
  wanted.some((text) => file.includes(text) || killedBy.includes(text)),
);

/** Why an entry does not fit the files; undefined if it does. */
function problemOf({ file, from, to, killedBy, title = '' }) {
  const missing = [file, killedBy].find((path) => !existsSync(path));
  if (missing) return `${missing} does not exist`;
  const count = readFileSync(file, 'utf8').split(from).length - 1;
  if (count !== 1) return `"from" must stand in ${file} once, and does ${String(count)} times`;
  if (from === to) return '"from" and "to" must differ';
  // A placeholder of `it.each` is not in the title of a test that runs.
  const isTitle = !/%[a-z]/.test(title) && readFileSync(killedBy, 'utf8').includes(title);
  return isTitle ? undefined : `${killedBy} has no such title`;
}

const describe = ({ file, from, to }) => `${file}: ${oneLine(from)} → ${oneLine(to) || '(nothing)'}`;
const oneLine = (text) => text.replaceAll(/\s+/g, ' ').trim();

const problems = mutants.flatMap((mutant) => {
  const problem = problemOf(mutant);
  return problem ? [`${describe(mutant)}\n  ${problem}`] : [];
});
if (problems.length > 0) {
  say(`The list of faults does not fit the files:\n\n${problems.join('\n')}`);
  process.exit(1);
}
if (argv.includes('--check')) {
  say(`${String(mutants.length)} faults can be made`);
  process.exit(0);
}

openRunDirectory();
const directory = env.TEST_RUN_DIRECTORY;
const project = join(directory, 'project');
const built = join(directory, 'built');
const environment = {
  ...env,
  PATH: [resolve('node_modules/.bin'), env.PATH].join(delimiter),
  NODE_OPTIONS: '--experimental-vm-modules --disable-warning=ExperimentalWarning',
};

/** The tracked files and new ones, with the packages of this directory. */
function copyProject() {
  const { stdout } = spawnSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  const files = stdout.split('\0').filter((file) => file !== '' && existsSync(file));
  for (const file of files) cpSync(file, join(project, file), { recursive: true });
  symlinkSync(resolve('node_modules'), join(project, 'node_modules'));
}

/** @returns what it printed, if it failed */
async function build() {
  const { code, output } = await run([join(project, 'build.js')], environment);
  return code === 0 ? undefined : output;
}

function useBuilt() {
  rmSync(join(project, 'dist'), { recursive: true, force: true });
  cpSync(built, join(project, 'dist'), { recursive: true });
}

/** Runs a program of Node in the copy, in a process group that `clean-up.js` ends. */
async function run(words, variables) {
  const child = spawn(execPath, words, { cwd: project, env: variables, detached: true });
  const record = join(directory, 'processes', String(child.pid));
  writeFileSync(record, '');
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)));
  const timer = setTimeout(() => process.kill(-child.pid, 'SIGKILL'), RUN_TIMEOUT_MS);
  const [code] = await once(child, 'close');
  clearTimeout(timer);
  rmSync(record);
  return { code, output };
}

/**
 * @param titles none for all tests of the file
 * @returns the tests that passed and failed; without any if the file could not be run
 */
async function runTests(file, titles, databaseUrl) {
  const report = join(directory, 'report.json');
  rmSync(report, { force: true });
  const pattern = titles.map((title) => title.replaceAll(/[\\^$.*+?()[\]{}|/]/g, '\\$&')).join('|');
  const words = [
    join(project, 'node_modules/jest/bin/jest.js'),
    ...['--rootDir', '.', '--selectProjects', file.startsWith('src/') ? 'unit' : 'e2e', '--runTestsByPath', file],
    ...['--runInBand', '--json', '--outputFile', report, '--testTimeout', String(TEST_TIMEOUT_MS)],
    ...['--cacheDirectory', join(directory, 'cache'), ...(pattern === '' ? [] : ['--testNamePattern', pattern])],
  ];
  const { output } = await run(words, { ...environment, TEST_DATABASE_URL: databaseUrl });
  if (!existsSync(report)) return { passed: 0, failed: 0, output };
  const { numPassedTests: passed, numFailedTests: failed } = JSON.parse(readFileSync(report, 'utf8'));
  return { passed, failed, output };
}

/** One server for all runs, unless TEST_DATABASE_URL names another. */
async function startServer() {
  if (env.TEST_DATABASE_URL) return env.TEST_DATABASE_URL;
  const dataDir = join(directory, 'postgres');
  mkdirSync(dataDir);
  const { openEmbeddedPostgres } = await import(
    pathToFileURL(join(project, 'dist/src/embedded-postgres/open-embedded-postgres.js')).href
  );
  const { url } = await openEmbeddedPostgres({ dataDir, owner: true, log: () => undefined });
  return url;
}

/** @returns 'killed', 'survived', or why neither can be said */
async function attempt(mutant, databaseUrl) {
  const { file, from, to, killedBy, title, built: isBuilt } = mutant;
  const path = join(project, file);
  const content = readFileSync(path, 'utf8');
  writeFileSync(
    path,
    content.replace(from, () => to),
  );
  try {
    const failure = isBuilt && (await build());
    if (failure) return `it does not compile\n${failure}`;
    const { passed, failed, output } = await runTests(killedBy, title ? [title] : [], databaseUrl);
    if (failed > 0) return 'killed';
    return passed > 0 ? 'survived' : `no test was run\n${output}`;
  } finally {
    writeFileSync(path, content);
    if (isBuilt) useBuilt();
  }
}

async function main() {
  const start = performance.now();
  const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`;
  copyProject();
  const failure = await build();
  if (failure) throw new Error(failure);
  cpSync(join(project, 'dist'), built, { recursive: true });
  const databaseUrl = await startServer();

  const bad = [];
  for (const file of new Set(mutants.map(({ killedBy }) => killedBy))) {
    const group = mutants.filter(({ killedBy }) => killedBy === file);
    const since = performance.now();
    const titles = group.every(({ title }) => title) ? group.map(({ title }) => title) : [];
    const { passed, failed, output } = await runTests(file, titles, databaseUrl);
    const isGood = passed > 0 && failed === 0;
    say(`\n${file} ${isGood ? 'passes' : 'DOES NOT PASS'} without a fault (${seconds(since)})`);
    if (!isGood) {
      bad.push(`${file} does not pass without a fault\n${output}`);
      continue;
    }
    for (const mutant of group) {
      const begin = performance.now();
      const [outcome, ...details] = (await attempt(mutant, databaseUrl)).split('\n');
      say(`  ${outcome === 'killed' ? outcome : outcome.toUpperCase()} ${describe(mutant)} (${seconds(begin)})`);
      if (outcome !== 'killed') bad.push([`${describe(mutant)}: ${outcome}, ${file}`, ...details].join('\n'));
    }
  }
  const minutes = Math.ceil((performance.now() - start) / 60_000);
  say(`\n${String(mutants.length)} faults in ${String(minutes)} min, ${String(bad.length)} not found`);
  for (const line of bad) say(`\n${line}`);
  process.exit(bad.length > 0 ? 1 : 0);
}

await main();

import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { say } from './output.js';

/** Characters; far more than any key has, so that a wrong file is not read to its end. */
const MAX_LENGTH = 1_000;

/**
 * Reads a secret from standard input, without the spaces and line breaks around it. At a terminal
 * it asks for one line and does not echo it. A secret never comes from the arguments, which other
 * processes can read.
 */
export async function readSecret(question: string): Promise<string> {
  return (await (process.stdin.isTTY ? ask(question) : readAll())).trim();
}

async function readAll(): Promise<string> {
  let text = '';
  for await (const chunk of process.stdin.setEncoding('utf8') as AsyncIterable<string>) {
    text += chunk;
    if (text.length > MAX_LENGTH) break;
  }
  return text;
}

async function ask(question: string): Promise<string> {
  const silence = new Writable({
    write: (_chunk, _encoding, done) => {
      done();
    },
  });
  const lines = createInterface({ input: process.stdin, output: silence, terminal: true });
  say(question); // only now: before the interface exists, the terminal echoes
  lines.once('SIGINT', () => process.kill(process.pid, 'SIGINT')); // in raw mode the terminal sends no signal
  try {
    const [line] = (await Promise.race([once(lines, 'line'), once(lines, 'close')])) as [string?];
    return line ?? '';
  } finally {
    lines.close();
  }
}

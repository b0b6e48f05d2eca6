/*
 * Loaded into the server before its program: on SIGUSR2 it collects garbage and appends what is
 * left to a file, since what a process holds between two collections says nothing about leaks.
 */
import { appendFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

// Not by an option of `node`: the server is started with the options that it has in the image.
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

process.on('SIGUSR2', () => {
  collect();
  const { heapUsed, external, rss } = process.memoryUsage();
  appendFileSync(process.env.HEAP_SAMPLES, `${JSON.stringify({ heapUsed, external, rss })}\n`);
});

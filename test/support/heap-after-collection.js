/*
 * Loaded into the server before its program: on SIGUSR2 it collects garbage and appends what is left to a file, since what a
 * process holds between two collections says nothing about leaks.
 */
import { appendFileSync } from 'node:fs';

process.on('SIGUSR2', () => {
  globalThis.gc(); // node --expose-gc
  const { heapUsed, external, rss } = process.memoryUsage();
  appendFileSync(process.env.HEAP_SAMPLES, `${JSON.stringify({ heapUsed, external, rss })}\n`);
});

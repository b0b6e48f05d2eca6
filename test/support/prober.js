// A thread that asks a URL every 20 ms, so that the times it takes are not those of the load's own
// event loop. Any message ends it; it answers with its samples, `at` in milliseconds since 1970.
import { parentPort, workerData } from 'node:worker_threads';
import { setTimeout as sleep } from 'node:timers/promises';

const samples = [];
let going = true;
parentPort.once('message', () => {
  going = false;
});
while (going) {
  const begun = performance.now();
  const response = await fetch(workerData);
  await response.arrayBuffer();
  samples.push({ at: performance.timeOrigin + begun, ms: performance.now() - begun, status: response.status });
  await sleep(20);
}
parentPort.postMessage(samples);

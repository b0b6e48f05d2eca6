import './database/javascript-client.js';
import { handleFailedOutput } from './startup/standard-streams.js';
import { onStopSignal } from './startup/stop-signal.js';

handleFailedOutput();
// Before the application is loaded: as process 1 of a container, a process without a handler
// ignores SIGTERM.
const stop = onStopSignal();

const { start } = await import('./startup/start.js');
await start(stop);

import './database/javascript-client.js';
import { handleFailedOutput } from './standard-streams.js';
import { onStopSignal } from './stop-signal.js';

handleFailedOutput();
// Before the application is loaded: as process 1 of a container, a process without a handler ignores SIGTERM.
const stop = onStopSignal();

const { start } = await import('./start.js');
await start(stop);

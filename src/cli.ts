#!/usr/bin/env node
import 'reflect-metadata'; // esbuild may evaluate decorated classes before the modules that import it
import './database/javascript-client.js';
import { handleFailedOutput } from './startup/standard-streams.js';
import { onStopSignal } from './startup/stop-signal.js';

/*
 * The process exits by itself once everything is closed and all output is written: `process.exit`
 * would discard output that a pipe has not accepted yet.
 */
handleFailedOutput();
const stop = onStopSignal(); // before anything else is loaded: see main.ts

const { CommanderError } = await import('commander');
const { commandLine } = await import('./cli/command-line.js');
const { InterruptedError, messageOf, say } = await import('./cli/output.js');
try {
  await commandLine(stop).parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode; // Commander has reported it; --help and --version end here too, with 0
  } else {
    process.exitCode = error instanceof InterruptedError ? error.status : 1;
    say(`users-api: ${messageOf(error)}`);
  }
}

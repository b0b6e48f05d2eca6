#!/usr/bin/env node
import './database/javascript-client.js';
import { CommanderError } from 'commander';
import { commandLine } from './cli/command-line.js';
import { InterruptedError, messageOf, say } from './cli/output.js';
import { handleFailedOutput } from './standard-streams.js';
import { onStopSignal } from './stop-signal.js';

/*
 * The process ends by itself, once everything is closed and stdout and stderr have taken the whole output: `process.exit` would discard what
 * a pipe has not taken yet.
 */
handleFailedOutput();
try {
  await commandLine(onStopSignal()).parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode; // Commander has reported it; --help and --version end here too, with 0
  } else {
    process.exitCode = error instanceof InterruptedError ? error.status : 1;
    say(`users-api: ${messageOf(error)}`);
  }
}

#!/usr/bin/env node
import './database/javascript-client.js';
import { CommanderError } from 'commander';
import { commandLine } from './cli/command-line.js';

try {
  await commandLine().parseAsync();
  process.exit(0);
} catch (error) {
  // Commander has already said what is wrong with the words of a call; --help and --version end here too, with 0.
  if (error instanceof CommanderError) process.exit(error.exitCode);
  console.error(`users-api: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}

import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readdirSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const FILLER = 0;

/**
 * A pipe without room for another byte, for a reader that does not read for now. Linux only, as is
 * `isWaitingToWrite`.
 */
export class FullPipe {
  private readonly path: string;
  private readonly reader: number;
  private filled = 0;
  /** For the stdio of a process. */
  readonly writer: number;

  constructor(directory: string) {
    this.path = join(directory, 'full-pipe');
    execFileSync('mkfifo', [this.path]);
    this.reader = openSync(this.path, constants.O_RDWR | constants.O_NONBLOCK);
    this.writer = openSync(this.path, constants.O_WRONLY);
    for (const size of [4096, 1]) while (this.hasRoomFor(size));
  }

  private hasRoomFor(size: number): boolean {
    try {
      this.filled += writeSync(this.reader, Buffer.alloc(size, FILLER));
      return true;
    } catch {
      return false;
    }
  }

  /** What is in the pipe now, without what filled it. */
  read(): string {
    const buffer = Buffer.alloc(65_536);
    let text = '';
    for (;;) {
      try {
        const length = readSync(this.reader, buffer);
        text += buffer.toString('utf8', Math.min(this.filled, length), length);
        this.filled -= Math.min(this.filled, length);
      } catch {
        return text;
      }
    }
  }

  close(): void {
    closeSync(this.reader);
    closeSync(this.writer);
    rmSync(this.path);
  }
}

/**
 * Whether a process waits for room in a pipe that it writes to: only then does the event loop of
 * Node ask the system for it.
 */
export function isWaitingToWrite(pid: number): boolean {
  const EPOLLOUT = 4;
  const directory = `/proc/${String(pid)}/fdinfo`;
  const waits = (name: string): boolean => {
    try {
      const asked = readFileSync(join(directory, name), 'utf8').matchAll(/^tfd: +[12] events: +([0-9a-f]+)/gm);
      return [...asked].some(([, events = '']) => (parseInt(events, 16) & EPOLLOUT) !== 0);
    } catch {
      return false; // closed meanwhile
    }
  };
  return readdirSync(directory).some(waits);
}

import { basename, resolve } from 'node:path';
import type { Command } from 'commander';
import { COMMAND_LINE } from '../audit-trail/actor.js';
import { AuditArchive, SLICE } from '../audit/audit-archive.js';
import type { AuditEvent } from '../audit/audit-event.entity.js';
import { isDate } from '../common/validation/date.js';
import type { StopSignal } from '../startup/stop-signal.js';
import { eventsOf, exists, verifyArchive, writeArchive } from './archive-file.js';
import { InterruptedError, print, printLine } from './output.js';
import { withProgress } from './progress.js';
import { counted } from './visible.js';
import { withApp } from './with-app.js';

interface Archived {
  readonly file: string;
  readonly events: number;
  /** The number of events that this run has removed from the database. */
  readonly removed: number;
  readonly sha256: string | null;
}

export function addArchiveCommand(audit: Command, stop: StopSignal): void {
  audit
    .command('archive')
    .description(
      'Write old audit events to a file and then remove them from the database, as the owner of the tables. Safe to repeat: after an interruption, the same command removes the rest',
    )
    .requiredOption('--before <date>', 'events before this day, in UTC, such as 2026-01-31; today at the latest')
    .requiredOption('--to <file>', 'a new file of JSON lines; its checksum is written to <file>.sha256')
    .option('--json', 'print { "file", "events", "removed", "sha256" } instead of text')
    .action(async ({ before: day, to, json }: { before: string; to: string; json?: true }) => {
      if (!isDate(day)) throw new Error('--before must be a date, such as 2026-01-31');
      const before = new Date(`${day}T00:00:00.000Z`);
      if (before.getTime() > Date.now()) throw new Error('--before must be today or earlier');
      const file = resolve(to);
      const done = await withApp((app) =>
        stop.interrupting((interrupted) => {
          const archive = app.get(AuditArchive, { strict: false });
          return archive.exclusively(() => archiveEvents(archive, before, file, interrupted));
        }),
      );
      if (json) print(done);
      else if (done.sha256 === null) printLine(`No event is from before ${day}: nothing was written or removed.`);
      else
        printLine(
          `${file} has ${counted(done.events, 'event')}, of which ${String(done.removed)} were removed now and no other is left in the database.`,
        );
    });
}

async function archiveEvents(
  archive: AuditArchive,
  before: Date,
  file: string,
  interrupted: AbortSignal,
): Promise<Archived> {
  const isContinued = await exists(file);
  if (!isContinued) {
    const events = await withProgress('Writing', (onProgress) =>
      writeArchive(file, oldestFirst(archive, before, onProgress, interrupted)),
    );
    if (events === 0) return { file, events, removed: 0, sha256: null };
  }
  const written = await verifyArchive(file);
  const { count, last, sha256 } = written;
  if (last >= before) throw new Error(`${file} has events that are not from before that day: choose another file`);
  if (isContinued && !(await archive.isRecorded(sha256)) && (await archive.hasEvents(last, before)))
    throw new Error(
      `${file} ends at ${last.toISOString()}, and later events are from before that day: choose another file`,
    );
  const recorded = await archive.record({ ...written, file: basename(file), before }, COMMAND_LINE);
  if (recorded.before.getTime() !== before.getTime())
    throw new Error(
      `${file} is the archive of the events before ${recorded.before.toISOString().slice(0, 10)}: choose another file`,
    );
  const removed = await withProgress('Removing', (onProgress) =>
    removeEvents(archive, recorded.id, file, count, onProgress, interrupted),
  );
  return { file, events: count, removed, sha256 };
}

async function* oldestFirst(
  archive: AuditArchive,
  before: Date,
  onProgress: (share: number) => void,
  interrupted: AbortSignal,
): AsyncGenerator<readonly AuditEvent[]> {
  let first: number | undefined;
  let last: AuditEvent | undefined;
  do {
    const events = await archive.findOldest(before, last ?? null);
    last = events.length < SLICE ? undefined : events.at(-1);
    first ??= events[0]?.createdAt.getTime();
    yield events;
    if (first !== undefined && last) onProgress((last.createdAt.getTime() - first) / (before.getTime() - first));
    refuseInterruption(interrupted, 'Interrupted before anything was removed; the same command starts again');
  } while (last);
}

async function removeEvents(
  archive: AuditArchive,
  id: string,
  file: string,
  count: number,
  onProgress: (share: number) => void,
  interrupted: AbortSignal,
): Promise<number> {
  let removed = 0;
  let handled = 0;
  let ids: string[] = [];
  const removeSlice = async (): Promise<void> => {
    removed += await archive.remove(id, ids);
    handled += ids.length;
    ids = [];
    onProgress(handled / count);
  };
  for await (const event of eventsOf(file)) {
    ids.push(event.id);
    if (ids.length < SLICE) continue;
    await removeSlice();
    refuseInterruption(interrupted, 'Interrupted before all events were removed; the same command removes the rest');
  }
  if (ids.length > 0) await removeSlice();
  return removed;
}

/** @throws InterruptedError */
function refuseInterruption({ aborted, reason }: AbortSignal, message: string): void {
  if (aborted && typeof reason === 'number') throw new InterruptedError(message, reason);
}

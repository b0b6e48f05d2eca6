import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, type FileHandle, open, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { AuditEvent } from '../audit/audit-event.entity.js';
import { AuditEventResponse } from '../audit/dto/audit-event.response.js';

/** The contents of an archive, in the order of its events. */
export interface Archive {
  readonly count: number;
  readonly first: Date;
  readonly last: Date;
  readonly sha256: string;
}

const checksumFile = (file: string): string => `${file}.sha256`;

export const exists = (file: string): Promise<boolean> =>
  access(file).then(
    () => true,
    () => false,
  );

/**
 * Writes events to a new file, one JSON object per line, in the form of the API, and a checksum
 * file for `sha256sum --check`. Both are flushed to the disk before the file gets its final name,
 * so a file with that name is complete. Only the account that runs the command can read it.
 *
 * @returns the number of events; without any, no file is written
 */
export async function writeArchive(file: string, slices: AsyncIterable<readonly AuditEvent[]>): Promise<number> {
  const hash = createHash('sha256');
  let count = 0;
  await writeDurably(`${file}.part`, async (handle) => {
    for await (const events of slices) {
      const text = events.map((event) => `${JSON.stringify(AuditEventResponse.from(event))}\n`).join('');
      hash.update(text);
      await handle.writeFile(text);
      count += events.length;
    }
  });
  if (count === 0) {
    await rm(`${file}.part`);
    return 0;
  }
  const checksum = `${hash.digest('hex')}  ${basename(file)}\n`;
  await writeDurably(checksumFile(file), (handle) => handle.writeFile(checksum));
  await rename(`${file}.part`, file);
  await syncDirectory(file);
  return count;
}

async function writeDurably(file: string, write: (handle: FileHandle) => Promise<void>): Promise<void> {
  const handle = await open(file, 'w', 0o600);
  try {
    await write(handle);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function syncDirectory(file: string): Promise<void> {
  const handle = await open(dirname(file), 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Reads an archive from the disk and compares it with its checksum.
 *
 * @throws Error when there is no checksum, or it does not match the file
 */
export async function verifyArchive(file: string): Promise<Archive> {
  const expected = await readFile(checksumFile(file), 'utf8').catch((error: unknown) => {
    throw new Error(`${file} is not a complete archive: ${checksumFile(file)} cannot be read. Choose another file.`, {
      cause: error,
    });
  });
  const hash = createHash('sha256');
  for await (const bytes of createReadStream(file) as AsyncIterable<Buffer>) hash.update(bytes);
  const sha256 = hash.digest('hex');
  if (expected !== `${sha256}  ${basename(file)}\n`)
    throw new Error(`${file} is not what was archived: its checksum is not that of ${checksumFile(file)}.`);
  let count = 0;
  let [first, last] = [new Date(NaN), new Date(NaN)];
  for await (const event of eventsOf(file)) {
    last = new Date(event.created_at);
    if (count === 0) first = last;
    count += 1;
  }
  return { count, first, last, sha256 };
}

/** The events of an archive, in its order. */
export async function* eventsOf(file: string): AsyncGenerator<Pick<AuditEventResponse, 'id' | 'created_at'>> {
  // Not `readline`, which in newer versions also splits at U+2028 and U+2029: JSON.stringify does
  // not escape them.
  let rest = '';
  for await (const text of createReadStream(file, 'utf8') as AsyncIterable<string>) {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) yield JSON.parse(line) as AuditEventResponse;
  }
}

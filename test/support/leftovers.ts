import { setTimeout as sleep } from 'node:timers/promises';

type Dispose = () => Promise<unknown>;

/** Milliseconds for what should end at once. */
const PATIENCE_MS = 10_000;

const open = new Set<Dispose>();
let isOver = false;

/**
 * Ends, after the tests of a file, what a test or a hook did not come to end: one that failed, or
 * that did not end in time and may still be starting things.
 *
 * @returns what ends it, once, however often it is called
 */
export function ending(dispose: Dispose): () => Promise<void> {
  let disposed: Promise<unknown> | undefined;
  const end = async (): Promise<void> => {
    open.delete(end);
    await (disposed ??= dispose());
  };
  open.add(end);
  if (isOver) void end().catch(() => undefined);
  return end;
}

afterAll(async () => {
  isOver = true;
  // The newest first. What does not end even now is left to `clean-up.js`.
  for (const end of [...open].reverse())
    await Promise.race([end().catch(() => undefined), sleep(PATIENCE_MS, undefined, { ref: false })]);
});

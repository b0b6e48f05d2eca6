import { SingleBar } from 'cli-progress';

/**
 * Shows in a terminal how far the work is; anywhere else, nothing.
 *
 * @param work is given a function that hears which share is done, from 0 to 1
 */
export async function withProgress<T>(
  what: string,
  work: (onProgress: (share: number) => void) => Promise<T>,
): Promise<T> {
  const bar = new SingleBar({ format: `${what} {bar} {percentage} %, {eta_formatted} left`, hideCursor: true });
  bar.start(1, 0);
  try {
    return await work((share) => {
      bar.update(share);
    });
  } finally {
    bar.stop();
  }
}

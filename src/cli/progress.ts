import { SingleBar } from 'cli-progress';

/**
 * Shows the progress of work in a terminal, and nothing anywhere else. The cursor and the line wrap
 * are left alone, so that no way of ending or suspending the process leaves a changed terminal
 * behind.
 *
 * @param work calls its argument with the share that is done, from 0 to 1
 */
export async function withProgress<T>(
  what: string,
  work: (onProgress: (share: number) => void) => Promise<T>,
): Promise<T> {
  const bar = new SingleBar({
    format: `${what} {bar} {percentage} %, {eta_formatted} left`,
    hideCursor: false,
    linewrap: true,
  });
  const stop = (): void => {
    bar.stop(); // ends its line
  };
  process.once('exit', stop);
  bar.start(1, 0);
  try {
    return await work((share) => {
      bar.update(share);
    });
  } finally {
    stop();
    process.off('exit', stop);
  }
}

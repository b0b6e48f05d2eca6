import { SingleBar } from 'cli-progress';

/**
 * Shows the progress of work in a terminal, and nothing elsewhere. Does not change the cursor or
 * the line wrap, so that the terminal is unchanged however the process ends or is suspended.
 *
 * @param work calls its argument with the completed share, from 0 to 1
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

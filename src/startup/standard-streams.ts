/** The status that a shell reports for a program that SIGPIPE has ended: 128 + 13. */
const SIGPIPE_STATUS = 141;

/**
 * Keeps a failed write to stdout or stderr from ending the process with a stack trace. The process
 * then ends with 141 if the reader has gone away, as `head` does, and with 1 after any other
 * failure, such as a full disk, which is reported on stderr.
 */
export function handleFailedOutput(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      const hasNoReader = error.code === 'EPIPE';
      process.exitCode = hasNoReader ? SIGPIPE_STATUS : 1;
      if (!hasNoReader && stream === process.stdout) console.error(`The output could not be written: ${error.message}`);
    });
  }
}

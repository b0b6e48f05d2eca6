import type { Duplex } from 'node:stream';

/**
 * Destroys a stream if a listener of its data throws. The parsers of `pg` and `ioredis` throw on
 * some messages, in the event handler of their socket, where an exception would end the process.
 *
 * @param toError converts the value that the listener threw to the error of the stream
 */
export function failOnThrowingListener(stream: Duplex, toError: (thrown: unknown) => Error): void {
  const emit = stream.emit.bind(stream) as (event: string | symbol, ...details: unknown[]) => boolean;
  Object.assign(stream, {
    emit: (event: string | symbol, ...details: unknown[]) => {
      if (event !== 'data') return emit(event, ...details);
      try {
        return emit(event, ...details);
      } catch (thrown) {
        stream.destroy(toError(thrown));
        return true;
      }
    },
  });
}

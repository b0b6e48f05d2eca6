/**
 * Bytes of a message's header: its type, and its length, which includes the length field and the
 * body but not the type.
 */
const HEAD = 5;
const SHORTEST = 4;

/**
 * Tracks the messages of a PostgreSQL server across chunks (section 54.7 of its manual, "Message
 * Formats").
 *
 * A length under 4 is impossible, and `pg`'s parser would read such a message in an endless loop.
 */
export class MessageLengths {
  private bytesOfHead = 0;
  private length = 0;
  /** Bytes until the next message. */
  private rest = 0;

  /** @throws RangeError for an impossible length */
  check(chunk: Buffer): void {
    for (let at = 0; at < chunk.length;) {
      if (this.rest > 0) {
        const skipped = Math.min(this.rest, chunk.length - at);
        at += skipped;
        this.rest -= skipped;
      } else {
        if (this.bytesOfHead > 0) this.length = this.length * 256 + chunk.readUInt8(at);
        at += 1;
        this.bytesOfHead += 1;
        if (this.bytesOfHead === HEAD) this.begin();
      }
    }
  }

  private begin(): void {
    const { length } = this;
    if (length < SHORTEST || length > 0x7fff_ffff) throw new RangeError('A message has an impossible length');
    this.rest = length - SHORTEST;
    this.bytesOfHead = 0;
    this.length = 0;
  }
}

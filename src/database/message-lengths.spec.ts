import fc from 'fast-check';
import { MessageLengths } from './message-lengths.js';

const message = (length: number, bytes = length - 4): Buffer => {
  const head = Buffer.from('D\0\0\0\0');
  head.writeInt32BE(length, 1);
  return Buffer.concat([head, Buffer.alloc(Math.max(0, bytes), 0xff)]);
};

describe('MessageLengths', () => {
  it('follows messages of any length, wherever the chunks begin', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 4, max: 300 })), fc.array(fc.nat(400)), (lengths, cuts) => {
        const bytes = Buffer.concat([...lengths.map((length) => message(length)), message(3)]);
        const last = bytes.length - 1;
        const starts = [0, ...cuts.filter((cut) => cut < last).sort((one, other) => one - other)];
        const chunks = starts.map((start, index) => bytes.subarray(start, starts[index + 1] ?? last));
        const follower = new MessageLengths();

        // Only the last message has an impossible length, which is detected at its last byte.
        expect(() => {
          for (const chunk of chunks) follower.check(chunk);
        }).not.toThrow();
        expect(() => {
          follower.check(bytes.subarray(last));
        }).toThrow(RangeError);
      }),
    );
  });

  it.each([0, 1, 2, 3, -1, -2_147_483_648])('refuses the length %i', (length) => {
    expect(() => {
      new MessageLengths().check(message(length, 0));
    }).toThrow('A message has an impossible length');
  });

  it.each([4, 5, 2_147_483_647])('accepts the length %i', (length) => {
    expect(() => {
      new MessageLengths().check(message(length, 0));
    }).not.toThrow();
  });
});

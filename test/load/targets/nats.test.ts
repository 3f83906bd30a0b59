/** What a server that speaks no NATS can make of its decoder. */
import { expect, test } from 'vitest';
import { NATS } from '../../../src/load/targets/nats.js';

type Connection = Parameters<typeof NATS.decode>[0];

/** Hands the decoder one frame after the other; what it reported. */
function decode(...frames: string[]): string[] {
  const payloads: string[] = [];
  const connection = {
    state: NATS.state?.(),
    messageIn: (buf: Buffer, start: number, end: number) =>
      void payloads.push(buf.toString('latin1', start, end)),
  } as unknown as Connection;
  for (const text of frames) {
    const buf = Buffer.from(text, 'latin1');
    const frame = { buf, start: 0, end: buf.length, text: () => text, json: () => undefined };
    NATS.decode(connection, frame);
  }
  return payloads;
}

test('messages are found wherever frames cut them', () => {
  expect(decode('MSG room 1 5\r\nhello\r\nMSG ro', 'om 1 2\r\nho\r\n')).toEqual(['hello', 'ho']);
});

test.each([
  'MOTD\r\n',
  'M\n',
  'MSG room 1 x5\r\n',
  'MSG room 1 \r\n',
  'MSG room 1 99999999999\r\n',
])('what is no message is told as that: %j', (line) => {
  expect(() => decode(`PONG\r\n${line}`)).toThrow(/^sent what is not NATS: "M/);
});

test('a line without an end is given up', () => {
  const part = '.'.repeat(33 * 1024 * 1024);
  expect(() => decode(part, part)).toThrow('sent a line beyond 64 MiB');
});

/** The NATS decoder with input of a server that is not NATS. */
import { expect, test } from 'vitest';
import { NATS } from '../../../src/load/targets/nats.js';

type Connection = Parameters<typeof NATS.decode>[0];

/** Decodes frames one after the other; returns what the decoder reported. */
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

test('messages are found wherever frames split them', () => {
  expect(decode('MSG room 1 5\r\nhello\r\nMSG ro', 'om 1 2\r\nho\r\n')).toEqual(['hello', 'ho']);
});

test.each([
  'MOTD\r\n',
  'M\n',
  'MSG room 1 x5\r\n',
  'MSG room 1 \r\n',
  'MSG room 1 99999999999\r\n',
])('an invalid line is reported: %j', (line) => {
  expect(() => decode(`PONG\r\n${line}`)).toThrow(/^sent a line that is not NATS: "M/);
});

test('a line without an end is refused', () => {
  const part = '.'.repeat(33 * 1024 * 1024);
  expect(() => decode(part, part)).toThrow('sent a line longer than 64 MiB');
});

/**
 * V6: one encoding for all SockJS transports, and every text survives the round trip on each of them.
 */
import { createRequire } from 'node:module';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sockjsFraming } from '../../src/transport/sockjs-framing.js';
import { sockjsDialect } from '../../src/transport/sockjs-websocket.js';
import { TRANSPORTS } from '../../src/transport/transport.js';

const { quote } = createRequire(import.meta.url)('sockjs/lib/utils') as {
  quote(text: string): string;
};
const framing = sockjsFraming('eventsource', (parts) => Buffer.concat([...parts]));
const encode = (text: string) => framing.encoding.encode(text).toString();

/** Any string, also with lone surrogates, which have no UTF-8. */
const anyText = fc
  .array(fc.oneof(fc.integer({ min: 0, max: 0xffff }), fc.constantFrom(0x25, 0x22, 0x5c, 0x2028)))
  .map((units) => String.fromCharCode(...units));

describe('a quoted text', () => {
  test('is JSON of the text', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(JSON.parse(encode(text))).toBe(text);
      }),
    );
  });

  test('has escaped what the SockJS library escapes, and per cent signs', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(encode(text)).toBe(quote(text).replaceAll('%', '\\u0025'));
      }),
    );
  });

  test('is the same after a client of eventsource has decoded it', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(decodeURI(encode(text))).toBe(encode(text));
      }),
    );
  });
});

describe('a batch', () => {
  const join = (texts: readonly string[]) => {
    const frames = texts.map((text) => framing.encoding.encode(text));
    return framing.join(
      frames,
      frames.reduce((sum, { length }) => sum + length, 0),
    );
  };

  test('is one array frame', () => {
    expect(join(['a']).toString()).toBe('a["a"]');
    expect(join(['a', '', '"']).toString()).toBe('a["a","","\\""]');
    fc.assert(
      fc.property(fc.array(anyText, { minLength: 1 }), (texts) => {
        const batch = join(texts).toString();
        expect(batch[0]).toBe('a');
        expect(JSON.parse(batch.slice(1))).toEqual(texts);
      }),
    );
  });

  test('is passed to the wrapper with its length', () => {
    fc.assert(
      fc.property(fc.array(anyText, { minLength: 1 }), (texts) => {
        const { encoding, join } = sockjsFraming('xhr-polling', (parts, bytes) => {
          expect(Buffer.concat([...parts])).toHaveLength(bytes);
          return Buffer.alloc(0);
        });
        const frames = texts.map((text) => encoding.encode(text));
        join(
          frames,
          frames.reduce((sum, { length }) => sum + length, 0),
        );
      }),
    );
  });

  test('does not modify the shared frames', () => {
    const frame = framing.encoding.encode('shared');
    const before = Buffer.from(frame);
    framing.join([frame, frame], 2 * frame.length);
    expect(frame).toEqual(before);
  });
});

test('a framing knows its transport; the encoding is shared', () => {
  for (const [index, name] of TRANSPORTS.entries()) {
    const made = sockjsFraming(name, () => Buffer.alloc(0));
    expect([made.index, made.encoding]).toEqual([index, framing.encoding]);
  }
});

describe('over a WebSocket', () => {
  test.each([
    ['["a"]', ['a']],
    ['["a","b"]', ['a', 'b']],
    ['"a"', ['a']],
    ['[]', []],
    ['', []],
    ['["\\ud800"]', ['\ud800']],
  ])('%j holds %j', (frame, texts) => {
    expect(sockjsDialect.unwrap(frame)).toEqual(texts);
  });

  test.each([
    '[',
    '["a"',
    'a',
    '1',
    'null',
    '{}',
    '[1]',
    '["a",null]',
    '[["a"]]',
    '['.repeat(65_536),
  ])('%.20j is not a frame', (frame) => {
    expect(sockjsDialect.unwrap(frame)).toBeNull();
  });

  test('a batch is one text frame, and the ends of a session are frames too', () => {
    const { encoding, join } = sockjsDialect.framing;
    const frame = encoding.encode('hi');
    expect(join([frame], frame.length).toString('latin1')).toBe('\x81\x07a["hi"]');
    expect(sockjsDialect.opening).toBe('o');
    expect(sockjsDialect.closing(4200, 'The "end"')).toBe('c[4200,"The \\"end\\""]');
  });
});

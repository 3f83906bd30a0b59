/**
 * RFC 6455 conformance of a server, section by section, against a whole server: at `/ws`, at SockJS's
 * raw WebSocket, and in a SockJS session. The test peer (`raw-websocket.ts`) checks the server's frames.
 *
 * Not here: replies to commands (`session.test.ts`), input limits (`scenarios/bad-input.test.ts`).
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CLOSE as CLOSES } from '../../src/errors.js';
import { apiOf } from '../support/api.js';
import {
  BINARY,
  CLOSE,
  CONTINUATION,
  connectRaw,
  connectRawWebSocket,
  frame,
  PING,
  PONG,
  type RawPeer,
  TEXT,
  upgrade,
} from '../support/raw-websocket.js';
import { startServer } from '../support/server.js';

/** How a text is sent at one of the endpoints. */
type Wrap = (text: string) => string;

const ENTRANCES: readonly [what: string, path: string, wrap: Wrap][] = [
  ['/ws', '/ws', (text) => text],
  ['SockJS, raw', '/sockjs/websocket', (text) => text],
  ['SockJS, a session', '/sockjs/000/session/websocket', (text) => JSON.stringify([text])],
];

/** The result of sending some bytes. */
interface Outcome {
  /** Ids of the commands that were run, in order. */
  readonly pongs: readonly unknown[];
  /** Codes of the commands that were refused. */
  readonly refused: readonly string[];
  /** Payloads of the pongs. */
  readonly echoes: readonly string[];
  /** Code of the close frame, null if the connection is still open. */
  readonly code: number | null;
}

interface Case extends Partial<Outcome> {
  readonly name: string;
  /** The bytes to send, given a function for a command that is answered with its id. */
  bytes(say: Say): readonly Buffer[];
}

/** The payload of a command with this id, of the given length. */
type Say = (id: string, bytes?: number) => Buffer;

const sayer =
  (wrap: Wrap): Say =>
  (id, bytes = 0) =>
    Buffer.from(wrap(JSON.stringify({ type: 'ping', id })).padEnd(bytes));

const outcomeOf = ({ frames, events, code }: RawPeer): Outcome => ({
  pongs: events.flatMap((event) => (event.type === 'pong' ? [event.id] : [])),
  refused: events.flatMap((event) => (event.type === 'error' ? [event.code] : [])),
  echoes: frames.flatMap(({ opcode, payload }) =>
    opcode === PONG ? [payload.toString('latin1')] : [],
  ),
  code,
});

const closeFrame = (code: number, reason: string | Buffer = '') =>
  frame(Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]), {
    opcode: CLOSE,
  });

const { bad_frame, bad_utf8, frame_too_big, message_too_big } = CLOSES;

const hex = (code: number) => `0x${code.toString(16)}`;
const range = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);

/** A text with these bytes, split into fragments at the cuts. */
function around(say: Say, middle: readonly number[], cuts: readonly number[], bytes = 0) {
  const [before, after] = say('|', bytes).toString('latin1').split('|') as [string, string];
  const payload = Buffer.concat([Buffer.from(before), Buffer.from(middle), Buffer.from(after)]);
  const ends = [...cuts.map((cut) => before.length + cut), payload.length];
  return ends.map((end, index) =>
    frame(payload.subarray(ends[index - 1] ?? 0, end), {
      opcode: index === 0 ? TEXT : CONTINUATION,
      isFinal: end === payload.length,
    }),
  );
}

const FRAMING: readonly Case[] = [
  ...[125, 126, 127, 65_535, 65_536].map(
    (length): Case => ({
      name: `a text of ${length} bytes`,
      bytes: (say) => [frame(say('a', length))],
      pongs: ['a'],
    }),
  ),
  ...[0, 1, 125].map(
    (length): Case => ({
      name: `a ping of ${length} bytes`,
      bytes: () => [frame('x'.repeat(length), { opcode: PING })],
      echoes: ['x'.repeat(length)],
    }),
  ),
  ...([16, 64] as const).map(
    (lengthBits): Case => ({
      name: `a length in ${lengthBits} bits where 7 would do, which harms nobody`,
      bytes: (say) => [frame(say('a'), { lengthBits })],
      pongs: ['a'],
    }),
  ),
  {
    name: 'a length of 2^63: the highest bit is not 0',
    bytes: () => [frame('', { length: 2n ** 63n })],
    code: frame_too_big.code,
  },
  {
    name: 'a length of 2^53',
    bytes: () => [frame('', { length: 2n ** 53n })],
    code: frame_too_big.code,
  },
  {
    name: 'a length beyond the limit of the server',
    bytes: () => [frame('', { length: 2 ** 32 })],
    code: message_too_big.code,
  },
  ...[TEXT, BINARY, CLOSE, PING, PONG].flatMap((opcode) =>
    [0x40, 0x20, 0x10, 0x70].map(
      (reserved): Case => ({
        name: `reserved bits ${hex(reserved)} in a frame of kind ${hex(opcode)}`,
        bytes: (say) => [frame(say('a')), frame('', { opcode, reserved }), frame(say('b'))],
        pongs: ['a'],
        code: bad_frame.code,
      }),
    ),
  ),
  {
    name: 'a reserved bit in a continuation',
    bytes: (say) => [
      frame(say('a').subarray(0, 3), { isFinal: false }),
      frame(say('a').subarray(3), { opcode: CONTINUATION, reserved: 0x40 }),
    ],
    code: bad_frame.code,
  },
  ...[...range(3, 7), ...range(11, 15)].flatMap((opcode) =>
    [true, false].map(
      (isFinal): Case => ({
        name: `the reserved kind ${hex(opcode)}, ${isFinal ? 'whole' : 'in fragments'}`,
        bytes: (say) => [frame(say('a')), frame('', { opcode, isFinal }), frame(say('b'))],
        pongs: ['a'],
        code: bad_frame.code,
      }),
    ),
  ),
];

const MASKING: readonly Case[] = [
  ...[
    [0, 0, 0, 0],
    [255, 255, 255, 255],
    [0, 0, 0, 1],
  ].map(
    (mask): Case => ({
      name: `a mask of ${mask}`,
      bytes: (say) => [frame(say('a', 130), { mask }), frame('x', { opcode: PING, mask })],
      pongs: ['a'],
      echoes: ['x'],
    }),
  ),
  ...[TEXT, BINARY, CLOSE, PING, PONG].map(
    (opcode): Case => ({
      name: `a frame of kind ${hex(opcode)} without a mask`,
      bytes: (say) => [frame(say('a')), frame('', { opcode, isMasked: false }), frame(say('b'))],
      pongs: ['a'],
      code: bad_frame.code,
    }),
  ),
];

const FRAGMENTATION: readonly Case[] = [
  {
    name: 'in two',
    bytes: (say) => [
      frame(say('a').subarray(0, 9), { isFinal: false }),
      frame(say('a').subarray(9), { opcode: CONTINUATION }),
    ],
    pongs: ['a'],
  },
  {
    name: 'a byte each',
    bytes: (say) =>
      [...say('a')].map((byte, index, { length }) =>
        frame(Buffer.from([byte]), {
          opcode: index === 0 ? TEXT : CONTINUATION,
          isFinal: index === length - 1,
        }),
      ),
    pongs: ['a'],
  },
  {
    name: 'the first, one in the middle and the last are empty',
    bytes: (say) => [
      frame('', { isFinal: false }),
      frame(say('a').subarray(0, 9), { opcode: CONTINUATION, isFinal: false }),
      frame('', { opcode: CONTINUATION, isFinal: false }),
      frame(say('a').subarray(9), { opcode: CONTINUATION, isFinal: false }),
      frame('', { opcode: CONTINUATION }),
    ],
    pongs: ['a'],
  },
  {
    name: 'pings and pongs between are taken when they come',
    bytes: (say) => [
      frame(say('a').subarray(0, 9), { isFinal: false }),
      frame('one', { opcode: PING }),
      frame('', { opcode: PONG }),
      frame(say('a').subarray(9, 12), { opcode: CONTINUATION, isFinal: false }),
      frame('two', { opcode: PING }),
      frame(say('a').subarray(12), { opcode: CONTINUATION }),
    ],
    echoes: ['one', 'two'],
    pongs: ['a'],
  },
  {
    name: 'a ping between is answered before the rest has come',
    bytes: (say) => [
      frame(say('a').subarray(0, 9), { isFinal: false }),
      frame('x', { opcode: PING }),
      closeFrame(1000),
    ],
    echoes: ['x'],
    code: 1000,
  },
  {
    name: 'a message after another',
    bytes: (say) => [
      frame(say('a').subarray(0, 9), { isFinal: false }),
      frame(say('a').subarray(9), { opcode: CONTINUATION }),
      frame(say('b').subarray(0, 5), { isFinal: false }),
      frame(say('b').subarray(5), { opcode: CONTINUATION }),
    ],
    pongs: ['a', 'b'],
  },
  {
    name: 'of a binary message: refused whole, and the next is heard',
    bytes: (say) => [
      frame(say('a').subarray(0, 9), { opcode: BINARY, isFinal: false }),
      frame(say('a').subarray(9), { opcode: CONTINUATION }),
      frame(say('b')),
    ],
    refused: ['binary_frame'],
    pongs: ['b'],
  },
  ...[true, false].map(
    (isFinal): Case => ({
      name: `a ${isFinal ? 'last' : 'first'} continuation of nothing`,
      bytes: (say) => [frame(say('a'), { opcode: CONTINUATION, isFinal }), frame(say('b'))],
      code: bad_frame.code,
    }),
  ),
  {
    name: 'a continuation of a message that is over',
    bytes: (say) => [
      frame(say('a').subarray(0, 9), { isFinal: false }),
      frame(say('a').subarray(9), { opcode: CONTINUATION }),
      frame('', { opcode: CONTINUATION }),
    ],
    pongs: ['a'],
    code: bad_frame.code,
  },
  ...[TEXT, BINARY].flatMap((opcode) =>
    [true, false].map(
      (isFinal): Case => ({
        name: `a new message of kind ${hex(opcode)} in a message, ${isFinal ? 'whole' : 'in fragments'}`,
        bytes: (say) => [
          frame(say('a').subarray(0, 9), { isFinal: false }),
          frame(say('b'), { opcode, isFinal }),
          frame(say('c')),
        ],
        code: bad_frame.code,
      }),
    ),
  ),
];

const CONTROL: readonly Case[] = [CLOSE, PING, PONG].flatMap((opcode): Case[] => [
  {
    name: `kind ${hex(opcode)} in fragments`,
    bytes: (say) => [
      frame(say('a')),
      frame('', { opcode, isFinal: false }),
      frame('', { opcode: CONTINUATION }),
    ],
    pongs: ['a'],
    code: bad_frame.code,
  },
  {
    name: `kind ${hex(opcode)} in fragments, within a message`,
    bytes: (say) => [
      frame(say('a').subarray(0, 9), { isFinal: false }),
      frame('', { opcode, isFinal: false }),
      frame(say('a').subarray(9), { opcode: CONTINUATION }),
    ],
    code: bad_frame.code,
  },
  ...[126, 65_536].map(
    (length): Case => ({
      name: `kind ${hex(opcode)} of ${length} bytes`,
      bytes: (say) => [frame(say('a')), frame('\x03\xe8'.padEnd(length), { opcode })],
      pongs: ['a'],
      code: bad_frame.code,
    }),
  ),
]);

const PINGS: readonly Case[] = [
  {
    name: 'ten pings are answered in their order',
    bytes: () => range(0, 9).map((each) => frame(`${each}`, { opcode: PING })),
    echoes: range(0, 9).map(String),
  },
  {
    name: 'a ping of any bytes',
    bytes: () => [frame(Buffer.from([0, 255, 254, 0xc3, 0x28]), { opcode: PING })],
    echoes: ['\0\xff\xfe\xc3\x28'],
  },
  {
    name: 'a pong nobody asked for, empty and not',
    bytes: (say) => [
      frame('', { opcode: PONG }),
      frame('x'.repeat(125), { opcode: PONG }),
      frame(say('a')),
    ],
    pongs: ['a'],
  },
];

/** Codes a peer may close with. */
const OF_PEERS = [...range(1000, 1003), ...range(1007, 1014), 3000, 3999, 4000, 4013, 4999];

const CLOSING: readonly Case[] = [
  {
    name: 'a ping before it is answered, and nothing behind it',
    bytes: (say) => [
      frame('one', { opcode: PING }),
      closeFrame(1000),
      frame(say('b')),
      frame('two', { opcode: PING }),
      closeFrame(1001),
      frame('', { isMasked: false }),
    ],
    echoes: ['one'],
    code: 1000,
  },
  {
    name: 'within a message, which is not carried out',
    bytes: (say) => [frame(say('a'), { isFinal: false }), closeFrame(1000)],
    code: 1000,
  },
  { name: 'empty', bytes: () => [frame('', { opcode: CLOSE })], code: 1005 },
  {
    name: 'with half a code',
    bytes: () => [frame('\x03', { opcode: CLOSE })],
    code: bad_frame.code,
  },
  {
    name: 'with a reason of 123 bytes',
    bytes: () => [closeFrame(1000, 'x'.repeat(123))],
    code: 1000,
  },
  {
    name: 'with a reason that is not UTF-8',
    bytes: () => [closeFrame(1000, Buffer.from([0xc3, 0x28]))],
    code: bad_utf8.code,
  },
  ...OF_PEERS.map(
    (code): Case => ({
      name: `7.4 with ${code}, which a peer may send`,
      bytes: () => [closeFrame(code)],
      code,
    }),
  ),
  ...[0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535].map(
    (code): Case => ({
      name: `7.4 with ${code}, which no peer may send`,
      bytes: () => [closeFrame(code)],
      code: bad_frame.code,
    }),
  ),
];

/** Descriptions of valid UTF-8 byte sequences. */
const CHARACTERS: readonly string[] = [
  'é',
  'κόσμε',
  '漢字',
  '\u{1f600}',
  '\u07ff',
  '\u0800',
  '\ud7ff',
  '\ue000',
  '\ufeff',
  '\ufffe\uffff',
  '\u{10000}',
  '\u{10ffff}',
];

/** Bytes that are not UTF-8, and why. */
const NO_UTF8: readonly [what: string, bytes: readonly number[]][] = [
  ['a continuation byte alone', [0x80]],
  ['another one', [0xbf]],
  ['a first byte alone', [0xc3, 0x28]],
  ['two of three bytes', [0xe6, 0xbc, 0x28]],
  ['three of four bytes', [0xf0, 0x9f, 0x98, 0x28]],
  ['/ in two bytes', [0xc0, 0xaf]],
  ['/ in three bytes', [0xe0, 0x80, 0xaf]],
  ['/ in four bytes', [0xf0, 0x80, 0x80, 0xaf]],
  ['U+007F in two bytes', [0xc1, 0xbf]],
  ['U+07FF in three bytes', [0xe0, 0x9f, 0xbf]],
  ['U+FFFF in four bytes', [0xf0, 0x8f, 0xbf, 0xbf]],
  ['the lowest surrogate', [0xed, 0xa0, 0x80]],
  ['the highest surrogate', [0xed, 0xbf, 0xbf]],
  ['a pair of surrogates', [0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]],
  ['U+110000', [0xf4, 0x90, 0x80, 0x80]],
  ['five bytes', [0xf8, 0x88, 0x80, 0x80, 0x80]],
  ['six bytes', [0xfc, 0x84, 0x80, 0x80, 0x80, 0x80]],
  ['0xFE', [0xfe]],
  ['0xFF', [0xff]],
];

const UTF8: readonly Case[] = [
  ...CHARACTERS.map(
    (id): Case => ({
      name: `${JSON.stringify(id)}, whole and cut anywhere`,
      bytes: (say) => {
        const bytes = [...Buffer.from(id)];
        const cuts = range(0, bytes.length);
        return [around(say, bytes, []), ...cuts.map((cut) => around(say, bytes, [cut]))].flat();
      },
      pongs: Array(Buffer.byteLength(id) + 2).fill(id),
    }),
  ),
  // Short and long texts are validated by different code.
  ...NO_UTF8.flatMap(([what, bytes]) =>
    [0, 200].map(
      (length): Case => ({
        name: `${what}, ${length === 0 ? 'in a short text' : 'in a long text'}`,
        bytes: (say) => [frame(say('a')), ...around(say, bytes, [], length), frame(say('b'))],
        pongs: ['a'],
        code: bad_utf8.code,
      }),
    ),
  ),
  ...NO_UTF8.filter(([, { length }]) => length > 1).map(
    ([what, bytes]): Case => ({
      name: `${what}, over fragments`,
      bytes: (say) => around(say, bytes, range(1, bytes.length - 1)),
      code: bad_utf8.code,
    }),
  ),
  {
    name: 'a text that ends within a character',
    bytes: () => [frame(Buffer.from([0xe6, 0xbc]))],
    code: bad_utf8.code,
  },
  {
    name: 'in a binary message it is not asked for',
    bytes: () => [frame(Buffer.from([0xff]), { opcode: BINARY })],
    refused: ['binary_frame'],
  },
];

const SECTIONS: readonly [title: string, cases: readonly Case[]][] = [
  ['5.2 base framing', FRAMING],
  ['5.3 masking', MASKING],
  ['5.4 fragmentation', FRAGMENTATION],
  ['5.5 control frames', CONTROL],
  ['5.5.1 close', CLOSING],
  ['5.5.2 and 5.5.3 ping and pong', PINGS],
  ['8.1 UTF-8', UTF8],
];
const ALL = SECTIONS.flatMap(([, cases]) => cases);

const expected = ({ pongs = [], refused = [], echoes = [], code = null }: Case): Outcome => ({
  pongs: code === null ? [...pongs, 'the end'] : pongs,
  refused,
  echoes,
  code,
});

describe.each(ENTRANCES)('RFC 6455 at %s', (_, path, wrap) => {
  const say = sayer(wrap);
  let server: Awaited<ReturnType<typeof startServer>>;
  beforeAll(async () => {
    server = await startServer({ maxCommandBytes: 65_536, maxBodyBytes: 65_536, joinRate: 0 });
  });
  afterAll(async () => {
    await server.close();
  });
  const open = () => connectRawWebSocket(server.url, path);

  /** The result of a case whose input is sent in these parts, each read separately. */
  const outcomeIn = async ({ bytes }: Case, cut: (all: Buffer) => readonly Buffer[]) => {
    const peer = await open();
    const all = Buffer.concat([...bytes(say), frame(say('the end'))]);
    for (const part of cut(all)) {
      await peer.write(part);
      // Lets the server, which runs in the same loop, read it.
      await new Promise((resolve) => setImmediate(resolve));
    }
    await peer.until(() => peer.code !== null || outcomeOf(peer).pongs.includes('the end'));
    // The server is the first to end the connection (7.1.1).
    if (peer.code !== null) await peer.until(() => peer.isGone);
    peer.socket.destroy();
    return outcomeOf(peer);
  };

  /** Once every connection is closed: their number, and how many had left. */
  const closed = async () => {
    const scrape = await apiOf(server.url).until(
      (each) => each.sum('connections_opened_total') === each.sum('connections_closed_total'),
    );
    const count = (labels = {}) => scrape.sum('connections_closed_total', labels);
    return [count(), count({ reason: 'client' })] as const;
  };

  describe.each(SECTIONS)('%s', (_title, cases) => {
    test.each(cases)('$name', async (each) => {
      expect(await outcomeIn(each, (all) => [all])).toEqual(expected(each));
    });
  });

  test('5.2 an empty text', async () => {
    const empty: Case = {
      name: 'an empty text',
      bytes: () => [frame('')],
      // SockJS allows it; it contains no message.
      refused: wrap('') === '' ? ['bad_json'] : [],
    };
    expect(await outcomeIn(empty, (all) => [all])).toEqual(expected(empty));
  });

  test('5.2 input split anywhere, or byte by byte, gives the same result', async () => {
    const run = async (each: Case, longest: number, sizes: Iterator<number>) => {
      const cut = (all: Buffer) => {
        const parts: Buffer[] = [];
        // Only the beginning of long input, where the frame headers are.
        for (let at = 0; at < all.length; ) {
          const size = 1 + ((sizes.next().value as number) % longest);
          const end = parts.length < 300 ? at + size : all.length;
          parts.push(all.subarray(at, end));
          at = end;
        }
        return parts;
      };
      expect(await outcomeIn(each, cut)).toEqual(expected(each));
    };
    const longest = fc.constantFrom(1, 2, 40);
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...ALL), longest, fc.infiniteStream(fc.nat()), run),
      { numRuns: 60 },
    );
  });

  test.each([
    ['nothing', frame('', { opcode: CLOSE })],
    ['a code', closeFrame(4000)],
    ['a code and a reason', closeFrame(1001, 'leaving: 漢\u{1f600}')],
  ])('5.5.1 a close frame with %s comes back as it is', async (_what, bytes) => {
    const peer = await open();
    await peer.write(bytes);
    await peer.until(() => peer.code !== null);
    const { payload } = peer.frames.at(-1)!;
    expect(frame(payload, { opcode: CLOSE })).toEqual(bytes);
  });

  test.each([
    ['answers', closeFrame(4003)],
    ['answers with another code', closeFrame(1000)],
    ['breaks the RFC', frame('', { isMasked: false })],
    [
      'speaks, pings and answers',
      Buffer.concat([frame(say('a')), frame('x', { opcode: PING }), frame('', { opcode: CLOSE })]),
    ],
  ])('7.1.2 closed by the server, the peer %s', async (_what, bytes) => {
    const api = apiOf(server.url);
    const ended = async () =>
      (await api.scrape()).sum('connections_closed_total', { reason: 'forbidden' });
    const before = await ended();
    const peer = await open();
    const [welcome] = peer.events as unknown as [{ member: string }];
    await fetch(`${server.url}/v1/members/${welcome.member}`, { method: 'DELETE' });
    await peer.until(() => peer.code !== null);
    await peer.write(bytes);
    await peer.until(() => peer.isGone);
    const types = peer.events.map(({ type }) => type);
    expect([types, peer.code]).toEqual([['welcome', 'closing'], CLOSES.forbidden.code]);
    await api.until((scrape) => scrape.sum('members') === 0);
    expect(await ended()).toBe(before + 1);
  });

  test('7.1.5 a peer that closes with any code has left', async () => {
    const [all, left] = await closed();
    for (const code of OF_PEERS) {
      const peer = await open();
      await peer.write(closeFrame(code));
      await peer.until(() => peer.isGone);
    }
    expect(await closed()).toEqual([all + OF_PEERS.length, left + OF_PEERS.length]);
  });

  test('7.1.1 a peer that stays after its close frame leaves its rooms, and its connection is ended', async () => {
    const api = apiOf(server.url);
    const [all, left] = await closed();
    const peer = await open();
    // The peer keeps its own side open.
    peer.socket.allowHalfOpen = true;
    await peer.write(frame(wrap(JSON.stringify({ type: 'join', id: 1, room: 'a' }))));
    await peer.until(() => peer.events.length === 2);
    await peer.write(closeFrame(1000));
    await peer.until(() => peer.code !== null);
    const scrape = await api.scrape();
    expect([scrape.sum('rooms'), scrape.sum('members')]).toEqual([0, 0]);
    await api.publish('a', ['never']);
    expect(await closed()).toEqual([all + 1, left + 1]);
    expect(peer.events.map(({ type }) => type)).toEqual(['welcome', 'joined']);
  });

  test('4.1 frames may arrive with the handshake, whole or in part', async () => {
    const text = frame(say('a'));
    for (const cut of [0, 1, 7, text.length]) {
      const peer = await connectRaw(
        server.url,
        Buffer.concat([Buffer.from(upgrade(path)), text.subarray(0, cut)]),
      );
      await peer.write(text.subarray(cut));
      await peer.until(() => outcomeOf(peer).pongs.length === 1);
      peer.socket.destroy();
    }
  });

  test.each<[what: string, headers: Record<string, string>]>([
    ['in other letters', { Upgrade: 'WebSocket', Connection: 'upgrade' }],
    ['among others', { Connection: 'keep-alive, Upgrade' }],
    [
      'with extensions',
      { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' },
    ],
  ])('4.2.2 a handshake %s is answered with the accept of its key', async (_what, headers) => {
    const key = { 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==' };
    const peer = await connectRawWebSocket(server.url, path, { ...headers, ...key });
    const [line, ...answered] = peer.head.split('\r\n');
    expect(line).toBe('HTTP/1.1 101 Switching Protocols');
    expect(answered.sort()).toEqual([
      'Connection: Upgrade',
      // The key of section 1.3.
      'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
      'Upgrade: websocket',
    ]);
  });

  test.each<[what: string, request: string]>([
    ['with another method', upgrade(path, {}, 'POST')],
    ['in HTTP/1.0', upgrade(path, {}, 'GET', '1.0')],
    ['without Host', upgrade(path, { Host: null })],
    ['without a key', upgrade(path, { 'Sec-WebSocket-Key': null })],
    ['with an empty key', upgrade(path, { 'Sec-WebSocket-Key': '' })],
    ['with a key of 15 bytes', upgrade(path, { 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25j' })],
    ['with a key of 17 bytes', upgrade(path, { 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZWU=' })],
    ['with a key that is not base64', upgrade(path, { 'Sec-WebSocket-Key': '!'.repeat(24) })],
    ['without a version', upgrade(path, { 'Sec-WebSocket-Version': null })],
    ['of version 12', upgrade(path, { 'Sec-WebSocket-Version': '12' })],
    ['of version 13.5', upgrade(path, { 'Sec-WebSocket-Version': '13.5' })],
    ['without Upgrade', upgrade(path, { Upgrade: null })],
    ['without Connection', upgrade(path, { Connection: null })],
    ['with a Connection for other ends', upgrade(path, { Connection: 'keep-alive' })],
  ])('4.2.1 a handshake %s is none', async (_what, request) => {
    const peer = await connectRaw(server.url, request);
    expect(peer.status).toBeGreaterThanOrEqual(400);
    expect(peer.status).toBeLessThan(500);
  });
});

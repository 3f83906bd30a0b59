/**
 * Anything a peer sends over a real connection (V11): it gets a coded error, or a close with a reason
 * of the table; a counter rises; no other member notices; and nothing is kept.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { CLOSE as CLOSES, type EndReason, type RefusalCode } from '../../src/errors.js';
import type { Config } from '../../src/options/config.js';
import { apiOf } from '../support/api.js';
import { bytesInUse } from '../support/heap.js';
import { httpClient } from '../support/http-requests.js';
import { BINARY, CLOSE, connectRawWebSocket, frame, json, PING } from '../support/raw-websocket.js';
import { connectReading } from '../support/reading-peer.js';
import { serve } from '../support/server.js';

const LIMIT = 4096;
const ROOM = 'quiet';

/** Starts a server with an uninvolved member, the witness. */
async function start(config: Partial<Config> = {}) {
  const { url } = await serve({ maxMessageBytes: LIMIT, ...config });
  const api = apiOf(url);
  const witness = await connectReading('websocket', url);
  witness.say({ type: 'join', id: 1, room: ROOM });
  await witness.until(() => witness.events.length === 2);
  return { url, api, witness };
}

type Started = Awaited<ReturnType<typeof start>>;

/** Checks that the witness has received only its own messages, and still receives them. */
async function isUntouched({ api, witness }: Started, count = 1): Promise<void> {
  await api.publish(ROOM, [`message ${count}`]);
  await witness.until(() => witness.events.length === 2 + count);
  const types = witness.events.map(({ type }) => type);
  expect(types).toEqual(['welcome', 'joined', ...Array(count).fill('message')]);
}

/** Checks that no queue holds anything, and that the witness is the only member. */
async function isClean({ api }: Started): Promise<void> {
  const scrape = await api.until((each) => each.sum('members') === 1 && each.sum('rooms') === 1);
  expect(scrape.sum('queue_messages')).toBe(0);
  expect(scrape.sum('queue_bytes')).toBe(0);
}

const closedFor = (reason: EndReason) => (scrape: { sum: (...args: never[]) => number }) =>
  (scrape.sum as (name: string, labels: object) => number)('connections_closed_total', { reason });

const nested = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`;

/** Input that ends a connection, with the reason. */
const FATAL: readonly [what: string, bytes: Buffer, reason: EndReason][] = [
  ['a text frame that is not UTF-8', frame(Buffer.from([0xff, 0xfe])), 'bad_utf8'],
  ['half a character', frame(Buffer.from([0xe6, 0xbc])), 'bad_utf8'],
  ['a surrogate in UTF-8', frame(Buffer.from([0xed, 0xa0, 0x80])), 'bad_utf8'],
  ['an unmasked frame', frame('{}', { isMasked: false }), 'bad_frame'],
  ['the first reserved bit', frame('{}', { reserved: 0x40 }), 'bad_frame'],
  ['the second reserved bit', frame('{}', { reserved: 0x20 }), 'bad_frame'],
  ['the third reserved bit', frame('{}', { reserved: 0x10 }), 'bad_frame'],
  ['a reserved kind of frame', frame('{}', { opcode: 3 }), 'bad_frame'],
  ['a reserved kind of control frame', frame('', { opcode: 11 }), 'bad_frame'],
  ['a continuation of nothing', frame('{}', { opcode: 0 }), 'bad_frame'],
  [
    'a new message within another',
    Buffer.concat([frame('{', { isFinal: false }), frame('{}')]),
    'bad_frame',
  ],
  ['a ping in fragments', frame('', { opcode: PING, isFinal: false }), 'bad_frame'],
  ['a ping of 126 bytes', frame('x'.repeat(126), { opcode: PING }), 'bad_frame'],
  ['a close with half a code', frame('\x03', { opcode: CLOSE }), 'bad_frame'],
  ['a close with a code of nobody', frame(Buffer.from([0, 1]), { opcode: CLOSE }), 'bad_frame'],
  [
    'a close with a text that is not UTF-8',
    frame(Buffer.from([0x03, 0xe8, 0xff]), { opcode: CLOSE }),
    'bad_utf8',
  ],
  ['a frame beyond the limit', frame('x'.repeat(LIMIT + 1)), 'message_too_big'],
  ['the head of a frame of 8 GiB', frame('', { length: 2 ** 33 }), 'message_too_big'],
  ['the head of a frame of 2^63 bytes', frame('', { length: 2 ** 63 - 1024 }), 'frame_too_big'],
  [
    'fragments beyond the limit',
    Buffer.concat([
      frame('x'.repeat(LIMIT), { isFinal: false }),
      frame('x'.repeat(LIMIT), { opcode: 0 }),
    ]),
    'message_too_big',
  ],
  [
    'a message of 20,000 empty fragments',
    Buffer.concat([
      frame('', { isFinal: false }),
      ...Array<Buffer>(20_000).fill(frame('', { opcode: 0, isFinal: false })),
    ]),
    'message_too_big',
  ],
];

/** Input that is refused, with its code; the connection stays. */
const REFUSED: readonly [what: string, bytes: Buffer, code: RefusalCode][] = [
  ['a binary frame', frame('{"type":"ping"}', { opcode: BINARY }), 'binary_frame'],
  ['nothing', frame(''), 'bad_json'],
  ['4 KiB of [', frame('['.repeat(LIMIT)), 'bad_json'],
  ['4 KiB of [ and ]', frame(nested(LIMIT / 2)), 'bad_command'],
  ['data of 4 KiB of [ and ]', json({ type: 'publish', room: 'a', data: [] }), 'not_joined'],
  [
    'data that is nested too deeply',
    frame(`{"type":"publish","room":"a","data":${nested(2000)}}`),
    'too_deep',
  ],
  ['a number as a room', json({ type: 'join', room: 7 }), 'bad_room'],
  ['an object as a room', json({ type: 'join', room: { toString: 'a' } }), 'bad_room'],
  ['a number as a type', json({ type: 7 }), 'bad_command'],
  ['an object as an id', json({ type: 'ping', id: {} }), 'bad_command'],
  ['an id beyond all numbers', frame('{"type":"ping","id":1e999}'), 'bad_command'],
  ['a number as a key', json({ type: 'publish', room: 'a', data: 1, key: 7 }), 'bad_command'],
  ['a command in __proto__', frame('{"__proto__":{"type":"ping"}}'), 'bad_command'],
  ['constructor as a type', json({ type: 'constructor' }), 'bad_command'],
];

describe('over WebSocket', () => {
  test.each(FATAL)('%s ends the connection with a code', async (_, bytes, reason) => {
    const server = await start();
    const peer = await connectRawWebSocket(server.url);
    await peer.write(bytes);
    await peer.until(() => peer.code !== null);
    expect(peer.code).toBe(CLOSES[reason as keyof typeof CLOSES].code);
    expect(peer.events.at(-1)).toMatchObject({ type: 'closing', code: peer.code });
    await server.api.until((scrape) => closedFor(reason)(scrape) === 1);
    await isClean(server);
    await isUntouched(server);
  });

  test('every invalid command is refused with a code', async () => {
    const server = await start();
    const peer = await connectRawWebSocket(server.url);
    for (const [what, bytes, code] of REFUSED) {
      const before = (await server.api.scrape()).sum('refusals_total', { code });
      const events = peer.events.length;
      await peer.write(bytes);
      await peer.until(() => peer.events.length > events);
      expect([what, peer.events.at(-1)]).toEqual([
        what,
        expect.objectContaining({ type: 'error', code }),
      ]);
      const after = await server.api.scrape();
      expect([what, after.sum('refusals_total', { code })]).toEqual([what, before + 1]);
    }
    await peer.write(json({ type: 'ping', id: 'still here' }));
    await peer.until(() => peer.events.at(-1)?.type === 'pong');
    peer.socket.destroy();
    await isClean(server);
    await isUntouched(server);
  });

  test('names that are special in JavaScript are ordinary names', async () => {
    const policy: Config['policy'] = 'latest-by-key';
    const namespaces: Config['namespaces'] = { ['constructor']: { policy } };
    const server = await start({ namespaces });
    const peer = await connectRawWebSocket(server.url);
    const names = [
      '__proto__',
      'constructor',
      'constructor:__proto__',
      'hasOwnProperty',
      'toString',
    ];
    for (const room of names) {
      await peer.write(json({ type: 'join', id: room, room }));
      await peer.write(
        frame(
          `{"type":"publish","room":"${room}","key":"__proto__","data":{"__proto__":{"polluted":1}}}`,
        ),
      );
    }
    await peer.until(() => peer.events.filter(({ type }) => type === 'message').length === 5);
    const messages = peer.events.filter((event) => event.type === 'message');
    expect(messages.map(({ room }) => room)).toEqual(names);
    expect(Object.keys(messages[0]!.data as object)).toEqual(['__proto__']);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
    peer.socket.destroy();
    await isClean(server);
    await isUntouched(server);
  });

  test('a truncated frame ends the connection as lost', async () => {
    const server = await start();
    const peer = await connectRawWebSocket(server.url);
    await peer.write(frame('{"type":', { length: 100 }));
    peer.socket.end();
    await server.api.until((scrape) => closedFor('lost')(scrape) === 1);
    await isClean(server);
    await isUntouched(server);
  });

  test('random bytes are refused or closed with a code', async () => {
    const server = await start({ firstFrameMs: 200 });
    const { bad_frame, bad_utf8, frame_too_big, message_too_big, nothing_sent } = CLOSES;
    const codes: readonly number[] = [
      bad_frame,
      bad_utf8,
      frame_too_big,
      message_too_big,
      nothing_sent,
    ].map(({ code }) => code);
    let peers = 0;
    const some = fc.array(fc.uint8Array({ minLength: 1, maxLength: 300, size: 'max' }), {
      minLength: 20,
      maxLength: 20,
    });
    await fc.assert(
      fc.asyncProperty(some, async (all) => {
        const play = async (bytes: Uint8Array) => {
          const peer = await connectRawWebSocket(server.url);
          peers += 1;
          await peer.write(Buffer.from(bytes));
          // Bytes that may be the start of a frame get no answer before `firstFrameMs`.
          const told = () => peer.events.slice(1);
          await peer.until(() => peer.code !== null || told().length > 0);
          for (const event of told()) {
            if (event.type === 'closing') expect(codes).toContain(event.code);
            else expect(event.type).toBe('error');
          }
          peer.socket.destroy();
        };
        await Promise.all(all.map(play));
      }),
      { numRuns: 5, endOnFailure: true },
    );
    await server.api.until((scrape) => scrape.sum('connections_closed_total') === peers);
    await isClean(server);
    await isUntouched(server);
  });

  test('10,000 joins in one write are each answered, in order', async () => {
    const server = await start();
    const peer = await connectRawWebSocket(server.url);
    const joins = Array.from({ length: 10_000 }, (_, id) =>
      json({ type: 'join', id, room: `r${id}` }),
    );
    void peer.write(Buffer.concat(joins));
    await peer.until(() => peer.events.length === 10_001);
    const replies = peer.events.slice(1) as { id: number; type: string; code?: RefusalCode }[];
    expect(replies.every(({ id }, index) => id === index)).toBe(true);
    const joined = replies.filter(({ type }) => type === 'joined').length;
    const refused = replies.filter(
      ({ code }) => code === 'rate_limited' || code === 'too_many_rooms',
    );
    expect(joined).toBe(100);
    expect(refused).toHaveLength(9900);
    const scrape = await server.api.scrape();
    expect(
      scrape.sum('refusals_total', { code: 'rate_limited' }) +
        scrape.sum('refusals_total', { code: 'too_many_rooms' }),
    ).toBe(9900);
    expect(scrape.sum('rooms')).toBe(101);
    peer.socket.destroy();
    await isClean(server);
    await isUntouched(server);
  });

  test('a flood of pings by a peer that never reads ends with 4102', async () => {
    const server = await start();
    const peer = await connectRawWebSocket(server.url);
    peer.socket.pause();
    const flood = Buffer.concat(
      Array.from({ length: 2000 }, () => json({ type: 'ping', id: 'x'.repeat(64) })),
    );
    for (let evicted = 0; evicted === 0; ) {
      await peer.write(flood);
      const scrape = await server.api.scrape();
      evicted = scrape.sum('evictions_total', { reason: 'control_overflow' });
      // The control lane of one member, and the batch in flight.
      expect(scrape.sum('queue_bytes')).toBeLessThan(65_536 + 2 * 16_384);
    }
    await server.api.until((scrape) => closedFor('control_overflow')(scrape) === 1);
    await isClean(server);
    await isUntouched(server);
  });

  test('a flood of WebSocket pings by a peer that never reads ends with a code', async () => {
    const server = await start();
    const peer = await connectRawWebSocket(server.url);
    peer.socket.pause();
    const flood = Buffer.concat(Array<Buffer>(50).fill(frame('x'.repeat(125), { opcode: PING })));
    while (closedFor('control_overflow')(await server.api.scrape()) === 0) {
      for (let n = 0; n < 50; n += 1) await peer.write(flood);
    }
    await isClean(server);
    await isUntouched(server);
  });

  test('silence ends with 4107', async () => {
    const server = await start({ firstFrameMs: 200 });
    const peer = await connectRawWebSocket(server.url);
    await peer.until(() => peer.code === CLOSES.nothing_sent.code);
    await server.api.until((scrape) => closedFor('nothing_sent')(scrape) === 1);
    await isUntouched(server);
  });
});

describe('upgrades', () => {
  test.each([
    ['to an unknown path', '/nowhere', {}, 404, 'not_found'],
    ['to a path with the right end', '/x/ws', {}, 404, 'not_found'],
    ['to SockJS without a session', '/sockjs/000/websocket', {}, 404, 'not_found'],
    ['of a page of another origin', '/ws', { Origin: 'https://evil.example' }, 403, 'forbidden'],
    ['without a key', '/ws', { 'Sec-WebSocket-Key': null }, 400, 'bad_command'],
    ['with half a key', '/ws', { 'Sec-WebSocket-Key': 'short' }, 400, 'bad_command'],
    ['of another version', '/ws', { 'Sec-WebSocket-Version': '12' }, 400, 'bad_command'],
    ['to another protocol', '/ws', { Upgrade: 'h2c' }, 426, 'upgrade_required'],
  ] as const)('%s are refused, and counted', async (_, path, headers, status, code) => {
    const server = await start({ origin: ['https://good.example'] });
    const peer = await connectRawWebSocket(server.url, path, headers);
    expect(peer.status).toBe(status);
    await peer.until(() => peer.isGone);
    const scrape = await server.api.scrape();
    expect(scrape.sum('refusals_total', { code })).toBe(1);
    expect(scrape.sum('connections_opened_total')).toBe(1);
    await isUntouched(server);
  });

  test('with the right origin, or without one, are accepted', async () => {
    const { url } = await start({ origin: ['https://good.example'] });
    const peer = await connectRawWebSocket(url, '/ws', { Origin: 'https://good.example' });
    expect(peer.status).toBe(101);
  });
});

describe('malformed or incomplete HTTP', () => {
  const POST =
    'POST /v1/rooms/a/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n';
  /** The response until the server closes the connection. */
  const ask = (url: string, text: string) =>
    new Promise<string>((resolve) => {
      let answer = '';
      const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(text));
      socket.setEncoding('latin1').on('data', (chunk: string) => {
        answer += chunk;
      });
      socket.on('error', () => {}).on('close', () => resolve(answer));
    });

  test.each([
    ['no request', 'hello\r\n\r\n', 400, 'bad_command'],
    ['another version', 'GET / HTTP/9.9\r\n\r\n', 400, 'bad_command'],
    ['two lengths', `${POST}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`, 400, 'bad_command'],
    [
      'a length and chunks',
      `${POST}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`,
      400,
      'bad_command',
    ],
    ['a broken chunk', `${POST}Transfer-Encoding: chunked\r\n\r\nxyz\r\n`, 400, 'bad_command'],
    [
      'a head of 20 KiB',
      `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`,
      431,
      'head_too_big',
    ],
    ['half a head', 'GET / HTTP/1.1\r\nHo', 408, 'too_slow'],
    ['half a body', `${POST}Content-Length: 10\r\n\r\n{"d`, 408, 'too_slow'],
    [
      'half a body in chunks',
      `${POST}Transfer-Encoding: chunked\r\n\r\n3\r\n{"d\r\n`,
      408,
      'too_slow',
    ],
  ] as const)('%s is answered with a code, and counted', async (_, text, status, code) => {
    const server = await start({ firstFrameMs: 200, stallAfterMs: 500 });
    const answer = await ask(server.url, text);
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    const [head, body] = answer.split('\r\n\r\n') as [string, string];
    expect(head).toMatch(/^content-type: application\/json/im);
    expect(JSON.parse(body)).toEqual({ code, message: expect.stringMatching(/^[A-Z].*\.$/) });
    expect((await server.api.scrape()).sum('refusals_total', { code })).toBe(1);
    await isUntouched(server);
  });

  test('an expectation that nobody knows is ignored', async () => {
    const server = await start();
    const answer = await ask(
      server.url,
      'GET /v1/rooms/none HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: more\r\nConnection: close\r\n\r\n',
    );
    expect(answer).toMatch(/^HTTP\/1\.1 404 .*"code":"not_found"/s);
  });

  test('earlier requests are answered first', async () => {
    const server = await start();
    const answer = await ask(
      server.url,
      'GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET / HTTP/9.9\r\n\r\n',
    );
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 400']);
  });

  test('a body that progresses too slowly is answered too', async () => {
    const server = await start({ firstFrameMs: 200, requestMs: 1000, stallAfterMs: 60_000 });
    let answer = '';
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      answer += chunk;
    });
    socket.on('error', () => {});
    socket.write(`${POST}Content-Length: 1000000\r\n\r\n`);
    const timer = setInterval(() => socket.write('{'), 50);
    onTestFinished(() => clearInterval(timer));
    await once(socket, 'close');
    expect(answer).toMatch(/^HTTP\/1\.1 408 .*"code":"too_slow"/s);
  });
});

describe('over SockJS', () => {
  const open = async (port: number) => {
    const client = httpClient(port);
    const path = `/sockjs/000/${randomBytes(8).toString('hex')}`;
    await client.ask('POST', `${path}/xhr`);
    return { client, path };
  };

  test.each([
    ['an unknown transport', 'GET', '/sockjs/000/x/telepathy', 404, 'not_found'],
    ['a session of nobody', 'POST', '/sockjs/000/x/xhr_send', 404, 'not_found'],
    ['a path without an end', 'GET', `/sockjs/${'x'.repeat(5000)}`, 404, 'not_found'],
  ] as const)('%s is refused, and counted', async (_, method, path, status, code) => {
    const server = await start();
    const client = httpClient(Number(new URL(server.url).port));
    expect((await client.ask(method, path)).status).toBe(status);
    expect((await server.api.scrape()).sum('refusals_total', { code })).toBe(1);
    client.close();
    await isUntouched(server);
  });

  test.each([
    ['bytes', Buffer.from([0xff, 0xfe]), 500, 'bad_json'],
    ['64 KiB of commas', Buffer.from(`[${','.repeat(65_536)}`), 500, 'bad_json'],
    ['an object', Buffer.from('{}'), 500, 'bad_command'],
    ['20 MB', Buffer.alloc(20_000_000, '['), 413, 'message_too_big'],
  ] as const)('xhr_send of %s is refused, and counted', async (_, body, status, code) => {
    const server = await start();
    const { client, path } = await open(Number(new URL(server.url).port));
    const answer = await client
      .ask('POST', `${path}/xhr_send`, { body })
      // If the server does not wait for the rest of the body, it may close the connection.
      .catch(() => ({ status }));
    expect(answer.status).toBe(status);
    expect((await server.api.scrape()).sum('refusals_total', { code })).toBe(1);
    client.close();
    await isUntouched(server);
  });

  test('xhr_send of anything but strings ends the session with a code', async () => {
    const server = await start();
    const { client, path } = await open(Number(new URL(server.url).port));
    await client.ask('POST', `${path}/xhr_send`, { body: '[7]' });
    let body = '';
    while (!body.startsWith('c')) ({ body } = await client.ask('POST', `${path}/xhr`));
    expect(JSON.parse(body.slice(1))).toEqual([
      CLOSES.protocol_error.code,
      CLOSES.protocol_error.text,
    ]);
    await server.api.until((scrape) => closedFor('protocol_error')(scrape) === 1);
    client.close();
    await isUntouched(server);
  });

  test('4,000 commands in one xhr_send of a peer that does not poll end with 4102', async () => {
    const server = await start();
    const { client, path } = await open(Number(new URL(server.url).port));
    const body = JSON.stringify(Array(4000).fill('{"type":"ping","id":1}'));
    expect((await client.ask('POST', `${path}/xhr_send`, { body })).status).toBe(204);
    await server.api.until(
      (scrape) => scrape.sum('evictions_total', { reason: 'control_overflow' }) === 1,
    );
    client.close();
    await isUntouched(server);
  });

  test('40,000 frames of nothing in one xhr_send end with 4103, and 100 of them are answered', async () => {
    const server = await start();
    const { client, path } = await open(Number(new URL(server.url).port));
    const body = JSON.stringify(Array(40_000).fill(''));
    expect((await client.ask('POST', `${path}/xhr_send`, { body })).status).toBe(204);
    let answer = '';
    while (!answer.startsWith('c')) ({ body: answer } = await client.ask('POST', `${path}/xhr`));
    expect(JSON.parse(answer.slice(1))).toEqual([
      CLOSES.rate_limited.code,
      CLOSES.rate_limited.text,
    ]);
    const scrape = await server.api.until((each) => closedFor('rate_limited')(each) === 1);
    // The same number again for each second that the machine needs for one body.
    expect(scrape.sum('refusals_total', { code: 'bad_json' })).toBeLessThan(1000);
    client.close();
    await isUntouched(server);
  });
});

test('no resources of these connections are kept', async () => {
  const server = await start({ joinRate: 0 });
  const { url } = server;
  const round = async () => {
    for (const [, bytes] of FATAL) {
      const peer = await connectRawWebSocket(url);
      await peer.write(bytes);
      await peer.until(() => peer.code !== null);
      peer.socket.destroy();
    }
    const peer = await connectRawWebSocket(url);
    for (const [, bytes] of REFUSED) await peer.write(bytes);
    const joins = Array.from({ length: 100 }, (_, id) =>
      json({ type: 'join', id, room: randomBytes(20).toString('hex') }),
    );
    await peer.write(Buffer.concat(joins));
    await peer.until(() => peer.events.length === 1 + REFUSED.length + 100);
    peer.socket.destroy();
    for (const path of ['/nowhere', '/ws']) {
      await connectRawWebSocket(url, path, { 'Sec-WebSocket-Key': null });
    }
    await isClean(server);
  };
  for (let n = 0; n < 5; n += 1) await round();
  const before = await bytesInUse();
  for (let n = 0; n < 10; n += 1) await round();
  const after = await bytesInUse();
  // A leaked connection costs 20 KB and more; there were 240.
  expect(after - before).toBeLessThan(2_000_000);
  await isUntouched(server);
});

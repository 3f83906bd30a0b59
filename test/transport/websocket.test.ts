/**
 * WebSocket connections, plain and in the SockJS dialect: the transport contract and their own parts:
 * broken frames (V11), heartbeats, pings of the peer (V3).
 */
import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { CLOSE } from '../../src/errors.js';
import type { Fault } from '../../src/transport/transport.js';
import { WebSocketTransport } from '../../src/transport/websocket.js';
import { transportContract } from '../contract/transport.js';
import { connectRawWebSocket } from '../support/raw-websocket.js';
import { serve } from '../support/server.js';
import { connectPeer, connectRaw, type RawPeer } from '../support/transport-peers.js';
import {
  type ServerSession,
  startTransports,
  type TransportServer,
} from '../support/transport-server.js';

transportContract('websocket');
transportContract('sockjs-websocket');

const TEXT = 0x81;
const BINARY = 0x82;
const PING = 0x89;
const CLOSE_FRAME = 0x88;

/** A client frame; `length` overrides the length in its header. */
function frame(first: number, payload: Buffer | string, length?: number): Buffer {
  const body = Buffer.from(payload);
  const said = length ?? body.length;
  const head = said < 126 ? [first, 0x80 | said] : [first, 0xff, ...new Array<number>(8).fill(0)];
  const header = Buffer.from(head);
  if (said >= 126) header.writeBigUInt64BE(BigInt(said), 2);
  // A mask of zeros leaves the payload unchanged.
  return Buffer.concat([header, Buffer.alloc(4), body]);
}

/** A close frame of the server, as the raw peer decodes it. */
const closeFrame = (code: number) => {
  return new RegExp(`\\x88[^]${String.fromCharCode(code >> 8)}\\x${(code & 255).toString(16)}`);
};

describe('a WebSocket', () => {
  let server: TransportServer;
  beforeEach(async () => {
    server = await startTransports();
  });
  afterEach(() => server.close());

  const open = async (name: 'websocket' | 'sockjs-websocket' = 'websocket') => {
    const peer = await connectRaw(name, server.port);
    return { peer, session: await server.session() };
  };

  test.each<[string, Buffer, Fault]>([
    ['unmasked', Buffer.from([TEXT, 2, 0x68, 0x69]), 'bad_frame'],
    ['with a reserved bit', frame(TEXT | 0x40, 'hi'), 'bad_frame'],
    ['of an unknown kind', frame(0x83, 'hi'), 'bad_frame'],
    ['that goes on with nothing', frame(0x80, 'hi'), 'bad_frame'],
    ['of text that is not UTF-8', frame(TEXT, Buffer.from([0xc3, 0x28])), 'bad_utf8'],
    ['that is a fragmented ping', frame(0x09, 'hi'), 'bad_frame'],
    ['that says it is too long', frame(TEXT, '', 128 * 1024 + 1), 'message_too_big'],
    ['that says it is very long', frame(TEXT, '', 2 ** 52), 'message_too_big'],
    ['that says it is absurdly long', frame(TEXT, '', 2 ** 53), 'frame_too_big'],
  ])('a frame %s is a fault, and the peer is told', async (_what, bytes, reason) => {
    const { peer, session } = await open();
    peer.socket.write(frame(TEXT, 'before'));
    peer.socket.write(bytes);
    await session.until(() => session.events.includes(`faulted ${reason}`));
    expect(session.texts).toEqual(['before']);
    await peer.read(4);
    expect(peer.text).toMatch(closeFrame(CLOSE[reason].code));
    peer.socket.end();
    expect(await session.end()).toBe(`ended ${reason}`);
  });

  test('a peer that has sent its close frame is written to no more, and reset if it stays', async () => {
    const { peer, session } = await open();
    peer.socket.write(frame(CLOSE_FRAME, Buffer.from([0x0f, 0xa0])));
    await session.until(() => session.events.includes('left'));
    expect(session.transport.writable).toBe(false);
    await peer.read(4);
    expect(peer.text).toBe('\x88\x02\x0f\xa0');
    expect(await session.end()).toBe('ended client');
    await server.idle();
  });

  test('prefetches its handle once it writes there, and not after its end', async () => {
    const { peer, session } = await open();
    for (const text of ['one', 'two']) await session.send(text);
    expect(session.transport.prefetch?.()).toBe(true);
    peer.socket.destroy();
    await session.end();
    expect(session.transport.prefetch?.()).toBe(false);
  });

  test('a frame cut off by the end of the connection is ignored', async () => {
    const { peer, session } = await open();
    peer.socket.end(frame(TEXT, 'half', 8));
    expect(await session.end()).toBe('ended lost');
    expect(session.texts).toEqual([]);
  });

  test('a text in fragments is one text', async () => {
    const { peer, session } = await open();
    peer.socket.write(
      Buffer.concat([frame(0x01, 'one '), frame(0x00, 'two '), frame(0x80, 'three')]),
    );
    await session.until(() => session.texts.length === 1);
    expect([session.texts, session.bytes]).toEqual([['one two three'], [13]]);
  });

  test('a binary frame is reported, and nothing of it is kept', async () => {
    const { peer, session } = await open();
    peer.socket.write(Buffer.concat([frame(BINARY, 'hi'), frame(TEXT, 'after')]));
    await session.until(() => session.texts.length === 1);
    expect(session.events).toEqual(['binary', 'received']);
  });

  test.each(['["a"', '[1]', 'a', '{}'])(
    'SockJS: %s is a fault, reported in its own dialect',
    async (text) => {
      const { peer, session } = await open('sockjs-websocket');
      peer.socket.write(frame(TEXT, '["before"]'));
      peer.socket.write(frame(TEXT, text));
      await session.until(() => session.events.includes('faulted protocol_error'));
      expect(session.texts).toEqual(['before']);
      const { code, text: reason } = CLOSE.protocol_error;
      await peer.read(reason.length + 20);
      expect(peer.text).toContain(`c[${code},"${reason}"]`);
    },
  );

  test('SockJS: several texts in one frame are several texts', async () => {
    const { peer, session } = await open('sockjs-websocket');
    peer.socket.write(frame(TEXT, '["one","žwei"]'));
    await session.until(() => session.texts.length === 2);
    expect([session.texts, session.bytes]).toEqual([
      ['one', 'žwei'],
      [3, 5],
    ]);
  });

  test('a peer that does not answer the close is reset when the grace is over', async () => {
    const { peer, session } = await open();
    peer.socket.resume();
    session.transport.close('forbidden', Buffer.alloc(0), 50);
    expect(await session.end()).toBe('ended forbidden');
    await server.idle();
  });

  test('a peer that pings and does not read is closed after a bounded number of pongs', async () => {
    const { peer, session } = await open();
    // More than the kernel takes, so that the server would have to keep every pong.
    session.transport.write(session.batch('x'.repeat(16 * 1024 * 1024)), 1);
    for (let count = 0; count < 1000; count += 1) peer.socket.write(frame(PING, 'x'.repeat(100)));
    expect(await session.end()).toBe('ended control_overflow');
    await server.idle();
  });
});

test('a connection that has ended is garbage collected', { timeout: 60_000 }, async () => {
  const beats = vi.spyOn(WebSocketTransport.prototype, 'heartbeat');
  onTestFinished(() => void beats.mockRestore());
  const { url, members } = await serve({ heartbeatMs: 1000 });
  const beaten = () => new Set<unknown>(beats.mock.contexts);
  const [gone, other] = [await connectRawWebSocket(url), await connectRawWebSocket(url)];
  await expect.poll(() => beaten().size).toBe(2);
  gone.socket.destroy();
  await expect.poll(members).toHaveLength(1);
  beats.mockClear();
  await expect.poll(() => beats.mock.contexts.length).toBeGreaterThan(1);
  expect(beaten().size).toBe(1);
  other.socket.destroy();
});

describe('a heartbeat', () => {
  const INTERVAL_MS = 1000;
  const STALL_MS = 30_000;
  const PING = `${String.fromCharCode(0x89)}\b`;
  let server: TransportServer;
  let peer: RawPeer;
  let session: ServerSession;
  let start: number;
  /** Does what the acceptor's timer would do, `after` milliseconds from the start. */
  const beat = (after: number) => {
    vi.spyOn(server.clock, 'now').mockReturnValue(start + after);
    (session.transport as WebSocketTransport).heartbeat(INTERVAL_MS, start + after);
  };
  const pings = () =>
    peer.text
      .split(PING)
      .slice(1)
      .map((text) => text.slice(0, 8));
  const pong = (token: string) => peer.socket.write(frame(0x8a, Buffer.from(token, 'latin1')));
  /** Resolves once the server has read what the peer has written. */
  const say = async () => {
    const before = session.texts.length;
    peer.socket.write(frame(TEXT, 'said'));
    await session.until(() => session.texts.length > before);
  };

  beforeEach(async () => {
    server = await startTransports();
    // An integer, so that sums are exact.
    start = Math.ceil(server.clock.now());
    vi.spyOn(server.clock, 'now').mockReturnValue(start);
    peer = await connectRaw('websocket', server.port);
    session = await server.session();
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await server.close();
  });

  test('is due once an idle peer was silent for the interval', async () => {
    beat(INTERVAL_MS - 1);
    beat(INTERVAL_MS);
    await peer.read(10);
    expect(pings()).toHaveLength(1);
  });

  test('that is answered gives a round trip time', async () => {
    await connectPeer('websocket', server.port);
    session = await server.session(1);
    beat(INTERVAL_MS + 1000);
    await session.until(() => session.count('roundTrip') === 1);
    beat(INTERVAL_MS + 1001);
    expect(session.events).toEqual(['roundTrip']);
  });

  test('that is not answered is a fault after another interval', async () => {
    beat(INTERVAL_MS);
    beat(2 * INTERVAL_MS - 1);
    expect(session.events).toEqual([]);
    beat(2 * INTERVAL_MS);
    expect(session.events).toEqual(['faulted heartbeat_missed']);
    await peer.read(10 + 4);
    expect(peer.text).toMatch(closeFrame(CLOSE.heartbeat_missed.code));
  });

  test('is not missed by a peer that sends data or pongs without a payload', async () => {
    beat(INTERVAL_MS);
    await say();
    beat(2 * INTERVAL_MS);
    beat(2 * INTERVAL_MS + 1);
    await peer.read(20);
    peer.socket.write(Buffer.concat([frame(0x8a, ''), frame(TEXT, 'behind it')]));
    await session.until(() => session.texts.length === 2);
    beat(3 * INTERVAL_MS);
    expect(session.events).toEqual(['received', 'received']);
  });

  test('is not missed by a peer in the middle of a frame', async () => {
    beat(INTERVAL_MS);
    peer.socket.write(frame(TEXT, 'x'.repeat(100), 10_000).subarray(0, 50));
    await peer.read(10);
    for (let after = INTERVAL_MS + 300; after < 4 * INTERVAL_MS; after += 300) {
      beat(after);
      const before = serverSocket().bytesRead;
      peer.socket.write('more of it');
      await expect.poll(() => serverSocket().bytesRead).toBeGreaterThan(before);
    }
    expect(session.events).toEqual([]);
    // It sends something, is pinged again, and stays silent.
    for (const after of [4.5, 6, 8]) beat(after * INTERVAL_MS);
    expect(session.events).toEqual(['faulted heartbeat_missed']);
  });

  test('is sent sooner to a peer with data to read, and has a longer timeout', async () => {
    const batch = session.batch('x'.repeat(100_000));
    session.transport.write(batch, 1);
    // Bytes that leave the socket after the first look would count as progress.
    await peer.read(batch.length);
    await expect.poll(() => session.transport.writable).toBe(true);
    // Noticed, and due after a quarter of the timeout, or an interval.
    beat(1);
    beat(INTERVAL_MS);
    beat(STALL_MS / 4 + 1);
    await peer.read(batch.length + 10);
    expect(pings()).toHaveLength(1);
    beat(STALL_MS);
    expect(session.events).toEqual([]);
    beat(STALL_MS + 1);
    expect(session.events).toEqual(['faulted heartbeat_missed']);
  });

  test('in a stream: one per 256 KiB while they are unanswered, and each pong is progress', async () => {
    const batch = session.batch('x'.repeat(16 * 1024));
    let count = 0;
    for (; count < 64; count += 1) expect(session.transport.write(batch, 1)).toBe(true);
    await peer.read(batch.length * 64 + 30);
    const tokens = pings();
    expect(tokens).toHaveLength(4);
    expect(session.transport.unconfirmedMessages).toBe(64);
    beat(1);
    beat(STALL_MS - 1);
    pong(tokens[1] as string);
    await say();
    expect(session.transport.unconfirmedMessages).toBe(32);
    vi.spyOn(server.clock, 'now').mockReturnValue(start + STALL_MS - 1);
    expect(session.transport.progressAt).toBe(start + STALL_MS - 1);
    // Confirmed already, or never sent.
    pong(tokens[0] as string);
    pong('12345678');
    await say();
    expect(session.transport.unconfirmedMessages).toBe(32);
    beat(STALL_MS + 10);
    expect(session.events.filter((event) => event.startsWith('faulted'))).toEqual([]);
  });

  test('is not due while a batch is outstanding, which the stall timeout covers', async () => {
    const batch = session.batch('x'.repeat(16 * 1024 * 1024));
    session.transport.write(batch, 1);
    beat(10 * STALL_MS);
    beat(20 * STALL_MS);
    expect(session.events).toEqual([]);
  });

  test('a peer that answers a close with the same code confirms all messages', async () => {
    await session.send('one', 'two');
    expect(session.transport.unconfirmedMessages).toBe(2);
    session.transport.close('going_away', Buffer.alloc(0), 5000);
    const { code } = CLOSE.going_away;
    peer.socket.end(frame(CLOSE_FRAME, Buffer.from([code >> 8, code & 255])));
    await session.end();
    expect(session.transport.unconfirmedMessages).toBe(0);
  });

  test('a peer that leaves by itself confirms nothing', async () => {
    await session.send('one', 'two');
    peer.socket.end(frame(CLOSE_FRAME, Buffer.from([0x03, 0xe8])));
    await session.end();
    expect(session.transport.unconfirmedMessages).toBe(2);
  });

  const serverSocket = () => [...server.sockets][0] as Socket;
});

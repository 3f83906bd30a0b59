/**
 * WebSocket connections, plain and in SockJS' dialect: the contract of a transport, and what only
 * they have: broken frames (V11), heartbeats, pings of the peer (V3).
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CLOSE } from '../../src/errors.js';
import type { Fault } from '../../src/transport/transport.js';
import type { WebSocketTransport } from '../../src/transport/websocket.js';
import { transportContract } from '../contract/transport.js';
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

/** A frame as a client sends it; `length` where it says another than it has. */
function frame(first: number, payload: Buffer | string, length?: number): Buffer {
  const body = Buffer.from(payload);
  const said = length ?? body.length;
  const head = said < 126 ? [first, 0x80 | said] : [first, 0xff, ...new Array<number>(8).fill(0)];
  const header = Buffer.from(head);
  if (said >= 126) header.writeBigUInt64BE(BigInt(said), 2);
  // A mask of zeros leaves the payload as it is.
  return Buffer.concat([header, Buffer.alloc(4), body]);
}

/** A close frame of the server's, as the raw peer reads it. */
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

  test('a peer that says it leaves is written to no more, and gone soon if it stays', async () => {
    const { peer, session } = await open();
    peer.socket.write(frame(CLOSE_FRAME, Buffer.from([0x0f, 0xa0])));
    await session.until(() => session.events.includes('left'));
    expect(session.transport.writable).toBe(false);
    await peer.read(4);
    expect(peer.text).toBe('\x88\x02\x0f\xa0');
    expect(await session.end()).toBe('ended client');
    await server.idle();
  });

  test('is prefetched as far as its handle once it writes there, and not after its end', async () => {
    const { peer, session } = await open();
    for (const text of ['one', 'two']) await session.send(text);
    expect(session.transport.prefetch?.()).toBe(true);
    peer.socket.destroy();
    await session.end();
    expect(session.transport.prefetch?.()).toBe(false);
  });

  test('a frame that is cut off by the end of the connection is nothing', async () => {
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

  test('a binary frame is said to be one, and nothing of it is kept', async () => {
    const { peer, session } = await open();
    peer.socket.write(Buffer.concat([frame(BINARY, 'hi'), frame(TEXT, 'after')]));
    await session.until(() => session.texts.length === 1);
    expect(session.events).toEqual(['binary', 'received']);
  });

  test.each(['["a"', '[1]', 'a', '{}'])(
    'SockJS: %s is a fault, told in its own way',
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

  test('pings of a peer that does not read are answered only so often, then it goes', async () => {
    const { peer, session } = await open();
    // What the kernel will not take any more, so that every pong would have to be kept by us.
    session.transport.write(session.batch('x'.repeat(16 * 1024 * 1024)));
    for (let count = 0; count < 1000; count += 1) peer.socket.write(frame(PING, 'x'.repeat(100)));
    expect(await session.end()).toBe('ended control_overflow');
    await server.idle();
  });
});

describe('a heartbeat', () => {
  const INTERVAL_MS = 1000;
  let server: TransportServer;
  let peer: RawPeer;
  let session: ServerSession;
  /** What the acceptor's timer would do, `after` milliseconds from now. */
  const beat = (after: number) =>
    (session.transport as WebSocketTransport).heartbeat(performance.now() + after, INTERVAL_MS);
  const isPinged = () => peer.text.includes('\x89\x00');

  beforeEach(async () => {
    server = await startTransports();
    peer = await connectRaw('websocket', server.port);
    session = await server.session();
  });
  afterEach(() => server.close());

  test('is due once a peer has been silent for the interval', async () => {
    beat(INTERVAL_MS - 500);
    await session.send('first');
    beat(INTERVAL_MS);
    await peer.read('\x81\x05first'.length + 2);
    expect(peer.text).toBe('\x81\x05first\x89\x00');
    expect(session.events).toEqual([]);
  });

  test('that comes back is a round trip', async () => {
    const { port } = server;
    await connectPeer('websocket', port);
    session = await server.session(1);
    beat(INTERVAL_MS);
    await session.until(() => session.count('roundTrip') === 1);
    beat(INTERVAL_MS + 1);
    expect(session.events).toEqual(['roundTrip']);
  });

  test('that does not come back is a fault, once the interval is over again', async () => {
    beat(INTERVAL_MS);
    beat(2 * INTERVAL_MS - 500);
    expect(session.events).toEqual([]);
    beat(2 * INTERVAL_MS + 500);
    expect(session.events).toEqual(['faulted heartbeat_missed']);
    await peer.read(4);
    expect(peer.text).toMatch(closeFrame(CLOSE.heartbeat_missed.code));
  });

  test('is not due while the peer speaks', async () => {
    beat(INTERVAL_MS);
    peer.socket.write(frame(TEXT, 'here'));
    await session.until(() => session.texts.length === 1);
    beat(INTERVAL_MS - 500);
    expect(session.events).toEqual(['received']);
    await session.send('end');
    await peer.read('\x89\x00\x81\x03end'.length);
    expect(peer.text).toBe('\x89\x00\x81\x03end');
  });

  test('is not due while a batch is outstanding: that is judged by its own clock', async () => {
    const batch = session.batch('x'.repeat(16 * 1024 * 1024));
    session.transport.write(batch);
    beat(10 * INTERVAL_MS);
    beat(20 * INTERVAL_MS);
    expect(session.events).toEqual([]);
    await peer.read(batch.length);
    expect(isPinged()).toBe(false);
  });
});

/**
 * The contract of `src/transport/transport.ts`, sentence by sentence, on real sockets. Every
 * transport calls it. V3: one batch outstanding, and it says when that is complete. V8: nothing is
 * left of a session that has ended.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CLOSE } from '../../src/errors.js';
import { unsentBytes } from '../../src/transport/raw-write.js';
import { TRANSPORTS, type TransportName } from '../../src/transport/transport.js';
import { unreadInKernel } from '../support/kernel.js';
import { connectPeer, connectRaw, type Peer } from '../support/transport-peers.js';
import { startTransports, type TransportServer } from '../support/transport-server.js';

/** More than a kernel takes for a peer that does not read: about 4 MB on Linux, up to 10. */
const STALL_BYTES = 16 * 1024 * 1024;
const NOTHING = Buffer.alloc(0);

const TEXTS = [
  'plain',
  '',
  '{"type":"message","data":"quoted \\" and \\\\"}',
  'per cent: 100 %, %41, %zz, %',
  'žluťoučký 漢字 עברית \u{1f600} \u{10ffff}',
  'zero width \u200c\u200d, separators \u2028\u2029, byte order \ufeff, noncharacters \ufffe\uffff',
  `${Array.from({ length: 0x20 }, (_, code) => String.fromCharCode(code)).join('')}\x7f\x80\x9f`,
  'line\nbreak\r\nand\rreturn',
  'a'.repeat(64 * 1024),
  '漢'.repeat(20_000),
];
const LONE_SURROGATES = 'high \ud83d, low \ude00, wrong way round \ude00\ud83d';

export function transportContract(name: TransportName): void {
  // A WebSocket's text is UTF-8, which has no surrogates; SockJS sends them escaped.
  const arrives = (text: string) => (name === 'websocket' ? Buffer.from(text).toString() : text);

  describe(`the contract of a transport: ${name}`, () => {
    let server: TransportServer;
    let peers: Peer[] = [];

    beforeEach(async () => {
      server = await startTransports();
    });

    afterEach(async () => {
      for (const peer of peers) peer.close();
      await Promise.all(peers.map(({ closed }) => closed));
      peers = [];
      await server.close();
      for (const { events } of server.sessions) {
        const ended = events.findIndex((event) => event.startsWith('ended'));
        if (ended >= 0) expect(events.slice(ended), 'nothing after `ended`').toHaveLength(1);
      }
    });

    const openPeer = async () => {
      const peer = await connectPeer(name, server.port);
      peers.push(peer);
      return { peer, session: await server.session(server.sessions.length - 1) };
    };

    const openRaw = async () => {
      const peer = await connectRaw(name, server.port);
      const session = await server.session();
      await session.until(() => session.transport.writable);
      return { peer, session };
    };

    /** A peer that does not read, and a batch it has not read. */
    const openStalled = async () => {
      const { peer, session } = await openRaw();
      const batch = session.batch('x'.repeat(STALL_BYTES));
      expect(session.transport.write(batch, 1)).toBe(false);
      return { peer, session, batch };
    };

    /** Time in which a kernel would have taken what it takes, and a mistake would have shown. */
    const settle = () => new Promise((resolve) => setTimeout(resolve, 200));

    test('it says which it is, how it frames, and whose it is', async () => {
      const { session } = await openPeer();
      const { transport } = session;
      expect(transport.name).toBe(name);
      expect(TRANSPORTS[transport.framing.index]).toBe(name);
      expect(transport.remoteAddress).toBe('127.0.0.1');
    });

    test('text arrives as it was sent, from the server', async () => {
      const { peer, session } = await openPeer();
      for (const text of [...TEXTS, LONE_SURROGATES]) await session.send(text);
      await peer.received(TEXTS.length + 1);
      expect(peer.texts).toEqual([...TEXTS, LONE_SURROGATES].map(arrives));
    });

    test('text arrives as it was sent, from the peer, with at least its length', async () => {
      const { peer, session } = await openPeer();
      const texts = [...TEXTS, LONE_SURROGATES];
      for (const text of texts) peer.send(text);
      await session.until(() => session.texts.length === texts.length);
      expect(session.texts).toEqual(texts.map(arrives));
      session.texts.forEach((text, index) => {
        expect(session.bytes[index]).toBeGreaterThanOrEqual(Buffer.byteLength(text));
      });
    });

    test('a batch of several frames arrives as several texts, in order', async () => {
      const { peer, session } = await openPeer();
      const texts = Array.from({ length: 500 }, (_, index) => `${index} ${'%"'.repeat(index % 7)}`);
      await session.send(...texts.slice(0, 300));
      await session.send(...texts.slice(300));
      await peer.received(500);
      expect(peer.texts).toEqual(texts);
    });

    test('one batch is outstanding at most: not writable until it is complete', async () => {
      const { peer, session } = await openPeer();
      const { transport } = session;
      for (let index = 0; index < 20; index += 1) {
        await session.until(() => transport.writable);
        const before = session.count('completed');
        if (transport.write(session.batch(`${index}`), 1)) {
          expect(session.count('completed')).toBe(before);
          continue;
        }
        expect(transport.writable).toBe(false);
        expect(session.count('completed')).toBe(before);
        await session.until(() => session.count('completed') > before);
        expect(session.count('completed')).toBe(before + 1);
      }
      await peer.received(20);
      expect(peer.texts).toEqual(Array.from({ length: 20 }, (_, index) => `${index}`));
    });

    test('`ready` says that it has become writable without a completion', async () => {
      const { session } = await openRaw();
      // Only where the peer has to ask: others are writable from the start.
      expect(session.events).toEqual(name === 'xhr-polling' ? ['ready'] : []);
    });

    test('what a peer does not read stays outstanding, and is one batch', async () => {
      const { session, batch } = await openStalled();
      await settle();
      expect(session.transport.writable).toBe(false);
      expect(session.count('completed')).toBe(0);
      const held = Array.from(server.sockets, unsentBytes);
      const sum = held.reduce((bytes, each) => bytes + each, 0);
      expect(sum).toBeGreaterThan(0);
      expect(sum).toBeLessThan(batch.length + 4096);
    });

    test('it is completed once the peer reads again, and goes on', async () => {
      const { peer, session, batch } = await openStalled();
      await settle();
      const completed = session.until(() => session.count('completed') > 0);
      await peer.read(batch.length);
      await completed;
      expect(session.count('completed')).toBe(1);
      expect(peer.text.length).toBeGreaterThanOrEqual(batch.length);
      expect(session.events.filter((event) => event.startsWith('ended'))).toEqual([]);
    });

    test('a reset frees the socket of a stalled peer at once', async () => {
      const { peer, session } = await openStalled();
      await settle();
      expect(unreadInKernel(server.port, peer.port)).not.toBe(0);
      session.transport.reset('slow_consumer');
      session.transport.reset('lost');
      expect(session.transport.writable).toBe(false);
      expect(await session.end()).toBe('ended slow_consumer');
      await server.idle();
      expect(unreadInKernel(server.port, peer.port) ?? 0).toBe(0);
      expect(session.count('completed')).toBe(0);
    });

    test('a reset ends a session of a peer that reads', async () => {
      const { peer, session } = await openPeer();
      await session.send('before');
      await peer.received(1);
      session.transport.reset('forbidden');
      expect(await session.end()).toBe('ended forbidden');
    });

    test('a close tells the farewell and the code, in this order', async () => {
      const { peer, session } = await openPeer();
      await session.send('before');
      session.transport.close('slow_consumer', session.batch('goodbye'), 5000);
      session.transport.close('going_away', session.batch('never'), 5000);
      expect(session.transport.writable).toBe(false);
      expect(await peer.closed).toBe(CLOSE.slow_consumer.code);
      expect(peer.texts).toEqual(['before', 'goodbye']);
      expect(await session.end()).toBe('ended slow_consumer');
    });

    test('a close may come without a farewell', async () => {
      const { peer, session } = await openPeer();
      session.transport.close('going_away', NOTHING, 5000);
      expect(await peer.closed).toBe(CLOSE.going_away.code);
      expect(peer.texts).toEqual([]);
      expect(await session.end()).toBe('ended going_away');
    });

    test('a close goes out behind what is outstanding', async () => {
      const { peer, session } = await openPeer();
      await session.until(() => session.transport.writable);
      session.transport.write(session.batch('y'.repeat(STALL_BYTES / 2)), 1);
      session.transport.close('rate_limited', session.batch('goodbye'), 15_000);
      expect(await peer.closed).toBe(CLOSE.rate_limited.code);
      expect(peer.texts.map((text) => text.length)).toEqual([STALL_BYTES / 2, 'goodbye'.length]);
      expect(await session.end()).toBe('ended rate_limited');
    });

    test('a close of a stalled peer resets it when the grace is over', async () => {
      const { peer, session } = await openStalled();
      await settle();
      session.transport.close('slow_consumer', session.batch('goodbye'), 100);
      expect(await session.end()).toBe('ended slow_consumer');
      await server.idle();
      expect(unreadInKernel(server.port, peer.port) ?? 0).toBe(0);
    });

    test('a reset cuts a close short', async () => {
      const { session } = await openStalled();
      session.transport.close('slow_consumer', NOTHING, 1_000_000);
      session.transport.reset('going_away');
      expect(await session.end()).toBe('ended slow_consumer');
      await server.idle();
    });

    test('a peer that closes has ended as client', async () => {
      const { peer, session } = await openPeer();
      await session.send('before');
      await peer.received(1);
      // Between two polls there is nothing a SockJS client could close.
      await session.until(() => session.transport.writable);
      peer.close();
      expect(await session.end()).toBe('ended client');
      expect(session.transport.writable).toBe(false);
    });

    test('a peer that hangs up leaves nothing open', async () => {
      const { peer, session } = await openRaw();
      peer.socket.destroy();
      await session.end();
      await server.idle();
    });

    test('a connection that breaks has ended as lost', async () => {
      const { peer, session } = await openRaw();
      peer.socket.resetAndDestroy();
      expect(await session.end()).toBe('ended lost');
      await server.idle();
    });

    test('what was outstanding when the connection broke is not completed', async () => {
      const { peer, session } = await openStalled();
      await settle();
      peer.socket.resetAndDestroy();
      expect(await session.end()).toBe('ended lost');
      expect(session.count('completed')).toBe(0);
    });

    test('close and reset after the end do nothing', async () => {
      const { peer, session } = await openRaw();
      peer.socket.resetAndDestroy();
      await session.end();
      session.transport.close('going_away', NOTHING, 0);
      session.transport.reset('going_away');
      await settle();
      expect(session.events.at(-1)).toBe('ended lost');
    });

    test('sessions do not disturb one another', async () => {
      const one = await openPeer();
      const two = await openPeer();
      await one.session.until(() => one.session.transport.writable);
      one.session.transport.reset('forbidden');
      await one.session.end();
      await two.session.send('still here');
      two.peer.send('so am I');
      await two.peer.received(1);
      await two.session.until(() => two.session.texts.length === 1);
      expect(two.session.texts).toEqual(['so am I']);
    });
  });
}

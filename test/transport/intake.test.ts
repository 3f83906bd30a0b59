/**
 * Input not handled yet: handled when the peer has its turn, not read meanwhile, and bounded in bytes
 * (V3). The test controls the turns; the connections are real.
 */

import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { MAX_FRAGMENTS } from '../../src/transport/intake.js';
import { IntakeMemory } from '../../src/transport/intake-memory.js';
import type { WebSocketTransport } from '../../src/transport/websocket.js';
import { type Share, Turns } from '../../src/turns.js';
import { CLOSE, frame, PING } from '../support/raw-websocket.js';
import { Signal } from '../support/signal.js';
import { connectRaw } from '../support/transport-peers.js';
import { startTransports, type TransportServer } from '../support/transport-server.js';

/** Turns controlled by the test, independent of the clock. */
class Gate extends Turns {
  isOpen = true;
  readonly changed = new Signal();
  readonly waiting = new Set<Share>();

  override run(share: Share): void {
    this.waiting.add(share);
    if (this.isOpen) this.open();
    else share.hold(true);
    this.changed.fire();
  }

  override forget(share: Share): void {
    this.waiting.delete(share);
    super.forget(share);
  }

  /** Runs one item of every waiting peer. */
  step(): void {
    for (const share of this.waiting) {
      if (share.work.step() || share.hasEnded) continue;
      this.waiting.delete(share);
      share.hold(false);
    }
  }

  open(): void {
    this.isOpen = true;
    while (this.waiting.size > 0) this.step();
  }
}

const LIMIT = 64 * 1024 * 1024;
let gate: Gate;
let memory: IntakeMemory;
let server: TransportServer;
beforeEach(async () => {
  gate = new Gate();
  memory = new IntakeMemory(LIMIT);
  server = await startTransports({ turns: gate, memory });
});
afterEach(() => server.close());

async function open(name: 'websocket' | 'sockjs-websocket' = 'websocket') {
  const index = server.sessions.length;
  const peer = await connectRaw(name, server.port);
  peer.socket.resume();
  return { peer, session: await server.session(index) };
}

const numbered = (count: number) =>
  Array.from({ length: count }, (_, i) => frame(String(i).padStart(6, '0')));
const isHeld = () => gate.changed.until(() => gate.waiting.size > 0);

test('a read of many small frames is handled a frame at a time, in order', async () => {
  const { peer, session } = await open();
  gate.isOpen = false;
  peer.socket.write(Buffer.concat(numbered(3000)));
  await isHeld();
  expect(session.texts).toEqual([]);
  gate.step();
  expect(session.texts.length).toBe(1);
  gate.open();
  await session.until(() => session.texts.length === 3000);
  expect(session.texts).toEqual([...session.texts].sort());
});

test('a held peer is not read, and loses nothing', async () => {
  const { peer, session } = await open();
  gate.isOpen = false;
  const frames = Array.from({ length: 200 }, (_, i) => frame(`${i}`.padEnd(50_000, '.')));
  const written = new Promise<void>((done) => {
    peer.socket.write(Buffer.concat(frames), () => done());
  });
  await isHeld();
  const [socket] = server.sockets;
  // Long enough that anything to be read would have been.
  for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
  expect(socket?.bytesRead).toBeLessThan(4 * 64 * 1024);
  expect(memory.bytes).toBeGreaterThanOrEqual(64 * 1024);
  expect(memory.bytes).toBeLessThan(4 * 64 * 1024);
  gate.open();
  await written;
  await session.until(() => session.texts.length === 200);
  expect(session.texts.map((text) => Number.parseInt(text, 10))).toEqual([...Array(200).keys()]);
  expect(memory.bytes).toBe(0);
});

test('the texts of one SockJS frame are handled one at a time, before what follows', async () => {
  const { peer, session } = await open('sockjs-websocket');
  gate.isOpen = false;
  const texts = Array.from({ length: 20 }, (_, i) => `text ${i}`);
  peer.socket.write(Buffer.concat([frame(JSON.stringify(texts)), frame('"last"')]));
  await isHeld();
  gate.step();
  expect(session.texts).toEqual([]);
  gate.step();
  gate.step();
  expect(session.texts).toEqual(texts.slice(0, 2));
  gate.open();
  expect(session.texts).toEqual([...texts, 'last']);
});

test('the texts of one SockJS frame are counted while they wait', async () => {
  const { peer, session } = await open('sockjs-websocket');
  gate.isOpen = false;
  peer.socket.write(frame(JSON.stringify(Array(1000).fill('text'))));
  await isHeld();
  gate.step();
  expect(session.texts).toEqual([]);
  // Each is a string besides its four bytes.
  expect(memory.bytes).toBeGreaterThan(1000 * 30);
  expect(memory.bytes).toBeLessThan(1000 * 60);
  gate.open();
  expect(session.texts).toHaveLength(1000);
  expect(memory.bytes).toBe(0);
});

test('a peer whose waiting texts exceed what all connections may hold is closed', async () => {
  await server.close();
  memory = new IntakeMemory(30_000);
  server = await startTransports({ turns: gate, memory });
  const { peer, session } = await open('sockjs-websocket');
  gate.isOpen = false;
  peer.socket.write(frame(JSON.stringify(Array(1000).fill('text'))));
  await isHeld();
  gate.step();
  expect(session.events).toEqual(['faulted memory_pressure']);
  expect([memory.bytes, session.texts]).toEqual([0, []]);
  gate.open();
});

test('a peer that was stopped and goes on is counted with nothing once its input is handled', async () => {
  const { peer, session } = await open();
  session.transport.holdInput?.(true);
  peer.socket.write(frame('x'.repeat(20_000)));
  while (memory.bytes < 64 * 1024) await new Promise(setImmediate);
  session.transport.holdInput?.(false);
  await session.until(() => session.texts.length === 1);
  expect(memory.bytes).toBe(0);
});

test('a held peer that has answered a heartbeat is not considered gone', async () => {
  const { peer, session } = await open();
  const transport = session.transport as WebSocketTransport;
  const beat = (after: number) => {
    vi.spyOn(server.clock, 'now').mockReturnValue(start + after);
    transport.heartbeat(1000, start + after);
  };
  const start = server.clock.now();
  onTestFinished(() => {
    vi.restoreAllMocks();
  });
  beat(1000);
  gate.isOpen = false;
  peer.socket.write(frame('', { opcode: 10 }));
  await isHeld();
  for (const after of [2000, 3000, 5000]) beat(after);
  expect(session.events).toEqual([]);
  gate.open();
  beat(5500);
  expect(session.events).toEqual([]);
});

test('a peer that never gets its turn is closed as rate_limited', async () => {
  const { peer, session } = await open();
  gate.isOpen = false;
  peer.socket.write(frame('one'));
  await isHeld();
  for (const share of gate.waiting) share.work.starved();
  expect(session.events).toEqual(['faulted rate_limited']);
  peer.socket.end(frame('', { opcode: CLOSE }));
  expect(await session.end()).toBe('ended rate_limited');
  expect([session.texts, memory.bytes]).toEqual([[], 0]);
});

test('input before the close frame is handled before the end', async () => {
  const { peer, session } = await open();
  gate.isOpen = false;
  peer.socket.write(Buffer.concat([...numbered(1000), frame('', { opcode: CLOSE })]));
  await isHeld();
  gate.open();
  expect(await session.end()).toBe('ended client');
  expect(session.texts.length).toBe(1000);
});

test('what a peer sent just before it ended is handled, also while it waits for its turn', async () => {
  const { peer, session } = await open();
  gate.isOpen = false;
  peer.socket.end(Buffer.concat([frame('last'), frame('', { opcode: CLOSE })]));
  expect(await session.end()).toBe('ended client');
  expect([gate.waiting.size, memory.bytes, session.texts]).toEqual([0, 0, ['last']]);
});

test('more than a little input of a peer that has ended is dropped', async () => {
  const { peer, session } = await open();
  gate.isOpen = false;
  peer.socket.end(Buffer.concat(numbered(43)));
  expect(await session.end()).toBe('ended lost');
  expect([gate.waiting.size, memory.bytes, session.texts]).toEqual([0, 0, []]);
});

test('an answer to a close frame is one, also while the peer waits for its turn', async () => {
  const { peer, session } = await open();
  session.transport.write(Buffer.from([0x81, 1, 0x78]), 1);
  expect(session.transport.unconfirmedMessages).toBe(1);
  session.transport.close('going_away', Buffer.alloc(0), 60_000);
  gate.isOpen = false;
  peer.socket.end(frame(Buffer.from([4200 >> 8, 4200 & 0xff]), { opcode: CLOSE }));
  expect(await session.end()).toBe('ended going_away');
  expect(session.transport.unconfirmedMessages).toBe(0);
});

test('nothing is kept of a closed peer, and nothing waits', async () => {
  const { peer, session } = await open();
  gate.isOpen = false;
  peer.socket.write(Buffer.concat(numbered(3000)));
  await isHeld();
  session.transport.reset('lost');
  await session.end();
  expect([gate.waiting.size, memory.bytes, session.texts]).toEqual([0, 0, []]);
});

test.each([
  ['without a head for the rest', Buffer.alloc(0)],
  ['each in a read that is full of something else', frame('x'.repeat(100), { opcode: PING })],
])('fragments that keep more than a message may have end their peer: %s', async (_, filler) => {
  const { peer, session } = await open();
  const one = Buffer.concat([
    frame('x', { opcode: 0, isFinal: false }),
    ...Array<Buffer>(filler.length > 0 ? 60 : 0).fill(filler),
  ]);
  peer.socket.write(frame('x', { isFinal: false }));
  let most = 0;
  const look = setInterval(() => {
    most = Math.max(most, memory.bytes);
  }, 1);
  for (let count = 0; count < 2 * MAX_FRAGMENTS; count += 1) peer.socket.write(one);
  await session.until(() => session.events.some((event) => event.startsWith('faulted')));
  clearInterval(look);
  expect(most).toBeLessThan(1024 * 1024);
  peer.socket.destroy();
  await session.end();
  expect(memory.bytes).toBe(0);
});

test('a text that arrives byte by byte is one text', async () => {
  const { peer, session } = await open();
  for (const byte of frame('ünfinished')) {
    peer.socket.write(Buffer.from([byte]));
    await new Promise(setImmediate);
  }
  await session.until(() => session.texts.length === 1);
  expect([session.texts, memory.bytes]).toEqual([['ünfinished'], 0]);
});

test('beyond the bound of all connections, only the largest holder is closed', async () => {
  await server.close();
  memory = new IntakeMemory(100_000);
  server = await startTransports({ turns: gate, memory });
  const [small, large, last] = [await open(), await open(), await open()];
  const half = (bytes: number) => frame('x'.repeat(bytes), { length: 100_000 });
  small.peer.socket.write(half(20_000));
  large.peer.socket.write(half(60_000));
  while (memory.bytes < 80_000) await new Promise(setImmediate);
  last.peer.socket.write(half(30_000));
  await large.session.until(() => large.session.events.length > 0);
  expect(large.session.events).toEqual(['faulted memory_pressure']);
  expect(memory.bytes).toBeLessThan(60_000);
  expect([small.session.events, last.session.events]).toEqual([[], []]);
});

test('many peers with little waiting input hold little, and none is closed', async () => {
  await server.close();
  // Less than the read buffers of so many would take.
  memory = new IntakeMemory(10 * 64 * 1024);
  server = await startTransports({ turns: gate, memory });
  const members = await Promise.all(Array.from({ length: 40 }, () => open()));
  gate.isOpen = false;
  for (const { peer } of members) peer.socket.write(frame('x'.repeat(300)));
  const gone = () => members.flatMap(({ session }) => session.events);
  while (gate.waiting.size + gone().length < members.length) await new Promise(setImmediate);
  expect(gone()).toEqual([]);
  expect(memory.bytes).toBeGreaterThan(members.length * 300);
  expect(memory.bytes).toBeLessThan(members.length * 1000);
  gate.open();
  for (const { session } of members) expect(session.events).toEqual(['received']);
  expect(memory.bytes).toBe(0);
});

test('a held peer that sends byte by byte is soon not read either', async () => {
  const { peer, session } = await open();
  const [socket] = server.sockets;
  gate.isOpen = false;
  const text = frame('x'.repeat(300));
  for (const byte of text) {
    if (socket?.isPaused()) break;
    const read = socket?.bytesRead ?? 0;
    peer.socket.write(Buffer.from([byte]));
    while (socket?.bytesRead === read) await new Promise(setImmediate);
  }
  expect(socket?.isPaused()).toBe(true);
  // Includes the object overhead of each.
  expect(gate.waiting.size).toBe(1);
  expect(memory.bytes).toBeGreaterThan(64 * 1024);
  gate.open();
  expect(socket?.isPaused()).toBe(false);
  expect([session.events, memory.bytes > 0]).toEqual([[], true]);
});

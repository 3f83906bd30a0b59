/** Reads past the stream: the reader gets the peer's data in order and nothing twice. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { readPast } from '../../src/transport/raw-read.js';
import { takeTurnsAtEnd } from '../../src/transport/socket-ends.js';
import { Signal } from '../support/signal.js';

/** A server connection and its peer. */
async function pair(): Promise<{ socket: Socket; peer: Socket }> {
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const peer = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [socket] = (await once(server, 'connection')) as [Socket];
  server.close();
  for (const end of [peer, socket]) end.on('error', () => {});
  onTestFinished(() => {
    peer.destroy();
    socket.destroy();
  });
  return { socket, peer };
}

/** Collects input in order on both paths; `use` says how many bytes the reader uses. */
function collect(socket: Socket, use: (bytes: number) => number) {
  const chunks: Buffer[] = [];
  const changed = new Signal();
  const counts = { past: 0, streamed: 0 };
  const isPossible = readPast(socket, {
    read(view, bytes) {
      const used = use(bytes);
      chunks.push(Buffer.from(Buffer.from(view.buffer, view.byteOffset, used)));
      counts.past += used;
      changed.fire();
      return used;
    },
  });
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    counts.streamed += chunk.length;
    changed.fire();
  });
  const all = () => Buffer.concat(chunks);
  const until = (bytes: number) => changed.until(() => counts.past + counts.streamed >= bytes);
  return { isPossible, counts, all, until };
}

const numbered = (bytes: number) => Buffer.from(Array.from({ length: bytes }, (_, i) => i & 255));

test('a reader that uses everything gets all data and the end', async () => {
  const { socket, peer } = await pair();
  const { isPossible, counts, all, until } = collect(socket, (bytes) => bytes);
  expect(isPossible).toBe(true);
  const sent = numbered(300_000);
  peer.write(sent);
  await until(sent.length);
  expect(all().equals(sent)).toBe(true);
  expect(counts).toEqual({ past: sent.length, streamed: 0 });
  expect(socket.bytesRead).toBe(sent.length);
  peer.end();
  await once(socket, 'end');
});

test('unused data reaches the stream before later data', async () => {
  for (const isInTurn of [false, true]) {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1, maxLength: 6 }),
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 6 }),
        async (sizes, shares) => {
          const { socket, peer } = await pair();
          if (isInTurn) takeTurnsAtEnd(socket);
          let reads = 0;
          const share = () => shares[reads++ % shares.length] as number;
          const { all, until } = collect(socket, (bytes) => Math.round(bytes * share()));
          const sent = numbered(sizes.reduce((sum, size) => sum + size));
          let at = 0;
          for (const size of sizes) {
            peer.write(sent.subarray(at, at + size));
            at += size;
            if (size % 3 === 0) socket.pause();
            await new Promise(setImmediate);
            socket.resume();
          }
          await until(sent.length);
          expect(all().equals(sent)).toBe(true);
          const ended = once(socket, 'end');
          peer.end();
          await ended;
          peer.destroy();
          socket.destroy();
        },
      ),
      { numRuns: 30 },
    );
  }
});

test('a read that fills the buffer is not taken for an end', async () => {
  for (const isInTurn of [false, true]) {
    const { socket, peer } = await pair();
    if (isInTurn) takeTurnsAtEnd(socket);
    socket.pause();
    const { until } = collect(socket, (bytes) => bytes);
    socket.pause();
    // Exactly one full read and nothing more: the kernel answers the next read with nothing.
    await new Promise<void>((done) => peer.write(numbered(64 * 1024), () => done()));
    let hasEnded = false;
    socket.on('end', () => {
      hasEnded = true;
    });
    socket.resume();
    await until(64 * 1024);
    for (let turn = 0; turn < 10; turn += 1) await new Promise(setImmediate);
    expect([hasEnded, socket.destroyed]).toEqual([false, false]);
    peer.write('more');
    await until(64 * 1024 + 4);
  }
});

test('a paused socket is not read past its stream either', async () => {
  const { socket, peer } = await pair();
  const { all, until } = collect(socket, () => 0);
  socket.pause();
  const sent = numbered(4 * 1024 * 1024);
  peer.write(sent);
  // Long enough that anything to be read would have been.
  for (let turn = 0; turn < 50; turn += 1) await new Promise(setImmediate);
  expect(socket.bytesRead).toBeGreaterThan(0);
  // What the stream buffers before it is full, and one read more.
  expect(socket.bytesRead).toBeLessThan(4 * 64 * 1024);
  socket.resume();
  await until(sent.length);
  expect(all().equals(sent)).toBe(true);
});

test('a lost peer is reported once', async () => {
  for (const isInTurn of [false, true]) {
    const { socket, peer } = await pair();
    if (isInTurn) takeTurnsAtEnd(socket);
    const { until } = collect(socket, (bytes) => bytes);
    peer.write('hello');
    await until(5);
    let closes = 0;
    const closed = new Promise<void>((done) => {
      socket.on('close', () => {
        closes += 1;
        done();
      });
    });
    peer.resetAndDestroy();
    await closed;
    expect(closes).toBe(1);
  }
});

test('a socket destroyed by its reader is read no more', async () => {
  const { socket, peer } = await pair();
  let reads = 0;
  readPast(socket, {
    read() {
      reads += 1;
      socket.destroy();
      return 0;
    },
  });
  socket.resume();
  const closed = once(socket, 'close');
  peer.write('hello');
  peer.write('world');
  await closed;
  expect(reads).toBe(1);
});

test('the stream reads if the handle is not as expected', async () => {
  const { socket, peer } = await pair();
  const handle = (socket as unknown as { _handle: { useUserBuffer: unknown } })._handle;
  handle.useUserBuffer = undefined;
  const { isPossible, counts, until } = collect(socket, (bytes) => bytes);
  expect(isPossible).toBe(false);
  peer.write('hello');
  await until(5);
  expect(counts).toEqual({ past: 0, streamed: 5 });
});

/** Writes past the stream: the peer gets what was written, in order, on any kind of socket. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, expect, onTestFinished, test, vi } from 'vitest';
import * as raw from '../../src/transport/raw-write.js';
import { bytesInUse } from '../support/heap.js';

const { unsentBytes } = raw;

/** More than the loopback buffers for a peer that does not read. */
const MORE_THAN_THE_KERNEL = 16 * 1024 * 1024;

interface Pair {
  readonly socket: Socket;
  readonly peer: Socket;
}

const servers = new Set<Server>();
const sockets = new Set<Socket>();
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  for (const server of servers) {
    server.close();
    await once(server, 'close');
  }
  servers.clear();
});

/** Connects `count` server sockets with peers that do not read yet. */
async function pairs(count: number, path?: string): Promise<Pair[]> {
  const server = createServer({ allowHalfOpen: true });
  servers.add(server);
  server.listen(path === undefined ? { port: 0, host: '127.0.0.1' } : { path });
  await once(server, 'listening');
  const made: Pair[] = [];
  while (made.length < count) {
    const peer =
      path === undefined
        ? connect((server.address() as AddressInfo).port, '127.0.0.1')
        : connect(path);
    const [socket] = (await once(
      server.on('error', () => {}),
      'connection',
    )) as [Socket];
    for (const end of [peer.pause(), socket]) sockets.add(end.on('error', () => {}));
    made.push({ socket, peer });
  }
  return made;
}

/** Everything the peer reads until its connection ends. */
async function everything(peer: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  peer.on('data', (chunk: Buffer) => chunks.push(chunk)).resume();
  await once(peer, 'end');
  peer.end();
  return Buffer.concat(chunks);
}

const kept = new WeakMap<Socket, raw.Handle | null>();
/** Keeps the handle of a socket, as a transport does. */
function rawWrite(
  socket: Socket,
  buffer: Buffer,
  onFlushed: () => void,
  { handleOf, rawWrite } = raw,
): boolean {
  const handle = kept.get(socket) ?? handleOf(socket);
  kept.set(socket, handle);
  return rawWrite(socket, handle, buffer, onFlushed);
}

/** Resolves when all of `buffer` was written; rejects when it never can be. */
const written = (socket: Socket, buffer: Buffer): Promise<void> =>
  new Promise((resolve, reject) => {
    const gone = () => reject(new Error('the socket closed'));
    socket.once('close', gone);
    const done = () => {
      socket.off('close', gone);
      resolve();
    };
    if (rawWrite(socket, buffer, done)) done();
  });

test('only the first write of a process goes through the stream', async () => {
  const [one, other] = (await pairs(2)) as [Pair, Pair];
  await written(one.socket, Buffer.from('learnt'));
  const [first, second] = [vi.spyOn(one.socket, 'write'), vi.spyOn(other.socket, 'write')];
  const onFlushed = vi.fn();
  expect(rawWrite(one.socket, Buffer.from(' from'), onFlushed)).toBe(true);
  expect(rawWrite(other.socket, Buffer.from('known'), onFlushed)).toBe(true);
  expect([first.mock.calls, second.mock.calls, onFlushed.mock.calls]).toEqual([[], [], []]);
  one.socket.end();
  other.socket.end();
  expect(String(await everything(one.peer))).toBe('learnt from');
  expect(String(await everything(other.peer))).toBe('known');
});

test('a write to a peer that does not read completes once the peer has read', async () => {
  const [{ socket, peer }, other] = (await pairs(2)) as [Pair, Pair];
  await written(socket, Buffer.from('.'));
  const onFlushed = vi.fn();
  expect(rawWrite(socket, Buffer.alloc(MORE_THAN_THE_KERNEL, 'a'), onFlushed)).toBe(false);
  expect(unsentBytes(socket)).toBeGreaterThan(0);
  // Later writes of the stream and of others go behind it.
  socket.write('end');
  expect(rawWrite(other.socket, Buffer.from('other'), onFlushed)).toBe(true);
  other.socket.end();
  expect(String(await everything(other.peer))).toBe('other');
  expect(onFlushed).not.toHaveBeenCalled();
  socket.end();
  const read = await everything(peer);
  expect(read.length).toBe(1 + MORE_THAN_THE_KERNEL + 3);
  expect(read.toString('latin1', read.length - 5)).toBe('aaend');
  expect(onFlushed).toHaveBeenCalledTimes(1);
  expect(unsentBytes(socket)).toBe(0);
});

test('data is kept alive until the kernel has taken it', async () => {
  const [{ socket, peer }] = (await pairs(1)) as [Pair];
  await written(socket, Buffer.from('.'));
  const write = () => {
    const batch = Buffer.alloc(MORE_THAN_THE_KERNEL, 'a');
    expect(rawWrite(socket, batch, () => {})).toBe(false);
    return new WeakRef(batch);
  };
  const batch = write();
  await bytesInUse();
  expect(unsentBytes(socket)).toBeGreaterThan(0);
  expect(batch.deref()).toBeDefined();
  socket.end();
  expect((await everything(peer)).length).toBe(1 + MORE_THAN_THE_KERNEL);
});

test.each([-32, undefined])('a write that fails (%s) destroys the socket', async (failure) => {
  const [{ socket }] = (await pairs(1)) as [Pair];
  const closed = once(socket, 'close');
  const handle = { writeQueueSize: 0, bytesWritten: 0, writeBuffer: () => failure };
  const onFlushed = vi.fn();
  expect(raw.rawWrite(socket, handle, Buffer.from('.'), onFlushed)).toBe(false);
  expect(socket.destroyed).toBe(true);
  await closed;
  expect(onFlushed).not.toHaveBeenCalled();
});

test('a peer that resets ends the wait', async () => {
  const [{ socket, peer }] = (await pairs(1)) as [Pair];
  await written(socket, Buffer.from('.'));
  const onFlushed = vi.fn(() => expect(socket.destroyed).toBe(true));
  expect(rawWrite(socket, Buffer.alloc(MORE_THAN_THE_KERNEL), onFlushed)).toBe(false);
  const closed = new Promise((resolve) => void socket.once('close', resolve));
  peer.resetAndDestroy();
  await closed;
  expect(onFlushed.mock.calls.length).toBeLessThanOrEqual(1);
});

test.each(['past its stream', 'through it'])(
  'a write to a destroyed or ended socket does nothing and does not throw, %s',
  async (way) => {
    vi.resetModules();
    const fresh = await import('../../src/transport/raw-write.js');
    const [{ socket: ended }, { socket: gone }] = (await pairs(2)) as [Pair, Pair];
    if (way === 'past its stream') rawWrite(ended, Buffer.from('learnt'), () => {}, fresh);
    ended.end();
    gone.destroy();
    for (const socket of [ended, gone]) {
      expect(rawWrite(socket, Buffer.from('late'), () => {}, fresh)).toBe(false);
    }
  },
);

test.each<[string, (pair: Pair) => unknown]>([
  ['has ended', ({ socket }) => socket.end()],
  ['is being closed', ({ socket }) => socket.destroy()],
  ['is being reset', ({ socket }) => socket.resetAndDestroy()],
  ['has closed', ({ socket }) => once(socket.destroy(), 'close')],
  [
    'is being closed with bytes on it',
    ({ socket }) => {
      rawWrite(socket, Buffer.alloc(MORE_THAN_THE_KERNEL), () => {});
      socket.destroy();
    },
  ],
  [
    'was reset by its peer',
    ({ socket, peer }) => {
      peer.resetAndDestroy();
      return new Promise((resolve) => void socket.resume().once('close', resolve));
    },
  ],
])('a handle that is kept takes nothing once its socket %s', async (_state, end) => {
  const [pair, other] = (await pairs(2)) as [Pair, Pair];
  await written(other.socket, Buffer.from('.'));
  await written(pair.socket, Buffer.from('.'));
  expect(kept.get(pair.socket)).not.toBeNull();
  await end(pair);
  // A new file may well reuse the socket's descriptor number.
  const [next] = (await pairs(1)) as [Pair];
  const onFlushed = vi.fn();
  expect(rawWrite(pair.socket, Buffer.from('late'), onFlushed)).toBe(false);
  expect(rawWrite(pair.socket, Buffer.from('later'), onFlushed)).toBe(false);
  next.socket.end('own');
  other.socket.end();
  expect(String(await everything(next.peer))).toBe('own');
  expect(String(await everything(other.peer))).toBe('.');
  expect(onFlushed).not.toHaveBeenCalled();
});

test('a first socket that never writes does not keep others from being learnt from', async () => {
  vi.resetModules();
  const fresh = await import('../../src/transport/raw-write.js');
  const [{ socket: ended }, { socket, peer }] = (await pairs(2)) as [Pair, Pair];
  ended.end();
  rawWrite(ended, Buffer.from('late'), () => {}, fresh);
  rawWrite(socket, Buffer.from('learnt '), () => {}, fresh);
  const write = vi.spyOn(socket, 'write');
  expect(rawWrite(socket, Buffer.from('after all'), () => {}, fresh)).toBe(true);
  expect(write).not.toHaveBeenCalled();
  socket.end();
  expect(String(await everything(peer))).toBe('learnt after all');
});

test.each(['unknown', 'known'])(
  'a socket of another kind is written through its stream, with TCP %s',
  async (tcp) => {
    const folder = mkdtempSync(join(tmpdir(), 'roomcast-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    vi.resetModules();
    const fresh = await import('../../src/transport/raw-write.js');
    if (tcp === 'known')
      rawWrite((await pairs(1))[0]!.socket, Buffer.from('learnt'), () => {}, fresh);
    const [{ socket, peer }] = (await pairs(1, join(folder, 'socket'))) as [Pair];
    const write = vi.spyOn(socket, 'write');
    for (const text of ['all ', 'the ', 'same']) {
      await new Promise<void>((resolve) => {
        if (rawWrite(socket, Buffer.from(text), resolve, fresh)) resolve();
      });
    }
    expect(write).toHaveBeenCalledTimes(3);
    socket.end();
    expect(String(await everything(peer))).toBe('all the same');
  },
);

test('writes to several peers arrive whole and in order per path', async () => {
  const PEERS = 3;
  const step = fc.record({
    to: fc.nat(PEERS - 1),
    size: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 5_000_000 })),
    past: fc.boolean(),
    // Whether the peer goes on reading or blocks later writes.
    reads: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const made = (await pairs(PEERS)).map(({ socket, peer }) => {
        const read: Buffer[] = [];
        peer.on('data', (chunk: Buffer) => read.push(chunk)).pause();
        return {
          socket,
          peer,
          read,
          past: [] as Buffer[],
          through: [] as Buffer[],
          last: Promise.resolve(),
        };
      });
      for (const [number, { to, size, past, reads }] of steps.entries()) {
        const pair = made[to]!;
        const bytes = Buffer.alloc(size, number);
        (past ? pair.past : pair.through).push(bytes);
        if (past) {
          // One write at a time, as the contract requires: the peer reads the pending one.
          pair.peer.resume();
          await pair.last;
        }
        if (reads) pair.peer.resume();
        else pair.peer.pause();
        if (past) pair.last = written(pair.socket, bytes);
        else pair.socket.write(bytes);
      }
      for (const { socket, peer, read, past, through, last } of made) {
        peer.resume();
        await last;
        socket.end();
        await once(peer, 'end');
        peer.end();
        const all = Buffer.concat(read);
        let at = 0;
        while (at < all.length) {
          const way = past[0]?.[0] === all[at] ? past : through;
          const next = way.shift() ?? Buffer.alloc(0);
          expect(next.length).toBeGreaterThan(0);
          expect(all.subarray(at, at + next.length).equals(next)).toBe(true);
          at += next.length;
        }
        expect([past, through]).toEqual([[], []]);
      }
    }),
    { numRuns: 30 },
  );
});

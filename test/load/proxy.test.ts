import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { expect, onTestFinished, test, vi } from 'vitest';
import { type Distance, DistanceProxy } from '../../src/load/proxy.js';

async function setUp(distance: Partial<Distance>): Promise<{ near: Socket; far: Socket }> {
  const server = createServer({ allowHalfOpen: false });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const to = { host: '127.0.0.1', port };
  const proxy = await DistanceProxy.open(to, {
    delay: 0,
    jitter: 0,
    bandwidth: 0,
    seed: 1,
    ...distance,
  });
  const arrived = once(server, 'connection');
  const near = connect(proxy.address.port, '127.0.0.1');
  near.on('error', () => {});
  const [far] = (await arrived) as [Socket];
  far.on('error', () => {});
  onTestFinished(async () => {
    await proxy.close();
    near.destroy();
    far.destroy();
    server.close();
  });
  return { near, far };
}

async function read(socket: Socket, bytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  while (length < bytes) {
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    chunks.push(chunk);
    length += chunk.length;
  }
  return Buffer.concat(chunks);
}

/** Waits until bytes in flight over the loopback have arrived. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}

test('bytes pass both ways, in order, with jitter too', async () => {
  const { near, far } = await setUp({ delay: 2, jitter: 2 });
  const sent = Buffer.from(Array.from({ length: 50_000 }, (_, i) => i % 251));
  for (let at = 0; at < sent.length; at += 777) near.write(sent.subarray(at, at + 777));
  expect((await read(far, sent.length)).equals(sent)).toBe(true);
  far.write(sent);
  expect((await read(near, sent.length)).equals(sent)).toBe(true);
});

test('bytes arrive after the delay, and not before', async () => {
  const { near, far } = await setUp({ delay: 1000 });
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  const heard: string[] = [];
  far.on('data', (bytes: Buffer) => heard.push(bytes.toString()));
  near.write('hello');
  await settle();
  vi.advanceTimersByTime(990);
  await settle();
  expect(heard).toEqual([]);
  vi.advanceTimersByTime(20);
  await settle();
  expect(heard).toEqual(['hello']);
});

test('bandwidth spreads bytes over time', async () => {
  const { near, far } = await setUp({ bandwidth: 1000 });
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  let heard = 0;
  far.on('data', (bytes: Buffer) => {
    heard += bytes.length;
  });
  for (const second of [1, 2, 3]) {
    near.write(Buffer.alloc(1000));
    await settle();
    vi.advanceTimersByTime(990);
    await settle();
    expect(heard).toBe((second - 1) * 1000);
    vi.advanceTimersByTime(20);
    await settle();
    expect(heard).toBe(second * 1000);
  }
});

test('it buffers little: a receiver that does not read stops the sender', async () => {
  const { near, far } = await setUp({ delay: 1 });
  far.pause();
  const size = 32 * 1024 * 1024;
  near.write(Buffer.alloc(size));
  let last = -1;
  while (near.bytesWritten - near.writableLength !== last) {
    last = near.bytesWritten - near.writableLength;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  expect(near.writableLength).toBeGreaterThan(0);
  far.resume();
  await read(far, size);
});

test('an end passes through, and so does a reset', async () => {
  const ended = await setUp({ delay: 1 });
  ended.near.end('bye');
  ended.far.resume();
  await once(ended.far, 'close');

  const reset = await setUp({ delay: 1 });
  reset.near.resetAndDestroy();
  const [error] = (await once(reset.far, 'error')) as [NodeJS.ErrnoException];
  expect(error.code).toBe('ECONNRESET');
});

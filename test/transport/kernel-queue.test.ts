/** Unacknowledged bytes of connections, from the kernel's own table and from a fake one. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { platform, tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { KernelQueues } from '../../src/transport/kernel-queue.js';
import { Loop } from '../support/loop.js';
import { Signal } from '../support/signal.js';
import { freezeClocks } from '../support/virtual.js';

/** Reads as often as allowed. */
const SOON = () => 1000;

async function pair(host: string): Promise<{ ours: Socket; peer: Socket }> {
  const server = createServer();
  server.listen(0, host);
  await once(server, 'listening');
  const peer = connect((server.address() as AddressInfo).port, host).pause();
  const [ours] = (await once(server, 'connection')) as [Socket];
  onTestFinished(() => {
    peer.destroy();
    ours.destroy();
    server.close();
  });
  return { ours, peer };
}

function ask(queues: KernelQueues, socket: Socket): Promise<number> {
  onTestFinished(() => queues.close());
  return new Promise((resolve) => {
    queues.ask({ socket, reading: () => {}, unacknowledged: resolve });
  });
}

test.runIf(platform() === 'linux').each(['127.0.0.1', '::1'])(
  'for a peer at %s that reads nothing the kernel holds bytes, for one that has read all, none',
  async (host) => {
    const { ours, peer } = await pair(host);
    expect(await ask(new KernelQueues(SOON), ours)).toBe(0);
    ours.write(Buffer.alloc(16 * 1024 * 1024));
    expect(await ask(new KernelQueues(SOON), ours)).toBeGreaterThan(100_000);
    peer.resume();
    await once(ours, 'drain');
    while (peer.bytesRead < 16 * 1024 * 1024) await once(peer, 'data');
    expect(await ask(new KernelQueues(SOON), ours)).toBe(0);
  },
);

test('a missing table gives no answers, the next one still does', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tables-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const { ours } = await pair('127.0.0.1');
  const port = (value = 0) => value.toString(16).toUpperCase().padStart(4, '0');
  const key = `0100007F:${port(ours.localPort)} 0100007F:${port(ours.remotePort)}`;
  const table = join(folder, 'tcp');
  writeFileSync(
    table,
    `  sl  local_address rem_address   st tx_queue rx_queue\n   0: ${key} 01 0000002A:00000000 00:0\n`,
  );
  expect(await ask(new KernelQueues(SOON, [join(folder, 'none'), table]), ours)).toBe(42);
});

test('thousands of askers are notified in parts, each before the table is read', async () => {
  freezeClocks();
  const loop = new Loop();
  onTestFinished(() => {
    loop.restore();
    vi.useRealTimers();
  });
  const folder = mkdtempSync(join(tmpdir(), 'tables-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const table = join(folder, 'tcp');
  const count = 2000;
  const hex = (n: number) => n.toString(16).toUpperCase().padStart(4, '0');
  const lines = Array.from(
    { length: count },
    (_, n) => `   ${n}: 0100007F:0050 0100007F:${hex(n)} 01 ${hex(0)}${hex(n)}:00000000 00:0\n`,
  );
  writeFileSync(table, `  sl  local_address rem_address   st tx_queue rx_queue\n${lines.join('')}`);

  let isAddressNeeded = true;
  let told = 0;
  const answers: number[] = [];
  const all = new Signal();
  const queues = new KernelQueues(SOON, [table]);
  onTestFinished(() => queues.close());
  for (let n = 0; n < count; n += 1) {
    const address = (value: unknown) => {
      if (!isAddressNeeded) throw new Error('asked of the kernel when the table is read');
      return value;
    };
    const socket = {
      localPort: 80,
      remotePort: n,
      get localAddress() {
        return address('127.0.0.1');
      },
      get remoteAddress() {
        return address('127.0.0.1');
      },
    } as unknown as Socket;
    queues.ask({
      socket,
      reading: () => {
        expect(answers).toHaveLength(0);
        told += 1;
      },
      unacknowledged: (bytes) => {
        answers.push(bytes);
        if (answers.length === count) all.fire();
      },
    });
  }
  isAddressNeeded = false;
  await vi.advanceTimersByTimeAsync(1000);
  let turns = 1;
  for (let before = 0; told < count; turns += 1) {
    expect(told - before).toBeLessThanOrEqual(256);
    before = told;
    loop.turn();
    await vi.advanceTimersByTimeAsync(0);
  }
  expect(turns).toBe(Math.ceil(count / 256));
  await all.until(() => answers.length === count);
  expect(answers).toEqual(Array.from({ length: count }, (_, n) => n));
});

test('the table is read ten times per stall timeout, at intervals of 1 to 5 s', async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const socket = { localAddress: '127.0.0.1', remoteAddress: '127.0.0.1' } as unknown as Socket;
  for (const [patienceMs, intervalMs] of [
    [2000, 1000],
    [30_000, 3000],
    [600_000, 5000],
  ] as const) {
    const queues = new KernelQueues(() => patienceMs, []);
    onTestFinished(() => queues.close());
    let readings = 0;
    const asker = { socket, reading: () => (readings += 1), unacknowledged: () => {} };
    for (let ms = 0; ms < 2.5 * intervalMs; ms += 100) {
      queues.ask(asker);
      await vi.advanceTimersByTimeAsync(100);
    }
    expect([patienceMs, readings]).toEqual([patienceMs, 3]);
  }
});

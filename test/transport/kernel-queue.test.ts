/** What the kernel says of connections, from its own table and from one of paper. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { platform, tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { KernelQueues } from '../../src/transport/kernel-queue.js';

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
  'of a peer at %s that reads nothing the kernel holds bytes, of one that has read all, none',
  async (host) => {
    const { ours, peer } = await pair(host);
    expect(await ask(new KernelQueues(), ours)).toBe(0);
    ours.write(Buffer.alloc(16 * 1024 * 1024));
    expect(await ask(new KernelQueues(), ours)).toBeGreaterThan(100_000);
    peer.resume();
    await once(ours, 'drain');
    while (peer.bytesRead < 16 * 1024 * 1024) await once(peer, 'data');
    expect(await ask(new KernelQueues(), ours)).toBe(0);
  },
);

test('a table that is not there tells nobody anything, the next one still does', async () => {
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
  expect(await ask(new KernelQueues([join(folder, 'none'), table]), ours)).toBe(42);
});

/** Connections that end together are ended in slices, each as Node would do it. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { PER_TURN, takeTurnsAtEnd } from '../../src/transport/socket-ends.js';

/** Connections with both sockets, as an HTTP server has them. */
async function open(count: number): Promise<{ ours: Socket; theirs: Socket }[]> {
  const accepted: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {}).resume();
    takeTurnsAtEnd(socket);
    accepted.push(socket);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const dialled = await Promise.all(
    Array.from({ length: count }, async () => {
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      await once(
        socket.on('error', () => {}),
        'connect',
      );
      return socket;
    }),
  );
  while (accepted.length < count) await new Promise(setImmediate);
  onTestFinished(() => {
    for (const socket of [...dialled, ...accepted]) socket.destroy();
    server.close();
  });
  const byPort = new Map(accepted.map((socket) => [socket.remotePort, socket]));
  return dialled.map((theirs) => ({ theirs, ours: byPort.get(theirs.localPort) as Socket }));
}

test('connections lost together are ended in slices over several event loop turns', async () => {
  const count = 10 * PER_TURN;
  const all = await open(count);
  for (const { theirs } of all) theirs.resetAndDestroy();
  const ended = () => all.filter(({ ours }) => ours.destroyed).length;
  const parts: number[] = [];
  while (ended() < count) {
    const before = ended();
    await new Promise(setImmediate);
    parts.push(ended() - before);
  }
  // Some at once, and the rest in later turns.
  expect(Math.max(...parts)).toBeLessThanOrEqual(2 * PER_TURN);
});

test('so are those whose peers have ended their side', async () => {
  const count = 10 * PER_TURN;
  const all = await open(count);
  let ended = 0;
  for (const { ours, theirs } of all) {
    ours.on('end', () => {
      ended += 1;
    });
    theirs.end();
  }
  const parts: number[] = [];
  while (ended < count) {
    const before = ended;
    await new Promise(setImmediate);
    parts.push(ended - before);
  }
  expect(Math.max(...parts)).toBeLessThanOrEqual(2 * PER_TURN);
});

test('input of a peer that ended its side was read, and it can still be written to', async () => {
  const [{ ours, theirs }] = (await open(1)) as [{ ours: Socket; theirs: Socket }];
  const said: string[] = [];
  ours.on('data', (chunk) => said.push(String(chunk)));
  theirs.end('last words');
  await once(ours, 'end');
  expect([said, ours.destroyed]).toEqual([['last words'], false]);
  const closed = once(ours, 'close');
  ours.end('heard');
  const [answer] = await once(theirs, 'data');
  expect(String(answer)).toBe('heard');
  await closed;
});

test('a lost one is destroyed without an end event', async () => {
  const [{ ours, theirs }] = (await open(1)) as [{ ours: Socket; theirs: Socket }];
  let hasEnded = false;
  ours.on('end', () => {
    hasEnded = true;
  });
  theirs.resetAndDestroy();
  await once(ours, 'close');
  expect(hasEnded).toBe(false);
});

test('one that was destroyed while it waited stays so', async () => {
  const all = await open(4 * PER_TURN);
  for (const { ours, theirs } of all) {
    ours.on('end', () => ours.destroy());
    theirs.end();
  }
  while (!all.some(({ ours }) => ours.destroyed)) await new Promise(setImmediate);
  for (const { ours } of all) ours.destroy();
  await Promise.all(all.map(({ ours }) => ours.closed || once(ours, 'close')));
});

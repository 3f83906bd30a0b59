/**
 * Shutdown as an operator sees it: SIGTERM with 450 members, with members that have stopped reading, and
 * with upgrades that arrive during the drain.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { serveProcess } from '../support/process.js';
import { Signal } from '../support/signal.js';

const READING = 450;
const STALLED = 50;
/** More than the kernel buffers for a loopback peer that never reads, about 4 MB. */
const FLOOD_BYTES = 8 * 1024 * 1024;
const MESSAGE_BYTES = 32 * 1024;

interface Peer {
  readonly socket: WebSocket;
  readonly events: Record<string, unknown>[];
}

async function join(url: string, room: string, changed: Signal): Promise<Peer> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`);
  const peer: Peer = { socket, events: [] };
  socket.on('message', (data) => {
    peer.events.push(JSON.parse(data.toString()));
    changed.fire();
  });
  socket.on('close', (code) => {
    peer.events.push({ type: 'closed', code });
    changed.fire();
  });
  // A connection reset is an expected end of a stalled peer.
  socket.on('error', () => {});
  await once(socket, 'open');
  socket.send(JSON.stringify({ type: 'join', id: 1, room }));
  await changed.until(() => peer.events.some(({ type }) => type === 'joined'));
  return peer;
}

async function publish(url: string, room: string, bytes: number): Promise<void> {
  const response = await fetch(`${url}/v1/rooms/${room}/messages`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ data: 'x'.repeat(bytes) }),
  });
  expect(response.status).toBe(200);
}

/** Sends the first half of an upgrade; `finish` sends the rest and resolves with the response. */
async function halfUpgrade(url: string): Promise<{ finish(): Promise<string> }> {
  const { port } = new URL(url);
  const socket: Socket = connect(Number(port), '127.0.0.1');
  await once(socket, 'connect');
  socket.write('GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n');
  return {
    async finish() {
      let answer = '';
      socket.on('data', (data) => {
        answer += data;
      });
      // It may be reset once answered.
      const closed = new Promise((resolve) => socket.on('error', resolve).on('close', resolve));
      socket.write(
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
      );
      await closed;
      return answer;
    },
  };
}

/** A server that drains for 500 ms and evicts nobody before, however slow the machine is. */
const draining = (graceMs: number) =>
  serveProcess(
    ...['--shutdown-grace-ms', `${graceMs}`, '--lame-duck-ms', '0', '--drain-ms', '500'],
    ...['--join-rate', '0', '--stall-after-ms', '600000', '--heartbeat-ms', '600000'],
  );

async function joinAll(count: number, url: string, room: string, changed: Signal): Promise<Peer[]> {
  const peers: Peer[] = [];
  for (let i = 0; i < count; i += 1) peers.push(await join(url, room, changed));
  return peers;
}

/** Waits until each has a message, and has been told to reconnect, later, and closed. */
async function expectTold(peers: readonly Peer[], changed: Signal): Promise<void> {
  await changed.until(() => peers.every(({ events }) => events.at(-1)?.['type'] === 'closed'));
  for (const { events } of peers) {
    expect(events.some(({ type }) => type === 'message')).toBe(true);
    expect(events.at(-2)).toMatchObject({ type: 'closing', code: 4200 });
    expect(events.at(-2)?.['retryAfterMs']).toBeGreaterThanOrEqual(1000);
    expect(events.at(-1)).toEqual({ type: 'closed', code: 4200 });
  }
}

test('SIGTERM drains 450 members, and exits with 0 once they have confirmed', async () => {
  // Time for any machine: it ends before.
  const server = await draining(100_000);
  const { url } = server;
  const changed = new Signal();
  const reading = await joinAll(READING, url, 'reading', changed);
  const upgrades = [await halfUpgrade(url), await halfUpgrade(url)];
  // After this answer the server has read both halves.
  await publish(url, 'reading', 100);

  server.child.kill('SIGTERM');
  await server.line('closing; a second signal ends it now');
  const answers = await Promise.all(upgrades.map((upgrade) => upgrade.finish()));
  for (const answer of answers) {
    expect(answer).toMatch(/^HTTP\/1.1 101 /);
    expect(answer).toContain('"type":"closing","code":4200');
  }
  await expectTold(reading, changed);
  expect(await server.exited).toBe(0);
  // A client that connects between the signal and the drain becomes a member, and is drained like the
  // others.
  const late = answers.filter((answer) => answer.includes('"type":"welcome"')).length;
  expect(server.log.at(-1)).toMatchObject({ drained: READING + late, abandoned: 0 });
  expect(server.log.map(({ msg }) => msg)).not.toContain('ended with resources still open');
}, 120_000);

test('SIGTERM resets members that do not read, tells the others, and exits with 0', async () => {
  // Time for a busy machine to tell ten members.
  const server = await draining(6000);
  const { url } = server;
  const changed = new Signal();
  const stalled = await joinAll(STALLED, url, 'stalled', changed);
  const reading = await joinAll(10, url, 'reading', changed);
  for (const { socket } of stalled) socket.pause();
  for (let sent = 0; sent < FLOOD_BYTES; sent += MESSAGE_BYTES) {
    await publish(url, 'stalled', MESSAGE_BYTES);
  }
  await publish(url, 'reading', 100);

  server.child.kill('SIGTERM');
  await expectTold(reading, changed);
  expect(await server.exited).toBe(0);
  expect(server.log.at(-1)).toMatchObject({ abandoned: STALLED });
  expect(server.log.map(({ msg }) => msg)).not.toContain('ended with resources still open');
  for (const { socket } of stalled) socket.terminate();
}, 120_000);

test('a second signal ends the process at once', async () => {
  const server = await serveProcess('--shutdown-grace-ms', '60000', '--drain-ms', '60000');
  const peer = await join(server.url, 'r', new Signal());
  server.child.kill('SIGTERM');
  await server.line('closing; a second signal ends it now');
  server.child.kill('SIGTERM');
  expect(await server.exited).toBe(143);
  peer.socket.terminate();
});

test('/readyz answers 503 from the start until the last member has left, over new connections too', async () => {
  const server = await serveProcess('--lame-duck-ms', '2000', '--drain-ms', '0');
  const ready = async () => {
    const headers = { connection: 'close' };
    return (await fetch(`${server.url}/readyz`, { headers })).status;
  };
  // A peer that does not answer the close delays the end of the drain.
  const peer = await join(server.url, 'r', new Signal());
  expect(await ready()).toBe(200);
  server.child.kill('SIGTERM');
  await server.line('closing; a second signal ends it now');
  expect(await ready()).toBe(503);
  // It continues while nothing else has changed.
  const late = await join(server.url, 'r', new Signal());
  peer.socket.pause();
  await new Promise((resolve) => late.socket.once('close', resolve));
  expect(await ready()).toBe(503);
  peer.socket.terminate();
  expect(await server.exited).toBe(0);
}, 60_000);

test('a request half sent at SIGTERM is answered', async () => {
  const server = await serveProcess('--lame-duck-ms', '0', '--drain-ms', '0');
  const { port } = new URL(server.url);
  const socket = connect(Number(port), '127.0.0.1');
  await once(socket, 'connect');
  socket.on('error', () => {});
  const head = `POST /v1/rooms/r/messages HTTP/1.1\r\nHost: localhost:${port}\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n`;
  socket.write(`${head}{"dat`);
  // After this answer the server has read it.
  await publish(server.url, 'r', 1);
  server.child.kill('SIGTERM');
  await server.line('closing; a second signal ends it now');
  socket.write('a":1}');
  const [answer] = await once(socket, 'data');
  expect(String(answer)).toMatch(/^HTTP\/1.1 (200|503) /);
  socket.destroy();
  expect(await server.exited).toBe(0);
});

test('a poller is told of the shutdown at its next poll, and delays nothing', async () => {
  const server = await serveProcess('--lame-duck-ms', '0', '--drain-ms', '0');
  const poll = async () => {
    const answer = await fetch(`${server.url}/sockjs/0/poller/xhr`, { method: 'POST' });
    return answer.text();
  };
  expect(await poll()).toBe('o\n');
  expect(await poll()).toContain('welcome');
  server.child.kill('SIGTERM');
  await server.line('closing; a second signal ends it now');
  expect(await poll()).toContain('4200');
  expect(await poll()).toMatch(/^c\[4200,/);
  expect(await server.exited).toBe(0);
  expect(server.log.at(-1)).toMatchObject({ drained: 1, abandoned: 0, unconfirmed: 0 });
});

test('the report and what the members have read agree to the message', async () => {
  const READING = 40;
  const SLOW = 5;
  const DEAF = 5;
  const MESSAGES = 60;
  const BYTES = 40_000;
  const server = await serveProcess(
    ...['--lame-duck-ms', '0', '--drain-ms', '200', '--shutdown-grace-ms', '12000'],
    ...['--queue-bytes', '20000000', '--room-backlog-bytes', '20000000'],
  );
  const changed = new Signal();
  const peers: Peer[] = [];
  for (let n = 0; n < READING + SLOW + DEAF; n += 1) {
    peers.push(await join(server.url, 'r', changed));
  }
  const slow = peers.slice(READING, READING + SLOW);
  const deaf = peers.slice(READING + SLOW);
  for (const { socket } of [...slow, ...deaf]) socket.pause();
  for (let n = 0; n < MESSAGES; n += 1) await publish(server.url, 'r', BYTES);
  const messages = ({ events }: Peer) => events.filter(({ type }) => type === 'message').length;
  await changed.until(() => peers.slice(0, READING).every((peer) => messages(peer) === MESSAGES));
  server.child.kill('SIGTERM');
  await server.line('closing; a second signal ends it now');
  // About a megabyte a second each, for a second.
  const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  for (const end = performance.now() + 1000; performance.now() < end; ) {
    for (const { socket } of slow) socket.resume();
    await sleep(5);
    for (const { socket } of slow) socket.pause();
    await sleep(35);
  }
  // Then all that is left, long before the grace is over.
  for (const { socket } of slow) socket.resume();
  await changed.until(() => slow.every(({ events }) => events.at(-1)?.['type'] === 'closed'));
  for (const peer of slow) {
    expect([messages(peer), peer.events.at(-1)?.['code']]).toEqual([MESSAGES, 4200]);
  }
  expect(await server.exited).toBe(0);
  const report = server.log.at(-1) as Record<string, number>;
  expect(report).toMatchObject({ drained: READING + SLOW });
  const lost = (report['messages'] as number) + (report['unconfirmedMessages'] as number);
  expect(lost).toBe(DEAF * MESSAGES);
  for (const { socket } of peers) socket.terminate();
}, 120_000);

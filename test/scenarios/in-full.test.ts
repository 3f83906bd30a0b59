/**
 * Tests that need minutes in full, shortened by default. In full, with the default options:
 *
 *     npm run build && ROOMCAST_TEST_FULL=1 npx vitest run test/scenarios/in-full.test.ts
 *
 * V7: the report of a shutdown and the counts of its members agree to the message. V13: a member that
 * steadily reads a little keeps its connection, and one that reads nothing does not, whatever is
 * buffered in the kernel.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { apiOf } from '../support/api.js';
import { serveProcess } from '../support/process.js';
import { frame } from '../support/raw-websocket.js';
import { Signal } from '../support/signal.js';

const isFull = process.env['ROOMCAST_TEST_FULL'] !== undefined;
const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** A member that counts its messages. `bytesPerSecond`: its reading rate. */
class Counting {
  messages = 0;
  code = 0;
  readonly #socket: WebSocket;
  readonly #changed: Signal;

  constructor(
    url: string,
    room: string,
    changed: Signal,
    bytesPerSecond = Number.POSITIVE_INFINITY,
  ) {
    this.#changed = changed;
    const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`);
    this.#socket = socket;
    let budget = bytesPerSecond / 20;
    socket.on('open', () => socket.send(JSON.stringify({ type: 'join', id: 1, room })));
    socket.on('message', (data: Buffer) => {
      const { type } = JSON.parse(String(data)) as { type: string };
      if (type === 'message') this.messages += 1;
      if (type === 'joined') this.hasJoined = true;
      if (type === 'gap') this.hasGap = true;
      changed.fire();
      budget -= data.length;
      if (budget > 0) return;
      budget = bytesPerSecond / 20;
      socket.pause();
      setTimeout(() => socket.resume(), 50);
    });
    socket.on('close', (code) => {
      this.code = code;
      changed.fire();
    });
    socket.on('error', () => {});
    onTestFinished(() => socket.terminate());
  }

  hasJoined = false;
  hasGap = false;

  /** Stops reading. */
  stall(): void {
    this.#socket.pause();
  }

  /** Reads everything left in the kernel. */
  async end(): Promise<void> {
    this.#socket.resume();
    await this.#changed.until(() => this.code !== 0);
  }
}

// Beside another test file it failed once in three runs, for an unknown reason: run it by itself.
test.runIf(isFull)(
  'SIGTERM: the report and the counts of the members agree to the message',
  async () => {
    const [all, slow, stalled] = isFull ? [500, 50, 50] : [60, 6, 6];
    const server = await serveProcess(
      ...['--lame-duck-ms', '0', '--drain-ms', '500', '--join-rate', '0'],
      // Nothing is dropped, and no member leaves before the end.
      ...[
        '--queue-messages',
        '100000',
        '--queue-bytes',
        '1073741824',
        '--room-backlog-bytes',
        '1073741824',
      ],
      ...[
        '--queue-bytes-total',
        '2147483648',
        '--stall-after-ms',
        '600000',
        '--heartbeat-ms',
        '600000',
      ],
      ...(isFull ? [] : ['--shutdown-grace-ms', '4000']),
    );
    const changed = new Signal();
    const of = (count: number, bytesPerSecond?: number) =>
      Array.from({ length: count }, () => new Counting(server.url, 'all', changed, bytesPerSecond));
    const reading = of(all - slow - stalled);
    const members = [...reading, ...of(slow, 1_000_000), ...of(stalled)];
    await changed.until(() => members.every(({ hasJoined }) => hasJoined));
    for (const member of members.slice(-stalled)) member.stall();
    const api = apiOf(server.url);
    // More than the kernel buffers for a stalled member, and than a slow one reads within the grace
    // period.
    const count = 800;
    for (let sent = 0; sent < count; sent += 40) {
      await api.publish('all', Array<string>(40).fill('x'.repeat(16_384)));
    }
    server.child.kill('SIGTERM');
    expect(await server.exited).toBe(0);
    await Promise.all(members.map((member) => member.end()));

    const report = server.log.at(-1) as Record<string, number>;
    const { drained = 0, abandoned = 0, messages = 0, unconfirmedMessages = 0 } = report;
    const read = members.reduce((sum, each) => sum + each.messages, 0);
    const complete = members.filter((each) => each.messages === count);
    const lost = all * count - read;
    console.log({ isFull, all, count, read, complete: complete.length, lost, ...report });
    expect(members.filter(({ hasGap }) => hasGap)).toEqual([]);
    expect(reading.filter((each) => each.messages !== count || each.code !== 4200)).toEqual([]);
    // Members reported as drained received everything, and everything unread is accounted for.
    expect(complete.length).toBeGreaterThanOrEqual(drained);
    expect(drained).toBeGreaterThanOrEqual(reading.length);
    expect(abandoned).toBeGreaterThanOrEqual(stalled);
    expect(lost).toBeGreaterThanOrEqual(messages);
    expect(lost).toBeLessThanOrEqual(messages + unconfirmedMessages);
  },
  180_000,
);

/** A server that publishes more than the member reads, and a member that reads as told. */
async function flooded(...args: string[]) {
  const server = await serveProcess('--publish-rate', '0', ...args);
  const socket: Socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  let endedAt = 0;
  socket.on('error', () => {});
  socket.on('close', () => {
    endedAt = performance.now();
  });
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  socket.write(
    'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  await once(socket, 'readable');
  socket.write(frame('{"type":"join","id":1,"room":"a"}'));
  const api = apiOf(server.url);
  await api.until((scrape) => scrape.sum('rooms') === 1);
  return {
    api,
    socket,
    publish: () => api.publish('a', Array<string>(40).fill('x'.repeat(16_384))),
    get endedAt() {
      return endedAt;
    },
  };
}

// On loopback the kernel reports free space again once it has 64 KiB.
const steadyBytes = isFull ? 1024 : 8192;

test('a member that reads 16 KiB a second, in short 128, keeps its connection', async () => {
  const forMs = isFull ? 120_000 : 12_000;
  const member = await flooded(
    ...(isFull ? [] : ['--stall-after-ms', '4000', '--heartbeat-ms', '4000']),
  );
  const { socket } = member;
  const started = performance.now();
  let read = 0;
  let longest = 0;
  let last = started;
  let published = 0;
  while (performance.now() - started < forMs && member.endedAt === 0) {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    read +=
      (socket.read(Math.min(steadyBytes, socket.readableLength)) as Buffer | null)?.length ?? 0;
    if (now - started > published * 500) {
      published += 1;
      await member.publish();
    }
    await sleep(Math.max(0, 62 - (performance.now() - now)));
  }
  console.log({ isFull, read, seconds: (performance.now() - started) / 1000, longest });
  expect(member.endedAt).toBe(0);
  const scrape = await member.api.scrape();
  expect([scrape.sum('members'), scrape.sum('evictions_total')]).toEqual([1, 0]);
}, 180_000);

test('a member that reads nothing is evicted in time, with megabytes buffered for it in the kernel', async () => {
  const stallAfterMs = isFull ? 30_000 : 3000;
  const member = await flooded(...(isFull ? [] : ['--stall-after-ms', '3000']));
  const started = performance.now();
  const evicted = () =>
    member.api.until((scrape) => scrape.sum('evictions_total', { reason: 'slow_consumer' }) === 1);
  await member.publish();
  const publishing = setInterval(() => void member.publish().catch(() => {}), 200);
  onTestFinished(() => clearInterval(publishing));
  await evicted();
  const ms = performance.now() - started;
  console.log({ isFull, stallAfterMs, ms });
  // Times are only checked on an otherwise idle machine.
  if (isFull) expect(ms).toBeLessThan(stallAfterMs + 2000);
}, 120_000);

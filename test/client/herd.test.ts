/**
 * Many clients of one server that restarts, in a process of its own. All reconnect, and none loops
 * through refusals. From 1,000 clients on, all must be back within a minute, and no tenth of a second
 * may have more than three times the mean of handshakes, by the times that the clients chose. A single
 * process that runs all clients may start them late and in bursts; the actual times are printed as well.
 * Run `CLIENT_HERD=5000` on an otherwise idle machine.
 */
import { expect, it, onTestFinished, vi } from 'vitest';
import { WebSocket } from 'ws';
import { type Client, connect } from '../../client/src/index.js';
import { run } from '../support/process.js';

const HERD = Number(process.env['CLIENT_HERD'] ?? 100);
/** With few clients, chance and the delays of a busy machine outweigh the clients' own behaviour. */
const IS_LARGE = HERD >= 1000;
const BUCKET_MS = 100;

async function start(port: string) {
  const quick = IS_LARGE ? [] : ['--lame-duck-ms', '0', '--drain-ms', '500'];
  const server = run(['serve', '--port', port, ...quick]);
  const { url } = await server.line('serving');
  return { server, url: String(url) };
}

/**
 * Number of handshakes in each tenth of a second from the first on. The last hundredth is ignored, since
 * a few late ones would lower the mean of all others.
 */
function perBucket(all: readonly number[]) {
  const times = [...all].sort((a, b) => a - b).slice(0, Math.ceil(all.length * 0.99));
  const [begin] = times as [number];
  const buckets: number[] = [];
  for (const at of times) {
    const bucket = Math.floor((at - begin) / BUCKET_MS);
    buckets[bucket] = (buckets[bucket] ?? 0) + 1;
  }
  const most = Math.max(...Array.from(buckets, (count = 0) => count));
  return { mean: times.length / buckets.length, most, buckets: buckets.join() };
}

it(`of ${HERD} reconnects evenly`, { timeout: 300_000 }, async () => {
  const first = await start('0');
  /** Actual and scheduled start times of the handshakes. */
  const handshakes: number[] = [];
  const due: number[] = [];
  const open = (url: string) => {
    handshakes.push(Date.now());
    return new WebSocket(url);
  };
  const reasons = new Map<unknown, number>();
  const clients: Client[] = [];
  onTestFinished(async () => {
    await Promise.all(clients.map((client) => client.close()));
  });
  const areOnline = () =>
    vi.waitFor(() => expect(clients.filter(({ state }) => state !== 'online').length).toBe(0), {
      timeout: 120_000,
      interval: 50,
    });
  for (let n = 0; n < HERD; n += 1) {
    const client = connect(`${first.url.replace('http', 'ws')}/ws`, {
      WebSocket: open,
      lifecycle: false,
    });
    client.on('state', ({ reason, retryInMs }) => {
      if (retryInMs !== undefined) due.push(Date.now() + retryInMs);
      if (reason) reasons.set(reason.code, (reasons.get(reason.code) ?? 0) + 1);
    });
    client.on('error', () => {});
    clients.push(client);
    // The test is about reconnecting, not about how fast one process opens sockets.
    if (n % 100 === 99) await areOnline();
  }
  await areOnline();
  handshakes.length = due.length = 0;
  const toldAt = Date.now();
  first.server.child.kill('SIGTERM');
  await first.server.exited;
  await start(new URL(first.url).port);
  await areOnline();
  const took = Date.now() - toldAt;
  expect(reasons.has(4100)).toBe(false);
  // Some are told twice, since the closing server does not accept them again.
  expect(reasons.get(4200)).toBeGreaterThanOrEqual(HERD);
  expect(reasons.get(4200)).toBeLessThan(2 * HERD);
  if (!IS_LARGE) return;
  const chosen = perBucket(due);
  console.log({
    took,
    reasons,
    handshakes: handshakes.length,
    chosen,
    done: perBucket(handshakes),
  });
  expect(took).toBeLessThan(60_000);
  expect(handshakes.length).toBeLessThan(3 * HERD);
  expect(chosen.most).toBeLessThanOrEqual(3 * chosen.mean);
});

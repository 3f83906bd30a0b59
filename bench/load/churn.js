/**
 * Joins and leaves at a steady rate while others fill the room. Runs as a process of its own beside
 * `fanout.js`, so that 9,000 reads do not delay its clock. Speaks only roomcast's protocol.
 *
 * @typedef {{ port: number, room: string, perSecond: number, warm: number, seconds: number }} Plan
 *   `warm`: seconds before `seconds` that are not counted
 * @typedef {{ joins: number, joinP50Ms: number, joinP99Ms: number, joinMaxMs: number, cores: number }} Result
 *   `cores`: CPU that this process used
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { Latency } from '../../dist/load/measure/latency.js';

const STAY_MS = 1000;

/** @param {Plan} plan @returns {Promise<Result>} */
async function run({ port, room, perSecond, warm, seconds }) {
  const latency = new Latency();
  const askedAt = new Map();

  /** @param {import('ws').RawData} data */
  const onMessage = (data) => {
    const text = data.toString();
    if (text.startsWith('{"type":"message"')) return;
    const event = JSON.parse(text);
    if (event.type === 'error') throw new Error(text);
    if (event.type !== 'joined') return;
    const asked = askedAt.get(event.id);
    if (asked >= counted) latency.record((performance.now() - asked) * 1000);
    askedAt.delete(event.id);
  };

  // Twice as many sockets as are in the room at a time: each joins again only after it has left.
  const sockets = await Promise.all(
    Array.from({ length: (perSecond * STAY_MS * 2) / 1000 }, async () => {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`).on('message', onMessage);
      await once(socket, 'open');
      return socket;
    }),
  );

  let joins = 0;
  const began = performance.now();
  // Until then the code of this process is not compiled, and it has just opened its connections.
  const counted = began + warm * 1000;
  const cpu = process.cpuUsage();
  const timer = setInterval(() => {
    for (const due = ((performance.now() - began) * perSecond) / 1000; joins < due; joins++) {
      const socket = /** @type {WebSocket} */ (sockets[joins % sockets.length]);
      askedAt.set(joins, performance.now());
      socket.send(JSON.stringify({ type: 'join', id: joins, room }));
      setTimeout(() => socket.send(JSON.stringify({ type: 'leave', room })), STAY_MS);
    }
  }, 1);
  await sleep((warm + seconds) * 1000);
  clearInterval(timer);
  const { user, system } = process.cpuUsage(cpu);
  const cores = (user + system) / 1000 / (performance.now() - began);
  await sleep(2 * STAY_MS);
  if (askedAt.size > 0) throw new Error(`${askedAt.size} of ${joins} joins had no answer`);
  const { p50, p99, max } = latency.quantiles();
  return {
    joins: latency.count,
    joinP50Ms: (p50 ?? 0) / 1000,
    joinP99Ms: (p99 ?? 0) / 1000,
    joinMaxMs: (max ?? 0) / 1000,
    cores,
  };
}

process.once('message', async (/** @type {Plan} */ plan) => {
  const result = await run(plan);
  process.send?.(result, () => process.exit());
});

/**
 * Members that rejoin, at a steady rate, a room whose messages they have all missed, while others are in
 * another room. Runs as a process of its own beside `fanout.js`. Speaks only roomcast's protocol.
 *
 * @typedef {object} Plan
 * @property {number} port
 * @property {number} pid of the server, whose memory is read from /proc
 * @property {number} members
 * @property {number} messages that each has missed
 * @property {number} size bytes of their data
 * @property {number} over seconds from the first join to the last
 * @property {boolean} reading members join with a position; without it nothing is replayed
 * @typedef {object} Result
 * @property {number} recovered members that received all messages, in order
 * @property {number} recoverSeconds from the first join to the last message
 * @property {number} recoverP99Ms from a member's join to its last message
 * @property {number} leftMiB memory growth of the server, once it has released the replayed messages
 * @property {number} cores CPU that this process used
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { residentMiB } from '../process.js';
import { Arrivals } from './arrivals.js';
import { MARKER, markedData } from './frames.js';
import { usageOf } from './usage.js';

const ROOM = 'missed:0000';
/** The server keeps pages for 5 s after their last use, and collects garbage at some later time. */
const RELEASE_MS = 12_000;

/** @param {Plan} plan @returns {Promise<Result>} */
async function run({ port, pid, members: count, messages, size, over, reading }) {
  const epoch = await publish(port, messages, size);
  const arrivals = new Arrivals(count);
  let disordered = 0;
  const areComing = await arrivals.gather(port, (member, numbers, read) => {
    for (let i = 0; i < read; i += 1) {
      if (numbers[i] !== member.last + 1) disordered += 1;
      member.last = /** @type {number} */ (numbers[i]);
    }
    if (read > 0 && member.last === messages - 1) arrivals.has(member);
  });

  const before = residentMiB(pid);
  const since = reading ? { epoch, seq: 0 } : undefined;
  const join = JSON.stringify({ type: 'join', room: ROOM, since });
  const used = usageOf(pid);
  const began = performance.now();
  if (areComing) await arrivals.come(over, () => [join]);
  const { loadCores } = used();
  if (disordered > 0) throw new Error(`${disordered} messages arrived again or out of order`);
  if (areComing) await sleep(RELEASE_MS);
  return {
    recovered: arrivals.done,
    recoverSeconds: arrivals.done > 0 ? (arrivals.lastAt - began) / 1000 : 0,
    recoverP99Ms: arrivals.p99Ms,
    leftMiB: residentMiB(pid) - before,
    cores: loadCores,
  };
}

/**
 * Publishes the missed messages, before the members join.
 *
 * @param {number} port @param {number} messages @param {number} size
 * @returns {Promise<string>} the epoch of the room
 */
async function publish(port, messages, size) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`);
  /** @type {(event: { epoch: string }) => void} */
  let joined = () => {};
  let left = messages;
  /** @type {Promise<string>} */
  const epoch = new Promise((resolve) => {
    joined = (event) => resolve(event.epoch);
  });
  const published = new Promise((resolve) => {
    socket.on('message', (data) => {
      const event = JSON.parse(data.toString());
      if (event.type === 'joined') joined(event);
      if (event.type === 'published') left -= 1;
      if (left === 0) resolve(undefined);
    });
  });
  await once(socket, 'open');
  socket.send(JSON.stringify({ type: 'join', id: 0, room: ROOM }));
  for (let n = 0; n < messages; n += 1) {
    const number = `${MARKER}${String(n).padStart(8, '0')}`;
    const data = number + markedData(size).slice(number.length);
    socket.send(JSON.stringify({ type: 'publish', id: n + 1, room: ROOM, data }));
  }
  await published;
  // The room outlives its last member.
  socket.close();
  return epoch;
}

process.once('message', async (/** @type {Plan} */ plan) => {
  const result = await run(plan);
  process.send?.(result, () => process.exit());
});

/**
 * Members that come back at a steady rate to a room whose messages they have all missed, while others
 * are in another; run as a process of its own beside `fanout.js`. Speaks roomcast's protocol only.
 *
 * @typedef {object} Plan
 * @property {number} port
 * @property {number} pid of the server, whose memory is read from /proc
 * @property {number} members
 * @property {number} messages that each has missed
 * @property {number} size bytes of their data
 * @property {number} over seconds from the first join to the last
 * @property {boolean} reading they join with a position; without, they are there and nothing is read again
 * @typedef {object} Result
 * @property {number} recovered members that have had all of it, in order
 * @property {number} recoverSeconds from the first join to the last message
 * @property {number} recoverP99Ms from a member's join to its last message
 * @property {number} leftMiB of the server, once what was read again is let go of, above before
 * @property {number} cores of CPU that this process used meanwhile
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { residentMiB } from '../process.js';
import { Arrivals } from './arrivals.js';
import { MARKER, markedData } from './frames.js';
import { usageOf } from './usage.js';

const ROOM = 'missed:0000';
/** A server keeps pages for 5 s after their last use, and collects garbage when it likes. */
const LET_GO_MS = 12_000;

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
  if (disordered > 0) throw new Error(`${disordered} messages came again or in the wrong order`);
  if (areComing) await sleep(LET_GO_MS);
  return {
    recovered: arrivals.done,
    recoverSeconds: arrivals.done > 0 ? (arrivals.lastAt - began) / 1000 : 0,
    recoverP99Ms: arrivals.p99Ms,
    leftMiB: residentMiB(pid) - before,
    cores: loadCores,
  };
}

/**
 * Publishes what is missed, as nobody else hears it.
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
  // The room goes on while nobody is in it.
  socket.close();
  return epoch;
}

process.once('message', async (/** @type {Plan} */ plan) => {
  const result = await run(plan);
  process.send?.(result, () => process.exit());
});

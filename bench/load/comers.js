/**
 * Members that authenticate at a steady rate, and may then join a room, while others are in another room.
 * Runs as a process of its own beside `fanout.js`. Speaks only roomcast's protocol.
 *
 * @typedef {object} Plan
 * @property {number} port
 * @property {number} pid of the server, whose CPU is read from /proc
 * @property {number} members
 * @property {number} over seconds from the first to the last
 * @property {string} [token] of all members, with user `KNOWN_USER`; without it each has a user of its own
 * @property {boolean} [presence] members join a room, and watch its presence (true) or do not (false)
 * @typedef {object} Result
 * @property {number} came members that were answered
 * @property {number} comeP99Ms from a member's command to its answer
 * @property {number} comeCpuSeconds of the server, from the first to a while after the last
 * @property {number} cores CPU that this process used
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Arrivals } from './arrivals.js';
import { hs256, KNOWN, KNOWN_USER } from './tokens.js';
import { usageOf } from './usage.js';

const ROOM = `here:${KNOWN_USER}`;
/** Watchers get one more update, after the longest presence interval of a room this large. */
const AFTER_MS = 12_000;

/** @param {Plan} plan @returns {Promise<Result>} */
async function run({ port, pid, members: count, over, token, presence }) {
  const arrivals = new Arrivals(count);
  const said = Array.from({ length: count }, (_, n) => [
    JSON.stringify({ type: 'auth', id: 1, token: token ?? hs256(`user ${n}`) }),
    ...(presence === undefined
      ? []
      : [JSON.stringify({ type: 'join', id: 2, room: ROOM, presence })]),
  ]);
  const areComing = await arrivals.gather(port, (member, numbers, read) => {
    for (let i = 0; i < read && member.last < 0; i += 1) {
      if (numbers[i] !== KNOWN) continue;
      member.last = KNOWN;
      arrivals.has(member);
    }
  });

  const used = usageOf(pid);
  if (areComing) await arrivals.come(over, (n) => /** @type {string[]} */ (said[n]));
  const { loadCores } = used();
  if (areComing && presence !== undefined) await sleep(AFTER_MS);
  return {
    came: arrivals.done,
    comeP99Ms: arrivals.p99Ms,
    comeCpuSeconds: used().serverSeconds,
    cores: loadCores,
  };
}

process.once('message', async (/** @type {Plan} */ plan) => {
  const result = await run(plan);
  process.send?.(result, () => process.exit());
});

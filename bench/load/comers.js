/**
 * Members that say who they are at a steady rate, and may join a room then, while others are in another;
 * run as a process of its own beside `fanout.js`. Speaks roomcast's protocol only.
 *
 * @typedef {object} Plan
 * @property {number} port
 * @property {number} pid of the server, whose CPU is read from /proc
 * @property {number} members
 * @property {number} over seconds from the first to the last
 * @property {string} [token] of all of them, whose user is `KNOWN_USER`; without, each is a user of its own
 * @property {boolean} [presence] they join a room, and are told who is in it or are not
 * @typedef {object} Result
 * @property {number} came members that were answered
 * @property {number} comeP99Ms from what a member said to its answer
 * @property {number} comeCpuSeconds of the server, from the first to a while after the last
 * @property {number} cores of CPU that this process used meanwhile
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Arrivals } from './arrivals.js';
import { hs256, KNOWN, KNOWN_USER } from './tokens.js';
import { usageOf } from './usage.js';

const ROOM = `here:${KNOWN_USER}`;
/** Those who watch are told once more, after the longest interval of so many. */
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

/**
 * A member's queue under each policy: a message is offered and taken while others wait, and one is
 * offered to a full queue, which costs what the policy does then.
 */
import { defaults } from '../../dist/options/config.js';
import { Frame, QueueMemory } from '../../dist/room/frame.js';
import { SendQueue } from '../../dist/room/send-queue.js';
import { sink } from './harness.js';

const N = 20_000;
const BOUND = defaults.queueMessages;
const WAITING = 64;
const BYTES = Buffer.alloc(200);
const MASK = 4 * BOUND - 1; // more than are ever queued, so that no frame is twice in a queue
const memory = new QueueMemory(Number.POSITIVE_INFINITY, () => {});

/** @param {number} keys number of keys; 0 for none */
const frames = (keys) =>
  Array.from({ length: MASK + 1 }, (_, i) => {
    const key = keys === 0 ? undefined : `4:room${i % keys}`;
    return new Frame('room', i, i, true, key, 0, BYTES);
  });
const plain = frames(0);
const keyed = frames(WAITING);

/**
 * @param {import('../../dist/options/config.js').QueuePolicy['policy']} policy
 * @param {number} waiting
 * @param {boolean} isTaken
 * @param {Frame[]} offered
 */
function offering(policy, waiting, isTaken, offered) {
  const queue = new SendQueue({ ...defaults, policy }, memory);
  let next = 0;
  while (next < waiting) queue.offer(/** @type {Frame} */ (offered[next++]));
  return (/** @type {number} */ n) => {
    for (let i = 0; i < n; i += 1) {
      const loss = queue.offer(/** @type {Frame} */ (offered[next++ & MASK]));
      if (isTaken) queue.take();
      sink.sum += loss === null ? 1 : loss.overflow.length;
    }
  };
}

/** @returns {import('./harness.js').Case[]} */
export const cases = () =>
  /** @type {const} */ (['drop-oldest', 'drop-newest', 'latest-by-key', 'disconnect']).flatMap(
    (policy) => [
      {
        name: `offer and take, ${policy}`,
        n: N,
        run: offering(policy, WAITING, true, plain),
      },
      { name: `offer to a full one, ${policy}`, n: N, run: offering(policy, BOUND, false, plain) },
      ...(policy === 'latest-by-key'
        ? [
            {
              name: `offer that replaces one, ${policy}`,
              n: N,
              run: offering(policy, WAITING, false, keyed),
            },
          ]
        : []),
    ],
  );

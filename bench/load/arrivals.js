/**
 * Members that are connected in advance and then send commands one after another at a steady rate.
 * Measures when each has received its answer, and how long that took.
 *
 * Not here: the commands and answers (`comers.js`, `recover.js`).
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Latency } from '../../dist/load/measure/latency.js';
import { dialAll, openWebSocket, say } from './member.js';

const STUCK_MS = 10_000;

export class Arrivals {
  /** Members that have received their answer. */
  done = 0;
  /** When the last of them received it. */
  lastAt = 0;
  #latency = new Latency();
  #askedAt;
  /** @type {import('./member.js').Member[]} */
  #members = [];

  /** @param {number} count */
  constructor(count) {
    this.#askedAt = new Float64Array(count);
  }

  /**
   * Connects all members, and waits until the parent says whether they send their commands. If not, the
   * run measures the cost of everything else.
   *
   * @param {number} port
   * @param {import('./member.js').OnMessages} onMessages the `room` of a member is its index
   * @returns {Promise<boolean>}
   */
  async gather(port, onMessages) {
    this.#members = await dialAll(this.#askedAt.length, (room) =>
      openWebSocket({ port, path: '/ws', room, onMessages }),
    );
    process.send?.({ state: 'measuring' });
    const [{ areComing }] = await once(process, 'message');
    return areComing;
  }

  /**
   * Resolves when all members have their answers, or none has received one for 10 s.
   *
   * @param {number} over seconds from the first to the last member
   * @param {(n: number) => string[]} said commands of a member
   */
  async come(over, said) {
    const count = this.#members.length;
    const began = performance.now();
    for (let asked = 0; asked < count; ) {
      const due = Math.min(count, Math.ceil(((performance.now() - began) * count) / over / 1000));
      for (; asked < due; asked += 1) {
        this.#askedAt[asked] = performance.now();
        say(/** @type {import('./member.js').Member} */ (this.#members[asked]), said(asked), 1);
      }
      await sleep(1);
    }
    for (let seen = -1; this.done < count && seen !== this.done; ) {
      seen = this.done;
      for (let i = 0; i < STUCK_MS / 10 && this.done < count; i += 1) await sleep(10);
    }
  }

  /** @param {import('./member.js').Member} member has received its answer */
  has({ room }) {
    this.done += 1;
    this.lastAt = performance.now();
    this.#latency.record((this.lastAt - /** @type {number} */ (this.#askedAt[room])) * 1000);
  }

  /** Time from a member's command to its answer. */
  get p99Ms() {
    return (this.#latency.quantiles().p99 ?? 0) / 1000;
  }
}

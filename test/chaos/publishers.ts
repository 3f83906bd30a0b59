/**
 * Publishers of a round: one publish at a time each, and now and then a burst or a large message.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Published } from '../support/accounting.js';
import type { Cluster } from './cluster.js';
import type { Random } from './random.js';

const PUBLISHERS = 4;
/** Default of `--broker-timeout-ms`. */
const TIMEOUT_MS = 5000;
/** A server that has not answered by then is not expected to. */
const GIVE_UP_MS = 2 * TIMEOUT_MS;
/** Most pending publishes; no more are started beyond that. */
const MAX_PENDING = 400;

/** A publish, and when a server answered it; `Infinity` if none did. */
export interface Asked extends Published {
  readonly url: string;
  readonly answeredAt: number;
}

export class Publishers {
  readonly published: Asked[] = [];
  readonly #cluster: Cluster;
  readonly #rooms: readonly string[];
  readonly #random: Random;
  readonly #prefix: string;
  readonly #pending = new Set<Promise<unknown>>();
  #isOver = false;

  /** `prefix`: prefix of the payloads of this round. */
  constructor(cluster: Cluster, rooms: readonly string[], random: Random, prefix: string) {
    this.#cluster = cluster;
    this.#rooms = rooms;
    this.#random = random;
    this.#prefix = prefix;
  }

  async run(): Promise<void> {
    await Promise.all(Array.from({ length: PUBLISHERS }, () => this.#publishing()));
  }

  /** Resolves once every publish is answered. */
  async end(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#pending);
  }

  /**
   * Publishes to each room, in each way, until a publish is accepted; resolves with the payloads, by
   * room.
   */
  async lasts(): Promise<ReadonlyMap<string, readonly string[]>> {
    const payloads = new Map<string, string[]>();
    for (const room of this.#rooms) {
      for (const url of this.#cluster.urls) {
        for (;;) {
          const { answer, payload } = await this.#publish(url, room, 0);
          payloads.set(room, payloads.get(room) ?? []);
          if (typeof answer === 'object') payloads.get(room)?.push(payload);
          if (typeof answer === 'object') break;
          await sleep(100);
        }
      }
    }
    return payloads;
  }

  async #publishing(): Promise<void> {
    while (!this.#isOver) {
      const random = this.#random;
      const count = random.next() < 0.02 ? 50 : 1;
      const padding = random.next() < 0.03 ? 30_000 : 0;
      const room = random.pick(this.#rooms);
      for (let n = 0; n < count && this.#pending.size < MAX_PENDING; n += 1) {
        const sent: Promise<unknown> = this.#publish(
          random.pick(this.#cluster.urls),
          room,
          padding,
        );
        this.#pending.add(sent);
        void sent.finally(() => this.#pending.delete(sent));
      }
      await sleep(random.between(10, 80));
    }
  }

  async #publish(url: string, room: string, padding: number): Promise<Published> {
    const index = this.published.length;
    const id = `${this.#prefix}.${index}`;
    const sentAt = performance.now();
    const payload = JSON.stringify(id);
    const deadline = sentAt + TIMEOUT_MS;
    const note = (answer: Published['answer'], answeredAt = Number.POSITIVE_INFINITY) => {
      const noted = { url, room, payload, sentAt, deadline, answer, answeredAt };
      this.published[index] = noted;
      return noted;
    };
    note('pending');
    try {
      const response = await fetch(`${url}/v1/rooms/${room}/messages`, {
        method: 'POST',
        signal: AbortSignal.timeout(GIVE_UP_MS),
        headers: { 'content-type': 'application/json', connection: 'close' },
        body: JSON.stringify({ data: padding === 0 ? id : `${id} ${'x'.repeat(padding)}` }),
      });
      const answer = (await response.json()) as { code?: string; epoch: string; seq: number };
      const now = performance.now();
      if (answer.code === undefined) return note({ epoch: answer.epoch, seq: answer.seq }, now);
      return note(answer.code === 'broker_uncertain' ? 'uncertain' : 'refused', now);
    } catch (error) {
      const { code } = ((error as Error).cause ?? {}) as { code?: string };
      // Otherwise the connection ended, or the request was never answered: it may have been published.
      return note(code === 'ECONNREFUSED' ? 'refused' : 'uncertain');
    }
  }
}

/**
 * Extends each deadline by the time in which a process on the way may have been stalled before it read
 * the publish. A process that was stalled when the answer arrived did not give it.
 */
export const extended = (published: readonly Asked[], cluster: Cluster): Published[] =>
  published.map((each) => {
    const { url, sentAt, answeredAt, deadline } = each;
    const before = cluster.stops.filter(
      (stop) =>
        cluster.isOnWay(stop, url) &&
        stop.to > sentAt &&
        stop.from < deadline &&
        stop.to < answeredAt,
    );
    const more = before.reduce((sum, { from, to }) => sum + to - Math.max(from, sentAt), 0);
    return { ...each, deadline: deadline + more };
  });

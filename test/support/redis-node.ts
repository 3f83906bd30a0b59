/** A node over Redis, without a server around it, and everything it reports. */
import type { Publication } from '../../src/broker/broker.js';
import type { RedisConfig } from '../../src/broker/redis/config.js';
import { RedisBroker } from '../../src/broker/redis/redis.js';

export class RedisNode {
  readonly broker: RedisBroker;
  readonly said: unknown[] = [];
  readonly advice: string[] = [];
  readonly causes: Error[] = [];
  #changed: (() => void)[] = [];

  constructor(config: Partial<RedisConfig> & { url: string; clusterName: string }) {
    this.broker = new RedisBroker(
      {
        kept: { messages: 100, ms: 60_000 },
        idleRoomMs: 60_000,
        tickMs: 200,
        positionCheckMs: 60_000,
        resumeRoomsPerSecond: 50_000,
        timeoutMs: 1000,
        ...config,
      },
      {
        linked: () => this.#happened(),
        unlinked: (cause) => {
          this.causes.push(cause);
          this.#happened();
        },
        refuses() {},
        advice: (text) => this.advice.push(text),
      },
    );
    this.listen((publication) => this.said.push([publication.seq, JSON.parse(publication.data)]));
    this.broker.onReset((_, position, was) => {
      this.said.push({ reset: position.seq, was: was.seq, same: position.epoch === was.epoch });
      this.#happened();
    });
    this.broker.onLost((_, to) => {
      this.said.push({ lost: to });
      this.#happened();
    });
    this.broker.onState(() => this.#happened());
  }

  listen(deliver: (publication: Publication) => void): void {
    this.broker.onDeliver((publication) => {
      deliver(publication);
      this.#happened();
    });
  }

  /** Resolves once the condition holds; checks it after every event. */
  async until(isSo: () => boolean, what = isSo.toString()): Promise<void> {
    const timeout = setTimeout(() => {
      throw new Error(`not within 30 s: ${what}; said ${JSON.stringify(this.said)}`);
    }, 30_000);
    while (!isSo()) {
      await new Promise<void>((resolve) => {
        this.#changed.push(resolve);
        setTimeout(resolve, 20);
      });
    }
    clearTimeout(timeout);
  }

  async up(): Promise<this> {
    await this.until(() => this.broker.state() === 'up');
    return this;
  }

  #happened(): void {
    const waiting = this.#changed;
    this.#changed = [];
    for (const resolve of waiting) resolve();
  }
}

/**
 * Whether a link is alive. A node sends itself a number through
 * the way of a publish, with a write, and hears it where deliveries come: a replica refuses the write, a
 * dead connection does not bring it.
 *
 * Not here: what an end of the link means (`redis.ts`).
 */
import { clearInterval, nowMs, setImmediate, setInterval } from '../../time.js';
import { LEASE_MS } from '../sharing-node.js';
import type { Keys } from './keys.js';
import type { Link } from './link.js';
import { BEAT } from './scripts.js';

/** How many ticks may be missing before the link is taken for dead. */
const MISSING_TICKS = 2;

export interface Ticking {
  readonly node: string;
  readonly everyMs: number;
  /** What the node says of itself, to others. */
  says(): string;
  /** They may have taken it for gone; it has its lease again. */
  lapsed(): void;
}

export class Ticks {
  readonly #link: Link;
  readonly #keys: Keys;
  readonly #node: string;
  readonly #says: () => string;
  readonly #lapsed: () => void;
  readonly #timer: NodeJS.Timeout;
  /** When each tick that was not heard yet was sent, the first first. */
  readonly #sent = new Map<number, number>();
  readonly #heard = new Map<number, (isHeard: boolean) => void>();
  /** One for all that ask in a turn of the loop. */
  #barrier: Promise<boolean> | null = null;
  #isOver = false;
  #number = 0;
  /** How long the latest that was heard has taken, in milliseconds. */
  #latestMs = 0;

  constructor(link: Link, keys: Keys, { node, everyMs, says, lapsed }: Ticking) {
    this.#link = link;
    this.#keys = keys;
    this.#node = node;
    this.#says = says;
    this.#lapsed = lapsed;
    this.#timer = setInterval(() => this.#tick(), everyMs);
  }

  get channel(): string {
    return this.#keys.tick(this.#node);
  }

  /** How long a message takes to Redis and back, at least, in milliseconds. */
  get lagMs(): number {
    const [missing] = this.#sent.values();
    return missing === undefined ? this.#latestMs : Math.max(this.#latestMs, nowMs() - missing);
  }

  /** Resolves when everything that was published before has come; with false where the link has ended. */
  barrier(): Promise<boolean> {
    this.#barrier ??= new Promise((resolve) => {
      setImmediate(() => {
        this.#barrier = null;
        if (this.#isOver) resolve(false);
        else this.#heard.set(this.#beat(), resolve);
      });
    });
    return this.#barrier;
  }

  hear(text: string): void {
    const number = Number(text);
    for (const [sent, at] of this.#sent) {
      if (sent > number) break;
      this.#latestMs = nowMs() - at;
      this.#sent.delete(sent);
    }
    for (const [sent, resolve] of this.#heard) {
      if (sent > number) break;
      this.#heard.delete(sent);
      resolve(true);
    }
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#isOver = true;
    for (const resolve of this.#heard.values()) resolve(false);
  }

  #tick(): void {
    if (this.#sent.size >= MISSING_TICKS) {
      this.#link.end(new Error(`${this.#sent.size} ticks have not come back`));
      return;
    }
    const sentAt = nowMs();
    this.#sent.set(this.#beat(), sentAt);
  }

  #beat(): number {
    this.#number += 1;
    const number = this.#number;
    const sentAt = nowMs();
    const keys = [this.#keys.term, this.#keys.node(this.#node), this.channel, this.#keys.nodes];
    const args = [this.#says(), String(LEASE_MS), String(number), this.#node];
    this.#link.run(BEAT, keys, args).then(
      (reply) => {
        const [now, hadLapsed] = reply as readonly [string, number];
        this.#link.setClock(Number(now), sentAt);
        if (hadLapsed === 1) this.#lapsed();
      },
      // An answer that is an error: this server does not do what a primary of ours has to.
      (error: Error) => this.#link.end(error),
    );
    return number;
  }
}

/**
 * Heartbeats that show whether a link is alive. A node publishes a number to itself, with a write, and
 * receives it on its own channel. A replica refuses the write; a dead connection does not deliver it.
 *
 * Not here: what happens when a link ends (`redis.ts`).
 */
import { clearInterval, nowMs, setImmediate, setInterval } from '../../time.js';
import { LEASE_MS } from '../sharing-node.js';
import type { Keys } from './keys.js';
import type { Link } from './link.js';
import { BEAT } from './scripts.js';

/** Outstanding ticks after which the link counts as dead. */
const MISSING_TICKS = 2;

export interface Ticking {
  readonly node: string;
  readonly everyMs: number;
  /** What the node reports about itself to other nodes, as JSON text. */
  says(): string;
  /** The node's lease had expired and is renewed; other nodes may have treated it as gone. */
  lapsed(): void;
  /** Redis refuses writes with this error; empty: it accepts them again. */
  refuses(error: string): void;
}

export class Ticks {
  readonly #link: Link;
  readonly #keys: Keys;
  readonly #node: string;
  readonly #says: () => string;
  readonly #lapsed: () => void;
  readonly #refuses: (error: string) => void;
  readonly #timer: NodeJS.Timeout;
  /** Send time of each outstanding tick, oldest first. */
  readonly #sent = new Map<number, number>();
  readonly #heard = new Map<number, (isHeard: boolean) => void>();
  /** Shared by all callers in one turn of the loop. */
  #barrier: Promise<boolean> | null = null;
  #isOver = false;
  #number = 0;
  /** Error with which Redis refuses writes; empty if it does not. */
  #refusal = '';
  /** Round trip of the latest tick, in milliseconds. */
  #latestMs = 0;

  constructor(link: Link, keys: Keys, { node, everyMs, says, lapsed, refuses }: Ticking) {
    this.#link = link;
    this.#keys = keys;
    this.#node = node;
    this.#says = says;
    this.#lapsed = lapsed;
    this.#refuses = refuses;
    this.#timer = setInterval(() => this.#tick(), everyMs);
  }

  get channel(): string {
    return this.#keys.tick(this.#node);
  }

  /**
   * Round trip of a message to Redis and back, in milliseconds; a lower bound while a tick is
   * outstanding.
   */
  get lagMs(): number {
    const [missing] = this.#sent.values();
    return missing === undefined ? this.#latestMs : Math.max(this.#latestMs, nowMs() - missing);
  }

  /**
   * Resolves with true when everything published before the call has arrived, with false if the link
   * has ended.
   */
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
      this.#link.end(new Error(`${this.#sent.size} heartbeats were not echoed`));
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
        const [now, hadLapsed, refusal] = reply as readonly [string, number, string];
        this.#link.setClock(Number(now), sentAt);
        if (hadLapsed === 1) this.#lapsed();
        if (refusal === this.#refusal) return;
        this.#refusal = refusal;
        this.#refuses(refusal);
      },
      // An error reply: this server cannot do what our primary must.
      (error: Error) => this.#link.end(error),
    );
    return number;
  }
}

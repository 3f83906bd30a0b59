/**
 * The contract between a load member and the server it talks to: a target opens links, a link
 * speaks rooms, and a sink hears what came back. One file a target; test/contract/target.ts is the
 * suite that each passes.
 */
import type { Stamps } from '../stamp.js';
import type { Address, Wire, WireEvents } from '../wire/wire.js';

/** What one connection hears. `closed` comes exactly once and last. */
export interface Sink {
  /** Bytes arrived at `now` (µs of the machine's clock); precedes what is in them. */
  chunk(bytes: number, now: number): void;
  /** The link may join and publish. */
  open(): void;
  /** @param seq the room's last message before joining, or -1 when the target does not number */
  joined(room: string, seq: number): void;
  left(room: string): void;
  /**
   * A message of this run: its stamp starts at `buf[at]`.
   * @param seq the room's number for it, or -1 when the target does not number
   */
  message(buf: Uint8Array, at: number, seq: number): void;
  /** The target says that this connection will not get messages `from`–`to` of the room. */
  gap(room: string, from: number, to: number): void;
  /** Reply to a confirmed publish: the room's number for it. */
  confirmed(room: string, seq: number): void;
  /** The target refused a command. */
  refused(code: string): void;
  /** @param reason a close code and reason, an errno, or `end` */
  closed(reason: string): void;
}

/** One connection to the target. Every method is safe after the link has closed. */
export interface Link {
  join(room: string): void;
  /** False when the target has no way to leave a room but to disconnect. */
  leave(room: string): boolean;
  /** @param confirm ask for `Sink.confirmed`, where the target can say it */
  publish(room: string, data: Buffer, confirm: boolean): void;
  readonly backlog: number;
  pause(): void;
  resume(): void;
  probe(): void;
  close(): void;
  reset(): void;
}

/** How one link connects; the rest is the target's. */
export interface DialOptions {
  /** Connect here instead of at the target's own address: an in-process proxy. */
  readonly via?: Address;
  readonly readSize: number;
}

export interface Target {
  readonly name: string;
  /** Whether it numbers a room's messages and announces what a member misses. */
  readonly numbered: boolean;
  /** The target's own address, for proxies. */
  readonly address: Address;
  /** Where the target's metrics are scraped, if anywhere. */
  readonly metricsUrl?: string;
  dial(sink: Sink, options: DialOptions): Link;
}

/** What all dialects share: the wire's controls, and finding stamps at their usual place. */
export abstract class DialectLink implements Link, WireEvents {
  protected readonly sink: Sink;
  protected readonly wire: Wire;
  readonly #stamps: Stamps;
  #stampFromEnd = 0;

  constructor(sink: Sink, stamps: Stamps, open: (events: WireEvents) => Wire) {
    this.sink = sink;
    this.#stamps = stamps;
    this.wire = open(this);
  }

  abstract open(): void;
  abstract payload(buf: Buffer, start: number, end: number): void;
  abstract join(room: string): void;
  abstract leave(room: string): boolean;
  abstract publish(room: string, data: Buffer, confirm: boolean): void;

  get backlog(): number {
    return this.wire.backlog;
  }

  chunk(bytes: number, now: number): void {
    this.sink.chunk(bytes, now);
  }

  closed(reason: string): void {
    this.sink.closed(reason);
  }

  pause(): void {
    this.wire.pause();
  }

  resume(): void {
    this.wire.resume();
  }

  probe(): void {
    this.wire.probe();
  }

  close(): void {
    this.wire.close();
  }

  reset(): void {
    this.wire.reset();
  }

  /** Where the stamp in `buf[start, end)` starts, or -1: as far from the end as last time. */
  protected stampIn(buf: Buffer, start: number, end: number): number {
    const usual = end - this.#stampFromEnd;
    if (usual >= start && this.#stamps.isAt(buf, usual)) return usual;
    const found = this.#stamps.find(buf, start, end);
    if (found >= 0) this.#stampFromEnd = end - found;
    return found;
  }
}

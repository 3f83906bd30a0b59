/**
 * The contract between a load member and the server it talks to: a target opens links, a link
 * speaks rooms, and a sink hears what came back. One file a target; test/contract/target.ts is the
 * suite that each passes.
 */
import type { Address } from '../wire/wire.js';

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

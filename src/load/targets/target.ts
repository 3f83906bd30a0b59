/**
 * The contract between a load member and the server it talks to: a target opens links, a link
 * speaks rooms, and a sink hears what came back. One file a target; test/contract/target.ts is the
 * suite that each passes.
 */
import type { Range } from '../measure/backfill.js';
import type { Position } from '../protocol.js';
import type { Address } from '../wire/wire.js';

/** What one connection hears. `closed` comes exactly once and last. */
export interface Sink {
  /** Bytes arrived at `now` (µs of the machine's clock); precedes what is in them. */
  chunk(bytes: number, now: number): void;
  /** The link may join and publish. */
  open(): void;
  /**
   * @param seq the room's last message before joining, or -1 when the target does not number
   * @param epoch what it is counted in, '' where the target has no positions
   * @param continues all since the position that the join came with follows, in messages or in gaps
   */
  joined(room: string, seq: number, epoch: string, continues: boolean): void;
  left(room: string): void;
  /**
   * A message of this run: its stamp starts at `buf[at]`.
   * @param seq the room's number for it, or -1 when the target does not number
   * @param roomAt where the room's name begins that it came with, as JSON; -1 where it is not known
   */
  message(buf: Uint8Array, at: number, seq: number, roomAt: number): void;
  /** The target says that this connection will not get messages `from`–`to` of the room. */
  gap(room: string, from: number, to: number): void;
  /** A message of this run that was asked for again: its stamp starts at `buf[at]`. */
  past(room: string, seq: number, buf: Uint8Array, at: number): void;
  /** All that was asked for of the room up to `to` has come, but for what is no longer kept. */
  answered(room: string, to: number, missing: readonly Range[]): void;
  /** What was asked for is not given, for now. */
  refusedPast(code: string): void;
  /** Reply to a confirmed publish: the room's number for it. */
  confirmed(room: string, seq: number): void;
  /** The target refused a command. */
  refused(code: string): void;
  /** @param reason a close code and reason, an errno, or `end` */
  closed(reason: string): void;
}

/** One connection to the target. Every method is safe after the link has closed. */
export interface Link {
  /** @param since go on from there, where the target has positions */
  join(room: string, since?: Position): void;
  /** False when the target has no way to leave a room but to disconnect. */
  leave(room: string): boolean;
  /** @param confirm ask for `Sink.confirmed`, where the target can say it */
  publish(room: string, data: Buffer, confirm: boolean): void;
  /** Asks for messages of a room again, where the target can give them; nothing else is under way. */
  backfill(room: string, from: number, to: number): void;
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
  /** Whether a join may name the position to go on from. */
  readonly positions: boolean;
  /** Whether it can be asked for messages that a gap has named. */
  readonly backfills: boolean;
  /** The target's own address, for proxies. */
  readonly address: Address;
  /** Where the target's metrics are scraped, if anywhere. */
  readonly metricsUrl?: string;
  dial(sink: Sink, options: DialOptions): Link;
}

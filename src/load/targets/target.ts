/**
 * The contract between a load member and a server: a target dials links, a link sends commands, and a
 * sink receives the events. Each target has its own file; test/contract/target.ts is the test suite for
 * all of them.
 */
import type { Range } from '../measure/backfill.js';
import type { Position } from '../protocol.js';
import type { Address } from '../wire/wire.js';

/** Receives the events of one connection. `closed` is called exactly once, and last. */
export interface Sink {
  /** Bytes arrived at `now` (µs of the machine's clock); called before the events they contain. */
  chunk(bytes: number, now: number): void;
  /** The link may join and publish. */
  open(): void;
  /**
   * @param seq the room's last sequence number before the join, or -1 if the target does not number
   * @param epoch the epoch of that number, '' if the target has no positions
   * @param continues true if everything since the join's position follows, as messages or as gaps
   */
  joined(room: string, seq: number, epoch: string, continues: boolean): void;
  left(room: string): void;
  /**
   * A message of this run: its stamp starts at `buf[at]`.
   * @param seq the message's sequence number, or -1 if the target does not number
   * @param roomAt where the received room name begins, as a JSON string; -1 if unknown
   */
  message(buf: Uint8Array, at: number, seq: number, roomAt: number): void;
  /** The target says that this connection will not get messages `from`–`to` of the room. */
  gap(room: string, from: number, to: number): void;
  /** A message of this run that backfill requested: its stamp starts at `buf[at]`. */
  past(room: string, seq: number, buf: Uint8Array, at: number): void;
  /** All requested messages up to `to` have arrived, except `missing`, which the server no longer keeps. */
  answered(room: string, to: number, missing: readonly Range[]): void;
  /** The target refused the backfill request, for now. */
  refusedPast(code: string): void;
  /** Reply to a confirmed publish: the message's sequence number. */
  confirmed(room: string, seq: number): void;
  /** The target refused a command. */
  refused(code: string): void;
  /** @param reason a close code and reason, an errno, or `end` */
  closed(reason: string): void;
}

/** One connection to the target. Every method is safe after the link has closed. */
export interface Link {
  /** @param since resume from there; for targets with positions */
  join(room: string, since?: Position): void;
  /** Returns false if the target has no leave command; the member then disconnects. */
  leave(room: string): boolean;
  /** @param confirm requests `Sink.confirmed`; for targets that confirm */
  publish(room: string, data: Buffer, confirm: boolean): void;
  /** Requests messages of a room again, if the target supports it. One request at a time. */
  backfill(room: string, from: number, to: number): void;
  readonly backlog: number;
  pause(): void;
  resume(): void;
  probe(): void;
  close(): void;
  reset(): void;
}

/** How one link connects. */
export interface DialOptions {
  /** Connect here instead of at the target's own address: an in-process proxy. */
  readonly via?: Address;
  readonly readSize: number;
}

export interface Target {
  readonly name: string;
  /** True if it numbers a room's messages and announces what a member misses. */
  readonly numbered: boolean;
  /** True if a join may name the position to resume from. */
  readonly positions: boolean;
  /** True if messages that a gap named can be requested. */
  readonly backfills: boolean;
  /** The target's own address, for proxies. */
  readonly address: Address;
  /** URL of the target's metrics, if it has any. */
  readonly metricsUrl?: string;
  dial(sink: Sink, options: DialOptions): Link;
}

/**
 * The delivery order of a room: each message once, each missing one reported in a gap. Gaps are exact
 * within an epoch. Received + gaps = published between join and leave.
 *
 * `position` is the last number delivered or reported, `seen` the last number received, which may be
 * held while a loss is healed (`backfill.ts`). A connection lost meanwhile loses nothing: the next join
 * resumes from `position`.
 *
 * Not here: whether the room is joined (`room.ts`).
 */
import type { Healer } from './backfill.js';
import { RoomcastError } from './errors.js';
import type { Shared } from './shared.js';
import type { Gap, GapReason, Joined, Message, RoomOptions } from './types.js';
import type { Core, Frame, Position, WireJoined } from './wire.js';

/** A range of messages that did not arrive. */
export interface Hole {
  readonly from: number;
  readonly to: number;
  readonly count: number;
  readonly reason: GapReason;
}

export type Item = Core | Hole;

/** The gap after an epoch change, whose range is unknown. */
export const RESET: Gap = { type: 'gap', from: null, to: null, count: null, reason: 'reset' };

export interface SequenceContext {
  readonly name: string;
  readonly options: RoomOptions<unknown>;
  readonly shared: Shared;
  isWanted(): boolean;
  emit(event: Message<unknown> | Gap | Joined): void;
}

export interface Sequence {
  position: Position | null;
  /** Processes the next item in order: delivers, reports, heals or holds it. */
  take(item: Item, size?: number): void;
  deliver(message: Core): void;
  tell(hole: Hole): void;
  tellReset(): void;
  /** `entered` is called once the room is joined, before any gap is reported. */
  enter(frame: WireJoined, entered: (joined: Joined) => void): void;
  received(frame: Frame, size: number): void;
  /** The connection was lost. */
  lost(): void;
  /** The app left the room. */
  quit(): void;
}

export function sequence(context: SequenceContext): Sequence {
  const { name, options, emit, shared } = context;
  /** The highest sequence number received on this connection. */
  let seen = 0;
  const move = (seq: number, epoch = self.position?.epoch): void => {
    // Null if a listener left the room or closed the client.
    if (self.position) self.position = { epoch: epoch as string, seq };
  };
  /** The server will not send the numbers up to `to` by itself any more. */
  const missing = (to: number, reason: GapReason, count?: number): void => {
    const from = seen + 1;
    if (to < from) return;
    seen = to;
    self.take({ from, to, count: count ?? to - from + 1, reason });
  };
  /** The epoch changed. Reports a gap of unknown size. */
  const restart = ({ epoch, seq }: Position): void => {
    move(seq, epoch);
    seen = seq;
    emit(RESET);
    healer?.told('reset');
  };

  const self: Sequence = {
    position: options.since ?? null,
    take(item, size = 0) {
      const done = self.position?.seq ?? 0;
      if (healer?.holds(item, size)) return;
      if (!('to' in item)) {
        if (item.seq > done) self.deliver(item);
      } else if (item.to > done) {
        // The app's loaded state may include part of the hole.
        const known = Math.max(0, done + 1 - item.from);
        const hole = { ...item, from: item.from + known, count: item.count - known };
        if (!healer?.heals(hole)) self.tell(hole);
      }
    },
    tell(hole) {
      move(hole.to);
      emit({ type: 'gap', ...hole });
      healer?.told('gap', hole.reason);
    },
    tellReset: () => emit(RESET),
    deliver(core) {
      const { seq, from, data: sent } = core;
      move(seq);
      try {
        const data = options.parse ? options.parse(sent) : sent;
        emit({ ...core, type: 'message', data, own: shared.isOwn(from) } as Message<unknown>);
      } catch (cause) {
        shared.fail(new RoomcastError('parse_failed', { room: name, cause }));
      }
    },
    enter({ seq, epoch, members, recover }, entered) {
      const before = self.position;
      const result = recover?.result;
      const missed = before ? seq - before.seq : 0;
      let recovery: Joined['recovery'] = 'first';
      if (before) {
        if (epoch !== before.epoch || missed < 0) recovery = 'reset';
        else if (!missed || result === 'complete') recovery = 'complete';
        else recovery = result ? 'partial' : 'lost';
      }
      const isReset = recovery === 'reset';
      self.position ??= { epoch, seq };
      seen = self.position.seq;
      const recovered = recovery === 'complete' ? missed : recovery === 'partial' ? null : 0;
      entered({
        type: 'joined',
        seq,
        members,
        recovery,
        missed: isReset ? null : missed,
        recovered,
      });
      if (isReset) restart({ epoch, seq });
      else if (recovery === 'first') healer?.told('first');
      else if (recovery === 'lost') missing(seq, 'disconnected');
    },
    received(frame, size) {
      if (frame.type === 'message') {
        if (frame.seq <= seen) return;
        missing(frame.seq - 1, 'unannounced');
        seen = frame.seq;
        self.take(frame, size);
      } else if (frame.type === 'gap') {
        missing(frame.from - 1, 'unannounced');
        const isWhole = seen === frame.from - 1;
        missing(frame.to, frame.reason, isWhole ? frame.count : undefined);
      } else if (frame.type === 'reset') {
        // The held items belong to the previous epoch.
        healer?.release();
        restart(frame);
      }
    },
    lost: () => healer?.drop(),
    quit() {
      self.lost();
      healer?.quit();
      self.position = null;
    },
  };
  const healer: Healer | undefined = shared.options.healing?.(self, context);
  return self;
}

/**
 * Healing of losses: requests the lost messages if the server keeps a history, and calls the app's
 * `load` if they are unavailable. Messages that arrive meanwhile are held in order, bounded by count,
 * size and time. When a bound is reached, the wait ends.
 *
 * A subpath of the package, so that apps that do not need it do not load it. Usage:
 * `connect(url, { healing })`.
 */
import { RoomcastError } from './errors.js';
import type { Hole, Item, Sequence, SequenceContext } from './sequence.js';
import type { GapReason } from './types.js';
import { later } from './wait.js';
import type { Position } from './wire.js';

/** The largest range that is requested. */
const HEALED = 1000;
const HEAL_MS = 2000;
const LOAD_MS = 10_000;
const ITEMS = 256;
/** Maximum length of the held frames, in characters. */
const SIZE = 256 * 1024;
/**
 * Reasons for which no history is requested: it cannot help, or the room's policy dropped the messages.
 */
const HOPELESS = /^(conflated|expired|left)$/;
/** Reasons for which `load` is not called: the loss is the room's policy. */
const POLICY = /^(conflated|left)$/;

type LoadReason = 'first' | 'gap' | 'reset';

/** Heals the losses of one room. */
export interface Healer {
  /** Holds the item if a wait is under way. Returns whether it did. */
  holds(item: Item, size: number): boolean;
  /** Requests the missing messages if that can help. Those that do not arrive are reported as a gap. */
  heals(hole: Hole): boolean;
  /** The room was joined, or a loss was reported. */
  told(reason: LoadReason, gap?: GapReason): void;
  /** Ends the wait and delivers the held items. */
  release(): void;
  /** Ends the wait and discards the held items. The server will send them again. */
  drop(): void;
  quit(): void;
}

export type Healing = (sequence: Sequence, context: SequenceContext) => Healer;

interface Hold {
  readonly items: (readonly [item: Item, size: number])[];
  size: number;
  /** Called once, when the wait ends. */
  ended(): void;
  /** Reports what is still missing. */
  rest(): void;
}

/** Pending history requests by connection. One runs at a time. */
const ASKING = new WeakMap<object, (() => void)[]>();

export const healing: Healing = (sequence, context) => {
  const { name, options, shared, isWanted } = context;
  let hold: Hold | undefined;
  let isOn = options.backfill !== false;
  let loading: AbortController | undefined;
  let loadNext: LoadReason | undefined;

  const begin = (ms: number, ended = () => {}, rest = () => {}): Hold => {
    const timer = later(self.release, ms);
    hold = {
      items: [],
      size: 0,
      rest,
      ended() {
        clearTimeout(timer);
        ended();
      },
    };
    return hold;
  };

  const load = (reason: LoadReason): void => {
    if (!options.load || !isWanted()) return;
    if (loading || hold) {
      loadNext = reason;
      return;
    }
    loadNext = undefined;
    const controller = new AbortController();
    const start = sequence.position as Position;
    const mine = begin(LOAD_MS);
    const loaded = (position: Position | undefined): void => {
      if (loading !== controller) return;
      loading = undefined;
      if (position) has(position, start, reason);
      if (hold === mine) self.release();
      else if (loadNext) load(loadNext);
    };
    loading = controller;
    const { signal } = controller;
    (async () => options.load?.({ reason, signal }))().then(loaded, (cause: unknown) => {
      if (loading === controller)
        shared.fail(new RoomcastError('load_failed', { room: name, cause }));
      loaded(undefined);
    });
  };

  /** The app's state is at `position`; messages up to it are not delivered. */
  const has = (position: Position, start: Position, reason: LoadReason): void => {
    const now = sequence.position as Position;
    if (position.epoch !== now.epoch) sequence.tellReset();
    else if (position.seq > now.seq) sequence.position = position;
    else if (position.seq < start.seq && reason !== 'gap') {
      // The state is older than the join: the messages between are in neither.
      const [from, to] = [position.seq + 1, start.seq];
      context.emit({ type: 'gap', from, to, count: to - from + 1, reason: 'disconnected' });
    }
  };

  const self: Healer = {
    holds(item, size) {
      if (!hold) return false;
      hold.items.push([item, size]);
      hold.size += size;
      if (hold.items.length > ITEMS || hold.size > SIZE) self.release();
      return true;
    },
    heals(hole) {
      const link = shared.healer();
      if (!link || !isOn || hole.to - hole.from >= HEALED || HOPELESS.test(hole.reason)) {
        return false;
      }
      // The room's epoch may change meanwhile.
      const { epoch } = sequence.position as Position;
      let next = hole.from;
      let forget = () => {};
      const tellTo = (to: number): void => {
        if (to >= next) sequence.tell({ ...hole, from: next, to, count: to - next + 1 });
        next = Math.max(next, to + 1);
      };
      const ask = (): void => {
        const from = next;
        const command = { type: 'history', room: name, epoch, from, to: hole.to } as const;
        forget = link.ask(command, (reply) => {
          if (hold !== mine || !reply) return;
          if (reply.type === 'past') {
            for (const message of reply.messages) {
              const isAsked = message.seq >= next && message.seq <= hole.to;
              // A listener may have left the room or closed the client.
              if (!isAsked || hold !== mine) continue;
              tellTo(message.seq - 1);
              next = message.seq + 1;
              sequence.deliver(message);
            }
          } else if (reply.type === 'history' && (reply.next as number) > from) {
            tellTo((reply.next as number) - 1);
            ask();
          } else {
            if (reply.type === 'error' && /^not_/.test(reply.code)) isOn = false;
            self.release();
          }
        });
      };
      const asking = ASKING.get(link) ?? [];
      ASKING.set(link, asking);
      const mine = begin(
        HEAL_MS,
        () => {
          forget();
          const at = asking.indexOf(ask);
          asking.splice(at, 1);
          if (at === 0) asking[0]?.();
        },
        () => tellTo(hole.to),
      );
      if (asking.push(ask) === 1) ask();
      return true;
    },
    told(reason, gap = 'reset') {
      if (!POLICY.test(gap)) load(reason);
    },
    release() {
      const over = hold;
      self.drop();
      over?.rest();
      if (loadNext) load(loadNext);
      for (const [item, size] of over?.items ?? []) {
        // A listener may have left the room; then there is no position.
        if (sequence.position) sequence.take(item, size);
      }
    },
    drop() {
      const over = hold;
      hold = undefined;
      over?.ended();
    },
    quit() {
      loading?.abort();
      loading = loadNext = undefined;
    },
  };
  return self;
};

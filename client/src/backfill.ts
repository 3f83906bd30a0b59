/**
 * What can be done about a loss: the messages are asked for where the server keeps a history, and the
 * app loads its own state where they are not to be had. What comes meanwhile is held, in order,
 * bounded by number, size and time; where a bound is passed, the waiting is over.
 *
 * A subpath of the package, so that who does not need it does not load it:
 * `connect(url, { healing })`.
 */
import { RoomcastError } from './errors.js';
import type { Hole, Item, Sequence, SequenceContext } from './sequence.js';
import type { GapReason } from './types.js';
import { later } from './wait.js';
import type { Position } from './wire.js';

/** The largest loss that is asked for. */
const HEALED = 1000;
const HEAL_MS = 2000;
const LOAD_MS = 10_000;
const ITEMS = 256;
/** Characters of frames. */
const SIZE = 256 * 1024;
/** Losses that nobody can heal, or that are the room's policy. */
const HOPELESS = /^(conflated|expired|left)$/;
/** Of these the app's own state has nothing. */
const POLICY = /^(conflated|left)$/;

type LoadReason = 'first' | 'gap' | 'reset';

/** Of one room. */
export interface Healer {
  /** Keeps the item where something is waited for. */
  holds(item: Item, size: number): boolean;
  /** Has the messages asked for, if that is of use; what does not come of them is told. */
  heals(hole: Hole): boolean;
  /** The app is in, or was told of a loss. */
  told(reason: LoadReason, gap?: GapReason): void;
  /** Waits no longer. */
  release(): void;
  /** Waits no longer, and forgets what was held: it will come again. */
  drop(): void;
  quit(): void;
}

export type Healing = (sequence: Sequence, context: SequenceContext) => Healer;

interface Hold {
  readonly items: (readonly [item: Item, size: number])[];
  size: number;
  /** Called once, when it is over. */
  ended(): void;
  /** What it has still to tell. */
  rest(): void;
}

/** Requests for history that wait, by connection: one at a time. */
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

  /** The app's state is that of `position`; what it has is not delivered. */
  const has = (position: Position, start: Position, reason: LoadReason): void => {
    const now = sequence.position as Position;
    if (position.epoch !== now.epoch) sequence.tellReset();
    else if (position.seq > now.seq) sequence.position = position;
    else if (position.seq < start.seq && reason !== 'gap') {
      // Older than the room was: that much is in neither.
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
      // The room may go on in another numbering meanwhile.
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
              // A listener may have left, or closed everything.
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
        // A listener may have left: then there is no place for it.
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

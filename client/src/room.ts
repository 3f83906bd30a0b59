/**
 * A room as the app has it: joined until it is left, through every loss of the connection.
 *
 * Not here: what it delivers (`sequence.ts`), when joins are sent (`rooms.ts`).
 */

import { emitter } from './emitter.js';
import { FINAL, RoomcastError } from './errors.js';
import type { Link } from './link.js';
import { sequence } from './sequence.js';
import type { Shared } from './shared.js';
import type { CloseReason, Joined, Room, RoomEvent, RoomEvents, RoomOptions } from './types.js';
import { deferred, later, type Settle, type Timer } from './wait.js';
import type { Frame } from './wire.js';

/** A room, and what the client does with it. */
export interface Handle extends Room<unknown> {
  readonly shared: Shared;
  /** Told of who is in the room, where somebody watches: `presence.ts`. */
  roster?: (frame: Frame) => void;
  /** See `Rooms`. */
  progress(): string | null;
  /** Its turn on a connection. */
  sendJoin(link: Link): void;
  /** What comes of the room, apart from replies. */
  received(frame: Frame, size: number): void;
  /** The connection is gone. */
  lost(): void;
  /** There is another token. */
  granted(): void;
  close(error: RoomcastError): void;
}

export function room(name: string, shared: Shared, options: RoomOptions<unknown> = {}): Handle {
  const { usable, fail, rooms } = shared;
  const { on, emit, offAll } = emitter<RoomEvents<unknown>>(fail);
  const waiters = new Set<Settle<Joined>>();
  /** Whether the app is in the room. */
  let isWanted = false;
  /** How far this connection is. */
  let phase: 'waiting' | 'joining' | 'joined' = 'waiting';
  /** What it is where it is not wanted. */
  let end: 'idle' | 'left' | 'failed' = 'idle';
  /** Refused until another token comes. */
  let isDenied = false;
  /** Takes back the wait for the reply to the join. */
  let forget = () => {};
  let latest: Joined;
  let retries = 0;
  let retry: Timer | undefined;

  const problem = (code: string, about?: object) =>
    new RoomcastError(code, { room: name, ...about });

  if (options.load && !shared.options.healing) {
    fail(problem('not_offered', { message: 'load needs healing' }));
  }
  const tell = (event: RoomEvent<unknown>): void => {
    // It may have been left by the listener of the event before.
    if (!isWanted) return;
    emit(event.type, event as never);
  };
  const order = sequence({ name, options, shared, isWanted: () => isWanted, emit: tell });

  /** The app is out; it may come back in the same turn. */
  const stop = (how: 'left' | 'failed', code: string, about?: object): void => {
    if (!isWanted) return;
    isWanted = false;
    end = how;
    for (const settle of waiters) settle(code, undefined, about);
  };
  /** It does not. */
  const quit = (reason: string, error?: RoomcastError): void => {
    self.lost();
    order.quit();
    rooms.dismiss(self);
    emit('left', { reason, error });
  };
  const fails = (code: string, about?: object): void => {
    stop('failed', code, about);
    quit(code, problem(code, about));
  };
  const refused = (link: Link, code: string, message: string): void => {
    phase = 'waiting';
    if (FINAL.test(code)) {
      isDenied = code === 'not_allowed';
      fails(code, { message });
      return;
    }
    // The server has it in a room where the client is not: out, and in again with a position.
    if (code === 'already_joined') link.ask({ type: 'leave', room: name });
    else fail(problem(code, { message }));
    retry = later(() => rooms.add(self), shared.pauseAfter(retries));
    retries += 1;
  };

  const self: Handle = {
    name,
    shared,
    on,
    get state() {
      return isWanted ? phase : end;
    },
    get position() {
      return order.position;
    },
    progress: () =>
      phase === 'joined' ? (order.position?.epoch ?? '') : phase === 'joining' ? '' : null,
    join({ signal } = {}) {
      const [promise, settle, isOver] = deferred<Joined>(shared, name, signal, (code, mine) => {
        if (waiters.delete(mine) && code === 'aborted' && !waiters.size) self.leave();
      });
      if (!isOver) {
        if (!isWanted) {
          isWanted = true;
          if (phase === 'waiting') rooms.add(self);
        }
        if (phase === 'joined') settle('', latest);
        else waiters.add(settle);
      }
      return promise;
    },
    async leave() {
      isDenied = false;
      if (!isWanted) return;
      stop('left', 'left');
      // A join in the same turn takes it back: components that are mounted twice do so.
      await undefined;
      if (isWanted) return;
      const link = phase !== 'waiting' && usable();
      // Before anybody is told, who may join again.
      const known =
        link && new Promise<unknown>((resolve) => link.ask({ type: 'leave', room: name }, resolve));
      quit('left');
      await known;
    },
    publish: (data, options) => shared.outbox.add(name, data, options),
    sendJoin(link) {
      const since = order.position;
      phase = 'joining';
      forget = link.ask(
        {
          type: 'join',
          room: name,
          ...(since && { since }),
          ...(self.roster && { presence: true }),
        },
        (reply) => {
          if (reply?.type === 'error') refused(link, reply.code, reply.message);
          else if (reply?.type === 'joined') {
            phase = 'joined';
            retries = 0;
            order.enter(reply, (joined) => {
              latest = joined;
              for (const settle of waiters) settle('', joined);
              tell(joined);
            });
            shared.outbox.pump();
          }
        },
      );
    },
    received(frame, size) {
      // What comes between a leave and a join that takes it back is not delivered, and told as missing.
      if (self.state !== 'joined') return;
      if (frame.type === 'left') fails(frame.reason ?? 'left');
      else {
        self.roster?.(frame);
        order.received(frame, size);
      }
    },
    lost() {
      phase = 'waiting';
      forget();
      order.lost();
      clearTimeout(retry);
    },
    granted() {
      if (isDenied) self.join();
    },
    close(error) {
      const isOurs = (error.cause as CloseReason).code === 'closed';
      stop(isOurs ? 'left' : 'failed', error.code, error);
      quit(error.code, isOurs ? undefined : error);
      offAll();
    },
  };
  return self;
}

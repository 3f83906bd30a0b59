/**
 * A room as the app sees it: joined until the app leaves it, across connection losses.
 *
 * Not here: delivery (`sequence.ts`), the pacing of joins (`rooms.ts`).
 */

import { emitter } from './emitter.js';
import { FINAL, RoomcastError } from './errors.js';
import type { Link } from './link.js';
import { sequence } from './sequence.js';
import type { Shared } from './shared.js';
import type { CloseReason, Joined, Room, RoomEvent, RoomEvents, RoomOptions } from './types.js';
import { deferred, later, type Settle, type Timer } from './wait.js';
import type { Frame } from './wire.js';

/** A room with the methods that the client uses internally. */
export interface Handle extends Room<unknown> {
  readonly shared: Shared;
  /** Receives presence frames. Set while `presence.ts` watches the room. */
  roster?: (frame: Frame) => void;
  /** See `Rooms`. */
  progress(): string | null;
  /** Sends the join, when `rooms.ts` allows it. */
  sendJoin(link: Link): void;
  /** Handles the room's frames, except replies. */
  received(frame: Frame, size: number): void;
  /** The connection was lost. */
  lost(): void;
  /** The server accepted another token. */
  granted(): void;
  close(error: RoomcastError): void;
}

export function room(name: string, shared: Shared, options: RoomOptions<unknown> = {}): Handle {
  const { usable, fail, rooms } = shared;
  const { on, emit, offAll } = emitter<RoomEvents<unknown>>(fail);
  const waiters = new Set<Settle<Joined>>();
  /** Whether the app wants to be in the room: between `join` and `leave`. */
  let isWanted = false;
  /** State of the join on the current connection. */
  let phase: 'waiting' | 'joining' | 'joined' = 'waiting';
  /** State reported while `isWanted` is false. */
  let end: 'idle' | 'left' | 'failed' = 'idle';
  /** The join was refused with `not_allowed`; it is retried with the next token. */
  let isDenied = false;
  /** Cancels the wait for the reply to the join. */
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
    // The listener of the previous event may have left the room.
    if (!isWanted) return;
    emit(event.type, event as never);
  };
  const order = sequence({ name, options, shared, isWanted: () => isWanted, emit: tell });

  /** Ends the membership for the app. A join in the same turn may still undo it. */
  const stop = (how: 'left' | 'failed', code: string, about?: object): void => {
    if (!isWanted) return;
    isWanted = false;
    end = how;
    for (const settle of waiters) settle(code, undefined, about);
  };
  /** Completes the leave; it can no longer be undone. */
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
    // The server still has this connection in the room: leave, then join again with a position.
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
      // A join in the same turn undoes the leave: components that mount twice do this.
      await undefined;
      if (isWanted) return;
      const link = phase !== 'waiting' && usable();
      // Sent before the listeners run, since one of them may join again.
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
      // Frames between a leave and the join that undoes it are not delivered, and reported as missing.
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

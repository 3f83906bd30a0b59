/**
 * The events of a room as an async iterator for one `for await` loop. If the loop reads too slowly, the
 * oldest events are dropped and reported as a gap before the next event.
 *
 * A subpath of the package, so that apps that use `on` do not load it.
 */
import { BUFFER } from './limits.js';
import type { Handle } from './room.js';
import { RESET } from './sequence.js';
import type { EventsOptions, Gap, Room, RoomEvent } from './types.js';
import { onAbort } from './wait.js';

/**
 * Iterates over the room's events from this call on, until the app leaves or closes, the loop ends or
 * the signal aborts. Events beyond `buffer` are reported as a gap with the reason `consumer`.
 * @throws RoomcastError in the loop, after all earlier events: the server refused the join or removed
 *   this connection
 */
export function events<T>(
  room: Room<T>,
  { signal, buffer = BUFFER }: EventsOptions = {},
): AsyncIterableIterator<RoomEvent<T>> {
  type Result = IteratorResult<RoomEvent<T>>;
  const DONE = { done: true, value: undefined } as const;
  let unread: RoomEvent<T>[] = [];
  let lost: Gap | undefined;
  let failure: unknown;
  let isOver = false;
  const waiting: ((result: Result | Promise<never>) => void)[] = [];

  const lose = (event: RoomEvent<T> | undefined): void => {
    if (!event || event.type === 'joined') return;
    const { from, to, count } =
      event.type === 'gap' ? event : { from: event.seq, to: event.seq, count: 1 };
    const isKnown = from !== null && lost?.from !== null;
    lost = {
      ...RESET,
      reason: 'consumer',
      ...(isKnown && { from: lost?.from ?? from, to, count: (lost?.count ?? 0) + (count ?? 0) }),
    };
  };
  const serve = (): void => {
    while (waiting.length > 0) {
      // After the app has left, unread events are not delivered.
      const isHeld = !isOver && room.state === 'left';
      const value = isHeld ? undefined : (lost ?? unread.shift());
      if (!value && !isOver) return;
      const next = waiting.shift();
      if (value) {
        lost = undefined;
        next?.({ value });
      } else {
        next?.(failure ? Promise.reject(failure) : DONE);
        failure = undefined;
      }
    }
  };
  const push = (event: RoomEvent<T>): void => {
    unread.push(event);
    serve();
    if (unread.length > buffer) lose(unread.shift());
  };
  const end = (error?: unknown): void => {
    if (isOver) return;
    isOver = true;
    for (const off of offs) off();
    failure = error;
    if (!error) {
      unread = [];
      lost = undefined;
    }
    serve();
  };
  const offs = [
    room.on('joined', push),
    room.on('message', push),
    room.on('gap', push),
    room.on('left', ({ error }) => end(error)),
  ];
  offs.push(onAbort(signal, () => end()));
  if ((room as unknown as Handle).shared.closed) end();

  const self: AsyncIterableIterator<RoomEvent<T>> = {
    next: () =>
      new Promise((resolve) => {
        waiting.push(resolve);
        serve();
      }),
    return() {
      end();
      return Promise.resolve(DONE);
    },
    [Symbol.asyncIterator]: () => self,
  };
  return self;
}

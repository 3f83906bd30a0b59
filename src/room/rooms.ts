/**
 * Directory of the rooms of a server. A room exists from its first join, which subscribes at the broker,
 * to its last leave, which unsubscribes.
 *
 * V2: broker I/O happens only under `room.lifecycle`, with a deadline. V3: the backlog waiting for
 * fan-out is bounded. V8: every wait is a named task and ends at its deadline or at `close`.
 *
 * Not here: permission to join (`memberships.ts`), the members of a room (`room.ts`).
 */

import type { MaybePromise } from '../broker/broker.js';
import type { BrokerCalls } from '../broker/calls.js';
import { Refusal } from '../errors.js';
import type { Detector, Guard, Task, WaitGroup } from '../lock/index.js';
import type { Config } from '../options/config.js';
import { Backlog } from './backlog.js';
import type { Observer } from './observer.js';
import { Room } from './room.js';

interface RoomsContext {
  readonly config: Config;
  readonly calls: BrokerCalls;
  readonly tasks: WaitGroup;
  readonly detector: Detector;
  readonly observer: Observer;
  /** Aborts every wait. */
  readonly closing: AbortSignal;
}

export class Rooms {
  readonly byName = new Map<string, Room>();
  /** The fan-out backlog of all rooms. */
  readonly backlog: Backlog;
  readonly #context: RoomsContext;

  constructor(context: RoomsContext) {
    this.#context = context;
    this.backlog = new Backlog(context.config);
  }

  /**
   * Calls `enter` to add a member to the room: synchronously if the room is subscribed, otherwise after
   * subscribing. `check` throws if the member may not enter; it is called again after each wait. `who`
   * names the wait. `prepare` runs in the same step before `enter` and returns a promise to wait for
   * first, or null.
   *
   * @throws Refusal whatever `check` throws, `no_more_rooms`, `broker_unavailable`, `shutting_down`. It
   * rejects with them where the broker has to be asked.
   */
  enter<T>(
    name: string,
    who: string,
    check: () => void,
    prepare: (room: Room) => Promise<void> | null,
    enter: (room: Room) => T,
  ): MaybePromise<T> {
    check();
    const room = this.byName.get(name);
    const guard = room?.lifecycle.tryRead('Rooms.enter');
    if (room !== undefined && guard) {
      try {
        const wait = room.isSubscribed ? prepare(room) : undefined;
        if (wait === null) return enter(room);
        // `#enterLater` calls `prepare` again, which reports the same failure.
        wait?.catch(() => {});
      } finally {
        guard.release();
        // The app may have ended its members when it was asked for a permission.
        this.closeIfEmpty(room);
      }
    }
    return this.#enterLater(name, who, check, prepare, enter);
  }

  /** Closes an empty room and unsubscribes it at the broker, unless a member joins in the meantime. */
  closeIfEmpty(room: Room): void {
    const { tasks, closing } = this.#context;
    if (room.size > 0 || room.isGone || closing.aborted) return;
    void tasks.go(`leave ${room.name}`, (task) => this.#lastLeave(room, task));
  }

  /**
   * Backpressure for publishers: refuses a publish while too many bytes wait for fan-out (V3).
   *
   * @throws Refusal `room_busy`
   */
  checkBacklog(name: string): void {
    const { roomBacklogBytes, queueBytesTotal } = this.#context.config;
    const bytes = this.byName.get(name)?.backlogBytes ?? 0;
    if (bytes > roomBacklogBytes) {
      throw new Refusal(
        'room_busy',
        `${bytes} bytes wait to be fanned out in this room; ${roomBacklogBytes} are allowed.`,
      );
    }
    if (this.backlog.isFull(bytes)) {
      throw new Refusal(
        'room_busy',
        `${bytes} bytes wait to be fanned out in this room, ${this.backlog.bytes} in all; ${queueBytesTotal} are allowed in all.`,
      );
    }
  }

  /** Fails every pending and later join. */
  close(): void {
    for (const room of this.byName.values()) room.lifecycle.close('the server is shutting down');
  }

  /** Waits for the broker, or for a concurrent first join or last leave of the same room. */
  #enterLater<T>(
    name: string,
    who: string,
    check: () => void,
    prepare: (room: Room) => Promise<void> | null,
    enter: (room: Room) => T,
  ): Promise<T> {
    const { calls, tasks } = this.#context;
    return tasks.go(`join ${who}`, async (task) => {
      for (;;) {
        const room = this.#room(name);
        let guard: Guard | undefined;
        try {
          guard = await this.#hold(room, task);
          if (room.isGone) continue;
          check();
          if (!room.isSubscribed) {
            room.subscribed(await calls.subscribe(name));
            check();
          }
          for (let wait = prepare(room); wait !== null; wait = prepare(room)) {
            await wait;
            check();
          }
          return enter(room);
        } finally {
          guard?.release();
          this.closeIfEmpty(room);
        }
      }
    });
  }

  /** Takes the read lock if the room is subscribed, else the write lock, to subscribe. */
  async #hold({ isSubscribed, lifecycle }: Room, task: Task): Promise<Guard> {
    const { calls, closing, config } = this.#context;
    const options = { task, signal: closing, timeoutMs: config.brokerTimeoutMs };
    try {
      if (isSubscribed) return await lifecycle.read('Rooms.enter', options);
      return await lifecycle.write('Rooms.subscribe', options);
    } catch (error) {
      // The lock holder is waiting for the broker, so a timeout here is the broker's.
      throw calls.refusal(error);
    }
  }

  #room(name: string): Room {
    let room = this.byName.get(name);
    if (room === undefined) {
      const { maxRooms } = this.#context.config;
      if (maxRooms > 0 && this.byName.size >= maxRooms) {
        throw new Refusal('no_more_rooms', `The server has ${maxRooms} rooms, the most it allows.`);
      }
      room = new Room(name, this.backlog, this.#context.observer, this.#context.detector);
      this.byName.set(name, room);
    }
    return room;
  }

  async #lastLeave(room: Room, task: Task): Promise<void> {
    const guard = room.lifecycle.tryWrite('Rooms.unsubscribe', task);
    // The lock holder calls `closeIfEmpty` again when it is done.
    if (guard === null) return;
    try {
      if (room.isSubscribed) {
        await this.#context.calls.unsubscribe(room.name);
      }
    } catch {
      // The broker may go on delivering for this room, and the hub ignores that. The next first join
      // subscribes again.
      this.#context.observer.refused('broker_unavailable');
    } finally {
      room.isSubscribed = false;
      room.isGone = true;
      this.byName.delete(room.name);
      guard.release();
    }
  }
}

/**
 * The rooms of a server: each from its first join, which subscribes at the broker, to its last leave.
 *
 * V2: broker I/O happens under `room.lifecycle` only, with a deadline. V3: what waits to be fanned out is
 * bounded. V8: every wait is a task, has a name, and ends with its deadline or with `close`.
 *
 * Not here: who may join (`memberships.ts`), who is in a room (`room.ts`).
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
  /** Ends every wait. */
  readonly closing: AbortSignal;
}

export class Rooms {
  readonly byName = new Map<string, Room>();
  /** Of all rooms. */
  readonly backlog: Backlog;
  readonly #context: RoomsContext;

  constructor(context: RoomsContext) {
    this.#context = context;
    this.backlog = new Backlog(context.config);
  }

  /**
   * Has `enter` put somebody into the room, at once where it is subscribed. `check` throws when that
   * must not be, and is asked again after each wait; `who` names the wait. `prepare` comes in the same
   * step before `enter`, and returns what has to be waited for first, or null.
   *
   * @throws Refusal what `check` throws, `no_more_rooms`, `broker_unavailable`, `shutting_down`; as a
   *   rejection where the broker has to be asked.
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
        // It fails again when it is asked again.
        wait?.catch(() => {});
      } finally {
        guard.release();
      }
    }
    return this.#enterLater(name, who, check, prepare, enter);
  }

  /** Lets go of a room nobody is in: tells the broker, unless somebody joins meanwhile. */
  closeIfEmpty(room: Room): void {
    const { tasks, closing } = this.#context;
    if (room.size > 0 || room.isGone || closing.aborted) return;
    void tasks.go(`leave ${room.name}`, (task) => this.#lastLeave(room, task));
  }

  /**
   * A server that cannot fan out as fast as it is published to says so to the publishers (V3).
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

  /** Nobody enters any more. */
  close(): void {
    for (const room of this.byName.values()) room.lifecycle.close('the server is shutting down');
  }

  /** Waits for the broker, or for another first join or last leave that does. */
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

  /** For reading where somebody is in the room, else for writing: it is to be subscribed. */
  async #hold({ isSubscribed, lifecycle }: Room, task: Task): Promise<Guard> {
    const { calls, closing, config } = this.#context;
    const options = { task, signal: closing, timeoutMs: config.brokerTimeoutMs };
    try {
      if (isSubscribed) return await lifecycle.read('Rooms.enter', options);
      return await lifecycle.write('Rooms.subscribe', options);
    } catch (error) {
      // Whoever holds it waits for the broker.
      throw calls.refusal(error);
    }
  }

  #room(name: string): Room {
    let room = this.byName.get(name);
    if (room === undefined) {
      const { maxRooms } = this.#context.config;
      if (maxRooms > 0 && this.byName.size >= maxRooms) {
        throw new Refusal('no_more_rooms', `There are ${maxRooms} rooms; so many are allowed.`);
      }
      room = new Room(name, this.backlog, this.#context.observer, this.#context.detector);
      this.byName.set(name, room);
    }
    return room;
  }

  async #lastLeave(room: Room, task: Task): Promise<void> {
    const guard = room.lifecycle.tryWrite('Rooms.unsubscribe', task);
    // Whoever holds it looks again when done.
    if (guard === null) return;
    try {
      if (room.isSubscribed) {
        await this.#context.calls.unsubscribe(room.name);
      }
    } catch {
      // What it still delivers for a room that is gone is not passed on; the next first join
      // subscribes anew.
      this.#context.observer.refused('broker_unavailable');
    } finally {
      room.isSubscribed = false;
      room.isGone = true;
      this.byName.delete(room.name);
      guard.release();
    }
  }
}

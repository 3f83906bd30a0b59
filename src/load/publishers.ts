/**
 * Decides when publishers send. Open loop: on a fixed schedule, each message stamped with the moment it
 * was due, so that a server (or generator) that falls behind cannot hide it. Closed loop: as soon as
 * fewer than `window` messages of the room are unprocessed by its healthy members; rooms without healthy
 * members are left out.
 */
import { unreadRooms } from './assign.js';
import type { Crew } from './crew.js';
import { Latency } from './measure/latency.js';
import type { PublishCounters } from './measure/worker-report.js';
import type { Plan } from './plan.js';
import { Publisher } from './publisher.js';
import type { Link } from './targets/target.js';

/** A closed loop is examined this often, and gives up its messages in flight after this many times
 * without progress. Times are counted, since a blocked generator reads nothing for as long. */
const WATCH_MS = 250;
const STUCK_WATCHES = 4;
/** Upper bound of `aside`, in µs, so that what is done every second is done within that second. */
const ASIDE_MAX = 50_000;

/**
 * Delay, in µs, after each whole second before work that is not part of the load (ticks, reports,
 * samples). An open loop has a message due on every whole second, and work done then would delay the same
 * messages each time; halfway to the next message there is time.
 */
export function aside({ rate }: Plan): number {
  return rate === null ? 0 : Math.min(ASIDE_MAX, 0.5e6 / rate);
}

/** One room of a closed loop. */
interface Loop {
  readonly room: number;
  readonly publishers: Publisher[];
  sent: number;
  turn: number;
  seen: number;
  /** How often it was examined without progress. */
  idle: number;
}

/** All publishers of a worker. */
export class Publishers {
  readonly counters: PublishCounters = {
    sent: 0,
    last: 0,
    blocked: 0,
    stuck: 0,
    closes: {},
    failures: {},
    refused: {},
  };
  /** How late messages were written, in µs. */
  readonly lateness = new Latency();
  readonly #crew: Crew;
  #all: Publisher[] = [];
  #timer: NodeJS.Timeout | undefined;
  #immediate: NodeJS.Immediate | undefined;
  /** When the last phase ends, in µs since the epoch. */
  #end = 0;
  /** Sends the messages of an open loop that are due and not sent yet. */
  #publishDue: (now: number) => void = () => {};

  constructor(crew: Crew) {
    this.#crew = crew;
  }

  /**
   * Opens every publisher's connection; resolves when all are ready or have failed.
   * @param linkOf returns the link of a member of the room; used if members publish
   */
  async connect(linkOf: (room: number) => Link | undefined): Promise<void> {
    const { plan } = this.#crew;
    const open = (number: number): Promise<Publisher> =>
      new Promise((resolve) => {
        const room = Math.floor(number / plan.publishersPerRoom);
        const link = plan.publishFrom === 'members' ? linkOf(room) : undefined;
        const publisher: Publisher = new Publisher(
          this.#crew,
          number,
          this.counters,
          () => queueMicrotask(() => resolve(publisher)),
          link,
        );
      });
    this.#all = await Promise.all(this.#crew.publishers().map(open));
  }

  /**
   * @param start µs since the epoch
   * @param end messages due from then on are not sent, however late `stop` comes
   */
  begin(start: number, end: number): void {
    this.#end = end;
    if (this.#all.length === 0) return;
    if (this.#crew.plan.rate !== null) this.#openLoop(this.#crew.plan.rate, start, end);
    else this.#closedLoop(this.#crew.plan.window ?? 1);
  }

  /** Stops publishing, after sending what is due by now. */
  stop(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
    this.#crew.onArrival = undefined;
    this.#publishDue(this.#crew.now());
  }

  /**
   * Sends one last message per publisher and requests its number from a numbering target. They all go
   * out at once, unlike the messages of the phases, so they are stamped as due at the end of the phases:
   * members are owed them, and their latency is not measured.
   * A publisher whose last message is confirmed sends none.
   * @returns how many were sent
   */
  sendLast(): number {
    let sent = 0;
    const now = this.#crew.now();
    for (const publisher of this.#all) {
      if (!publisher.isConfirmed && publisher.publish(this.#end, now, true)) sent++;
    }
    this.counters.last += sent;
    return sent;
  }

  /** By publisher number: messages sent. */
  sent(): [number, number][] {
    return this.#all.map((publisher) => [publisher.number, publisher.sent]);
  }

  /** Number of publishers whose last message is confirmed. */
  get confirmed(): number {
    return this.#all.filter((publisher) => publisher.isConfirmed).length;
  }

  close(): void {
    for (const publisher of this.#all) publisher.close();
  }

  reset(): void {
    for (const publisher of this.#all) publisher.reset();
  }

  /**
   * Reads the clock for each message: the earlier ones of the same turn took time to write.
   * @param due in µs since the epoch; now, in a closed loop
   */
  #publish(publisher: Publisher, due?: number): boolean {
    const now = this.#crew.now();
    const from = due ?? now;
    const sent = publisher.publish(from, now, false);
    if (sent) this.lateness.record(now - from);
    else this.counters.blocked++;
    return sent;
  }

  /**
   * Message `k` of the whole run is due at `start + k / rate` and comes from publisher `k mod all`: the
   * rooms take turns, and the publishers of a room take turns. A worker sends those of its publishers.
   */
  #openLoop(rate: number, start: number, end: number): void {
    const { rooms, publishersPerRoom } = this.#crew.plan;
    const all = rooms * publishersPerRoom;
    const turnOf = ({ number, room }: Publisher): number =>
      (number - room * publishersPerRoom) * rooms + room;
    const inTurn = this.#all.toSorted((a, b) => turnOf(a) - turnOf(b));
    const own = inTurn.length;
    let next = 0;
    const dueAt = (i: number): number =>
      start + ((Math.floor(i / own) * all + turnOf(inTurn[i % own]!)) / rate) * 1e6;
    this.#publishDue = (now) => {
      for (let due = dueAt(next); due <= now && due < end; due = dueAt(next)) {
        this.#publish(inTurn[next++ % own]!, due);
      }
    };
    const tick = (): void => {
      const now = this.#crew.now();
      this.#publishDue(now);
      if (dueAt(next) < end) this.#timer = setTimeout(tick, (dueAt(next) - now) / 1000);
    };
    tick();
  }

  #closedLoop(window: number): void {
    const loops = new Map<number, Loop>();
    const unread = new Set(unreadRooms(this.#crew.plan));
    for (const publisher of this.#all) {
      const { room } = publisher;
      if (unread.has(room)) continue;
      const loop = loops.get(room);
      if (loop) loop.publishers.push(publisher);
      else loops.set(room, { room, publishers: [publisher], sent: 0, turn: 0, seen: 0, idle: 0 });
    }
    const pump = (): void => {
      this.#immediate = undefined;
      for (const loop of loops.values()) this.#fill(loop, window);
    };
    // Runs once the event loop has read everything that arrived, and regularly, to notice a standstill.
    this.#crew.onArrival = () => {
      this.#immediate ??= setImmediate(pump);
    };
    const watch = (): void => {
      for (const loop of loops.values()) loop.idle++;
      pump();
      this.#timer = setTimeout(watch, WATCH_MS);
    };
    watch();
  }

  #fill(loop: Loop, window: number): void {
    const { publishers } = loop;
    const seen = this.#crew.seen(loop.room);
    while (loop.sent - seen < window) {
      if (!this.#publish(publishers[loop.turn++ % publishers.length]!)) break;
      loop.sent++;
    }
    if (seen !== loop.seen) {
      loop.seen = seen;
      loop.idle = 0;
    } else if (loop.idle > STUCK_WATCHES) {
      this.counters.stuck++;
      loop.idle = 0;
      this.#crew.forgive(loop.room, loop.sent);
    }
  }
}

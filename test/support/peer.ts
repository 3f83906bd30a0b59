/**
 * A peer of a core, and its witness, who reads what the peer reads and fails the moment it breaks
 * what the protocol promises (V4, V5, order of replies, states of health).
 */
import type { HealthState } from '../../src/protocol/events.js';
import type { Member } from '../../src/room/member.js';
import type { Session } from '../../src/session/session.js';
import type { Core } from './core.js';
import { clocks, type FakeName, FakeTransport, type Received } from './fake-transport.js';

export type Say =
  | { type: 'join' | 'leave'; room: string }
  | { type: 'publish'; room: string; data: unknown; key?: string }
  | { type: 'ping' };

/** Where the server was with a room when it carried out a join or a leave of a member. */
export interface Mark {
  readonly what: 'join' | 'leave';
  readonly room: string;
  readonly seq: number;
}

type Told<Type> = Extract<Received, { type: Type }>;
type Fail = (why: string) => never;

const MOVES: Record<HealthState, readonly HealthState[]> = {
  healthy: ['lagging', 'shedding'],
  lagging: ['healthy', 'shedding'],
  shedding: ['healthy'],
};

export class Peer {
  readonly transport: FakeTransport;
  readonly session: Session;
  /** The rooms it is in as far as it has read, each with the next seq it has to hear of. */
  readonly rooms = new Map<string, number>();
  /** What the peer has not read of yet. */
  readonly marks: Mark[] = [];
  readonly received = { messages: 0, gaps: 0 };
  readonly healthEvents: { state: HealthState; at: number }[] = [];
  closing: number | null = null;
  /** When it was last seen with nothing left to read. */
  drained = clocks();
  /** Since when, at least, it has been there to be judged. */
  judgedSince = Date.now();
  /** Policies of the rooms it has ever been in. */
  readonly policies = new Set<string>();
  /** It has been slow enough for it. */
  mayBeEvicted = false;
  readonly #core: Core;
  #ids = 0;
  #replies = 0;
  /** The room of a gap that says `left`: the reply has to follow. */
  #leaving: string | null = null;

  constructor(core: Core, name: FakeName) {
    this.#core = core;
    this.transport = new FakeTransport({
      name,
      framing: core.framing(name),
      onEvent: (event) => core.guard(() => this.#witness(event)),
    });
    this.session = core.sessions.accept(this.transport) as Session;
    this.transport.sink = this.session;
  }

  get member(): Member {
    return this.session.member;
  }

  get health(): HealthState {
    return this.healthEvents.at(-1)?.state ?? 'healthy';
  }

  /** Says something that is answered, whatever it is. */
  say(command: Say): void {
    this.#ids += 1;
    this.transport.say(JSON.stringify({ id: this.#ids, ...command }));
  }

  /** Commands that were answered, and how many there were. */
  get replies(): readonly [answered: number, asked: number] {
    return [this.#replies, this.#ids];
  }

  #mark(what: Mark['what'], room: string): number {
    const mark = this.marks.shift();
    if (mark?.what === what && mark.room === room) return mark.seq;
    throw new Error(`${what} ${room}: the server did ${JSON.stringify(mark)}`);
  }

  #witness(event: Received): void {
    const say = JSON.stringify(event).slice(0, 200);
    const fail: Fail = (why) => {
      throw new Error(`${this.member.id}: ${why}: ${say}`);
    };
    if (this.closing !== null) fail('something after closing');
    // The reply may be what its control lane has no room for: then the connection ends here.
    if (this.#leaving !== null && event.type !== 'left' && event.type !== 'closing') {
      fail('something between gap and left');
    }
    if ('id' in event) {
      this.#replies += 1;
      if (event.id !== this.#replies) fail(`reply ${event.id} where ${this.#replies} is due`);
    }
    switch (event.type) {
      case 'joined':
        if (this.rooms.has(event.room)) fail('joined twice');
        if (event.seq !== this.#mark('join', event.room)) fail('joined at another seq');
        this.rooms.set(event.room, event.seq + 1);
        break;
      case 'message': {
        const next = this.rooms.get(event.room) ?? fail('message of no room of mine');
        if (event.seq !== next) fail(`message where ${next} is due`);
        this.rooms.set(event.room, next + 1);
        this.received.messages += 1;
        this.#checkMessage(event, fail);
        break;
      }
      case 'gap': {
        const { room, from, to, count, reason } = event;
        const next = this.rooms.get(room) ?? fail('gap of no room of mine');
        if (from !== next) fail(`gap where ${next} is due`);
        if (to < from || count !== to - from + 1) fail('gap that does not count');
        this.rooms.set(room, to + 1);
        this.received.gaps += count;
        if (reason === 'left') this.#leaving = room;
        this.#checkReason(event, fail);
        break;
      }
      case 'left': {
        const next = this.rooms.get(event.room) ?? fail('left no room of mine');
        if (this.#leaving !== null && this.#leaving !== event.room) fail('left another room');
        this.#leaving = null;
        const seq = this.#mark('leave', event.room);
        if (next !== seq + 1) fail(`left at ${seq}, accounted for up to ${next - 1}`);
        this.rooms.delete(event.room);
        break;
      }
      case 'health':
        if (!MOVES[this.health].includes(event.state)) fail(`health after ${this.health}`);
        this.healthEvents.push({ state: event.state, at: performance.now() });
        break;
      case 'closing':
        this.closing = event.code;
        break;
      default:
    }
  }
  /** Whether there could be this message. */
  #checkMessage({ room, seq, at }: Told<'message'>, fail: Fail): void {
    if (this.#core.broker.lost.has(`${room}/${seq}`)) fail('was lost by the broker');
    if (at > Date.now()) fail('is from the future');
  }

  /** Whether a gap could have the reason it gives. */
  #checkReason({ room, from, to, reason }: Told<'gap'>, fail: Fail): void {
    const { lost, keys } = this.#core.broker;
    const policy = this.#core.policyOf(room);
    for (let seq = from; seq <= to; seq += 1) {
      const isLost = lost.has(`${room}/${seq}`);
      if (reason === 'broker' && !isLost) fail(`the broker has not lost ${seq}`);
      if (reason === 'conflated') {
        if (policy !== 'latest-by-key') fail(`conflated under ${policy}`);
        const key = keys.get(`${room}/${seq}`);
        const newer = [...keys].some(
          ([place, other]) =>
            other === key &&
            place.startsWith(`${room}/`) &&
            Number(place.slice(room.length + 1)) > seq,
        );
        if (!isLost && (key === undefined || !newer)) fail(`nothing has replaced ${seq}`);
      }
    }
  }
}

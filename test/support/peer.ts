/**
 * A peer of a core, and its witness, which reads what the peer reads and fails as soon as it breaks the
 * protocol (V4, V5, order of replies, states of health).
 */
import type { HealthState, Position } from '../../src/protocol/events.js';
import type { Member } from '../../src/room/member.js';
import type { Session } from '../../src/session/session.js';
import type { Core } from './core.js';
import { clocks, type FakeName, FakeTransport, type Received } from './fake-transport.js';
import { ScriptedBroker } from './scripted-broker.js';

export type Say =
  | { type: 'join'; room: string; since?: Position; last?: number; presence?: boolean }
  | { type: 'leave'; room: string }
  | { type: 'publish'; room: string; data: unknown; key?: string }
  | { type: 'history'; room: string; from: number; to: number; epoch?: string }
  | { type: 'history'; room: string; last: number; before?: number }
  | { type: 'ping' };

/** The server's position in a room when it carried out a join or a leave of a member. */
export interface Mark extends Position {
  readonly what: 'join' | 'leave';
  readonly room: string;
}

/** A room as its member has read it so far. */
interface Read {
  epoch: string;
  /** The next number it must receive or be told of. */
  next: number;
}

type Told<Type> = Extract<Received, { type: Type }>;
type Recovered = Told<'joined'>['recover'];
type Fail = (why: string) => never;

const MOVES: Record<HealthState, readonly HealthState[]> = {
  healthy: ['lagging', 'shedding'],
  lagging: ['healthy', 'shedding'],
  shedding: ['healthy'],
};

export class Peer {
  readonly transport: FakeTransport;
  readonly session: Session;
  /** The rooms it is in, as far as it has read. */
  readonly rooms = new Map<string, Read>();
  /** Joins and leaves that the peer has not read yet. */
  readonly marks: Mark[] = [];
  readonly received = { messages: 0, gaps: 0 };
  readonly healthEvents: { state: HealthState; at: number }[] = [];
  closing: number | null = null;
  /** When it last had nothing left to read. */
  drained = clocks();
  /** Since when, at least, stall checks apply to it. */
  judgedSince = Date.now();
  /** Policies of the rooms it has ever been in. */
  readonly policies = new Set<string>();
  /** It may read all history. */
  mayRead = true;
  /** It has been slow enough to be evicted. */
  mayBeEvicted = false;
  readonly #core: Core;
  /** Its unanswered commands by id, oldest first. */
  readonly #asked = new Map<number, Say>();
  #ids = 0;
  #replies = 0;
  /** Pages received for history requests that are not complete yet, by id. */
  readonly #pasts = new Map<number, Told<'past'>[]>();
  /** The room of a gap with reason `left`: the reply must follow. */
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

  /** Sends a command that is always answered. */
  say(command: Say): void {
    this.#ids += 1;
    this.#asked.set(this.#ids, command);
    this.transport.say(JSON.stringify({ id: this.#ids, ...command }));
  }

  /** Number of answered commands, and of all. */
  get replies(): readonly [answered: number, asked: number] {
    return [this.#replies, this.#ids];
  }

  #mark(what: Mark['what'], room: string): Mark {
    const mark = this.marks.shift();
    if (mark?.what === what && mark.room === room) return mark;
    throw new Error(`${what} ${room}: the server did ${JSON.stringify(mark)}`);
  }

  #witness(event: Received): void {
    const say = JSON.stringify(event).slice(0, 200);
    const fail: Fail = (why) => {
      throw new Error(`${this.member.id}: ${why}: ${say}`);
    };
    if (this.closing !== null) fail('something after closing');
    // The control lane may have no room for the reply: then the connection ends here.
    if (this.#leaving !== null && !['gap', 'reset', 'left', 'closing'].includes(event.type)) {
      fail('something between gap and left');
    }
    let asked: Say | undefined;
    if ('id' in event && event.type !== 'past') {
      this.#replies += 1;
      asked = this.#answered(event.id as number, fail);
    }
    switch (event.type) {
      case 'joined':
        this.#checkJoined(event, asked as Say & { type: 'join' }, fail);
        break;
      case 'message': {
        const read = this.rooms.get(event.room) ?? fail('message of no room of mine');
        if (event.seq !== read.next) fail(`message where ${read.next} is due`);
        this.#checkMessage(event, read, fail);
        read.next += 1;
        this.received.messages += 1;
        break;
      }
      case 'past': {
        const id = event.id as number | undefined;
        if (id !== undefined) {
          if (this.#asked.get(id)?.type !== 'history') fail('past that was not asked for');
          this.#pasts.set(id, [...(this.#pasts.get(id) ?? []), event]);
        }
        for (const message of event.messages) {
          const told = { type: 'message' as const, room: event.room, ...message };
          this.#checkMessage(told, { epoch: event.epoch, next: 0 }, fail);
        }
        break;
      }
      case 'history':
        if (asked?.type === 'history') this.#checkHistory(event, asked, fail);
        break;
      case 'gap': {
        const { room, from, to, count, reason } = event;
        const read = this.rooms.get(room) ?? fail('gap of no room of mine');
        if (from !== read.next) fail(`gap where ${read.next} is due`);
        if (to < from || count !== to - from + 1) fail('gap that does not count');
        this.#checkReason(event, read, fail);
        read.next = to + 1;
        this.received.gaps += count;
        if (reason === 'left') this.#leaving = room;
        break;
      }
      case 'reset': {
        const { room, epoch, seq, was } = event;
        const read = this.rooms.get(room) ?? fail('reset of no room of mine');
        const reset = this.#core.broker.resets.get(room)?.find(({ to }) => to.epoch === epoch);
        if (reset?.to.seq !== seq) fail('reset that never was');
        if (was.epoch !== read.epoch || was.seq !== read.next - 1) fail('was somewhere else');
        if (was.epoch !== reset?.was.epoch || was.seq !== reset.was.seq) fail('was at another end');
        this.rooms.set(room, { epoch, next: seq + 1 });
        break;
      }
      case 'left': {
        const { epoch, next } = this.rooms.get(event.room) ?? fail('left no room of mine');
        if (this.#leaving !== null && this.#leaving !== event.room) fail('left another room');
        this.#leaving = null;
        const mark = this.#mark('leave', event.room);
        if (epoch !== mark.epoch || next !== mark.seq + 1) {
          fail(`left at ${mark.seq}, accounted for up to ${next - 1}`);
        }
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

  /**
   * Finds the command of a reply: only replies to publishes and history requests may be overtaken by
   * later ones.
   */
  #answered(id: number, fail: Fail): Say {
    for (const [due, { type }] of this.#asked) {
      if (due === id) break;
      if (type !== 'publish' && type !== 'history') fail(`reply ${id} where ${due} is due`);
    }
    const asked = this.#asked.get(id) ?? fail('reply to nothing');
    this.#asked.delete(id);
    return asked;
  }

  /** Sets its position in the room, and checks the answer to its position (V17). */
  #checkJoined({ room, epoch, seq, recover }: Told<'joined'>, asked: Say, fail: Fail): void {
    if (this.rooms.has(room)) fail('joined twice');
    const mark = this.#mark('join', room);
    if (epoch !== mark.epoch || seq !== mark.seq) fail('joined at another position');
    const since = asked.type === 'join' ? asked.since : undefined;
    const last = asked.type === 'join' ? asked.last : undefined;
    if (last !== undefined) this.#checkLast(last, mark, recover, fail);
    else this.#checkSince(since, mark, recover, fail);
    this.rooms.set(room, { epoch, next: recover?.from ?? seq + 1 });
  }

  /** Checks a message against what was published under its number (V20). */
  #checkMessage({ room, seq, at, data }: Told<'message'>, { epoch }: Read, fail: Fail): void {
    const { published, lost, keeps } = this.#core.broker;
    const place = ScriptedBroker.place(room, { epoch, seq });
    if (published.get(place)?.data !== JSON.stringify(data)) fail('is another');
    if (lost.has(place) && keeps === 0) fail('was lost by the broker');
    if (at > Date.now()) fail('is from the future');
  }

  /** Checks that a gap can have its reason. */
  #checkReason({ room, from, to, reason }: Told<'gap'>, read: Read, fail: Fail): void {
    const { lost, published, hasFailedToRead, lies } = this.#core.broker;
    const policy = this.#core.policyOf(room);
    const expired = this.#core.broker.expiredTo({ room, ...read });
    if (reason === 'expired' && to > expired && !lies && this.mayRead) fail('is kept');
    for (let seq = from; seq <= to; seq += 1) {
      const place = ScriptedBroker.place(room, { epoch: read.epoch, seq });
      const isLost = lost.has(place);
      if (reason === 'broker' && !isLost && !hasFailedToRead)
        fail(`the broker has not lost ${seq}`);
      if (reason !== 'conflated' || isLost) continue;
      if (policy !== 'latest-by-key') fail(`conflated under ${policy}`);
      const key = published.get(place)?.key;
      if (key === undefined || !this.#isReplaced(room, place, key))
        fail(`nothing has replaced ${seq}`);
    }
  }

  /** True if a later publication of the room has the same key. */
  #isReplaced(room: string, place: string, key: string): boolean {
    let isLater = false;
    for (const [other, payload] of this.#core.broker.published) {
      if (isLater && payload.key === key && other.startsWith(`${room} `)) return true;
      if (other === place) isLater = true;
    }
    return false;
  }

  #checkSince(since: Position | undefined, mark: Mark, recover: Recovered, fail: Fail): void {
    const { epoch, seq } = mark;
    const say = (due: object | undefined) => {
      if (JSON.stringify(recover) !== JSON.stringify(due)) fail(`${JSON.stringify(due)} is due`);
    };
    if (since === undefined) say(undefined);
    else if (since.epoch !== epoch) say({ result: 'epoch_changed' });
    else if (since.seq > seq) say({ result: 'ahead' });
    else if (since.seq === seq) say({ result: 'complete' });
    else {
      const from = since.seq + 1;
      const { broker } = this.#core;
      const result = recover?.result ?? fail('no answer to since');
      say({ result, from, to: seq });
      const isLess = result === 'partial' && from > broker.expiredTo(mark);
      if (isLess && !broker.lies && this.mayRead) {
        fail('all of it is kept');
      }
      if (result === 'complete' && broker.keeps === 0) fail('nothing is kept');
      if (result !== 'partial' && result !== 'complete') fail('that is no answer');
    }
  }

  /** Checks that pages and missing ranges together make up the requested range. */
  #checkHistory(event: Told<'history'>, asked: Say & { type: 'history' }, fail: Fail): void {
    const { room, epoch, from, to, count, missing, next = to + 1 } = event;
    const pasts = this.#pasts.get(event.id as number) ?? [];
    this.#pasts.delete(event.id as number);
    if (pasts.some((past) => past.epoch !== epoch || past.room !== room)) fail('of another room');
    const had = pasts.flatMap(({ messages }) => messages.map(({ seq }) => seq));
    if (had.length !== count) fail(`${had.length} messages`);
    const gone = missing.flatMap(([first, last]) =>
      Array.from({ length: last - first + 1 }, (_, i) => first + i),
    );
    const due = Array.from({ length: next - from }, (_, i) => from + i);
    const all = [...had, ...gone].toSorted((one, other) => one - other);
    if (all.join() !== due.join()) fail(`${all} where ${due} are due`);
    if (had.some((seq, i) => i > 0 && seq <= (had[i - 1] as number))) fail('not rising');
    const isThen = 'from' in asked && asked.epoch !== undefined && asked.epoch !== epoch;
    const expired = this.#core.broker.expiredTo({ room, epoch });
    const { lies } = this.#core.broker;
    if (!isThen && !lies && gone.some((seq) => seq > expired)) fail('is kept');
    if ('from' in asked ? from !== asked.from || to > asked.to : to - from >= asked.last) {
      fail('another range');
    }
  }

  #checkLast(last: number, mark: Mark, recover: Recovered, fail: Fail): void {
    const least = Math.max(1, mark.seq - last + 1);
    const { result, from = mark.seq + 1, to } = recover ?? fail('no answer to last');
    if (result !== 'complete' || from < least) fail('more than were asked for');
    if (from <= mark.seq && to !== mark.seq) fail('not the last');
    if (from > least && from - 1 > this.#core.broker.expiredTo(mark)) fail('more are kept');
  }
}

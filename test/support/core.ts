/**
 * The core as a server has it (sessions, hub, rooms, members, recorder), on transports without a
 * network and a broker that does as it is told. Every peer has a witness, who reads what the peer
 * reads and fails the moment it breaks what the protocol promises (V4, V5, order of replies,
 * states of health). `check` holds the rest of the invariants to what can be seen from outside.
 */
import { vi } from 'vitest';
import { type Config, defaults } from '../../src/config.js';
import { Connections } from '../../src/connections.js';
import { Recorder } from '../../src/metrics/recorder.js';
import type { HealthState } from '../../src/protocol/events.js';
import { JsonCodec } from '../../src/protocol/json.js';
import { Batch, Frame, type Held, QueueMemory } from '../../src/room/frame.js';
import { Hub } from '../../src/room/hub.js';
import { BATCH_BYTES, Member } from '../../src/room/member.js';
import type { Session } from '../../src/session.js';
import type { Encoding, Framing } from '../../src/transport/transport.js';
import { clocks, type FakeName, FakeTransport, FRAMINGS, type Received } from './fake-transport.js';
import { type BrokerScript, ScriptedBroker } from './scripted-broker.js';

/** Members are judged every 50 ms. */
const LATE_MS = 100;
/** A gap, its framing, and what else may ride on a full batch. */
const SLACK_BYTES = 512;

export type Say =
  | { type: 'join' | 'leave'; room: string }
  | { type: 'publish'; room: string; data: unknown; key?: string }
  | { type: 'ping' };

/** Where the server was with a room when it carried out a join or a leave of a member. */
interface Mark {
  readonly what: 'join' | 'leave';
  readonly room: string;
  readonly seq: number;
}

const MOVES: Record<HealthState, readonly HealthState[]> = {
  healthy: ['lagging', 'shedding'],
  lagging: ['healthy', 'shedding'],
  shedding: ['healthy'],
  evicted: [],
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
    this.session = core.connections.accept(this.transport) as Session;
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
    const fail = (why: string): never => {
      throw new Error(`${this.member.id}: ${why}: ${say}`);
    };
    if (this.closing !== null) fail('something after closing');
    if (this.#leaving !== null && event.type !== 'left') fail('something between gap and left');
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
        this.#core.heard(event.room, event.seq, event.at);
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
        this.#core.checkReason(event, fail);
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
}

export interface CoreOptions {
  readonly config?: Partial<Config>;
  readonly broker?: BrokerScript;
}

export class Core {
  readonly config: Config;
  readonly observer = new Recorder();
  readonly broker: ScriptedBroker;
  readonly hub: Hub;
  readonly connections: Connections;
  readonly peers: Peer[] = [];
  /** Mistakes of the server's, and of what it told its peers. */
  readonly failures: unknown[] = [];
  /** How often each message was encoded, by encoding and text. */
  readonly #encoded = new Map<string, number>();
  readonly #framings = new Map<string, Framing>();
  /** Everything that `QueueMemory` was told to hold. */
  readonly #held = new Map<Held, number>();
  readonly #spies: { mockRestore(): void }[] = [];

  constructor({ config = {}, broker }: CoreOptions = {}) {
    this.config = { ...defaults, publishRate: 0, joinRate: 0, ...config };
    this.#watchMemory();
    this.broker = new ScriptedBroker(broker);
    const codec = new JsonCodec({
      maxCommandBytes: this.config.maxCommandBytes,
      maxRoomNameLength: this.config.maxRoomNameLength,
      roomNamePattern: new RegExp(this.config.roomNamePattern),
      maxJsonDepth: this.config.maxJsonDepth,
    });
    const { observer } = this;
    this.hub = new Hub(this.config, this.broker, codec, observer, (member, reason) =>
      this.connections.close(member, reason),
    );
    this.connections = new Connections({
      config: this.config,
      hub: this.hub,
      codec,
      observer,
      failed: (_, error) => this.failures.push(error),
    });
    this.#watchMembers();
  }

  connect(name: FakeName = 'websocket'): Peer {
    const peer = new Peer(this, name);
    this.peers.push(peer);
    return peer;
  }

  /** The peers that are still connected. */
  get open(): Peer[] {
    return this.peers.filter(({ transport }) => transport.isOpen);
  }

  /** Runs what is a check: the core must not see it throw. */
  guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.failures.push(error);
    }
  }

  /** The framing of that name, counting (V6). */
  framing(name: FakeName): Framing {
    const made = this.#framings.get(name);
    if (made !== undefined) return made;
    const { index, encoding, join } = FRAMINGS[name];
    const counting: Encoding = {
      index: encoding.index,
      encode: (text) => {
        if (text.startsWith('{"type":"message"')) {
          const key = `${encoding.index} ${text}`;
          this.#encoded.set(key, (this.#encoded.get(key) ?? 0) + 1);
        }
        return encoding.encode(text);
      },
    };
    const framing = { index, encoding: counting, join };
    this.#framings.set(name, framing);
    return framing;
  }

  heard(room: string, seq: number, at: number): void {
    if (this.broker.lost.has(`${room}/${seq}`)) throw new Error(`${room}/${seq} was lost`);
    if (at > Date.now()) throw new Error(`${room}/${seq} is from the future`);
  }

  /** Whether a gap could have the reason it gives. */
  checkReason(
    { room, from, to, reason }: { room: string; from: number; to: number; reason: string },
    fail: (why: string) => never,
  ): void {
    const { lost, keys } = this.broker;
    const policy = this.policyOf(room);
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

  policyOf(room: string): string {
    const colon = room.indexOf(':');
    const own = colon < 0 ? undefined : this.config.namespaces[room.slice(0, colon)];
    return own?.policy ?? this.config.policy;
  }

  /** Everything that has to hold whenever nothing is running. */
  check(): void {
    if (this.failures.length > 0) throw this.failures[0];
    this.#checkCounts();
    this.#checkBounds();
    this.#checkMemory();
    for (const [text, times] of this.#encoded) {
      if (times > 1) throw new Error(`V6: encoded ${times} times: ${text.slice(0, 100)}`);
    }
  }

  /** What has to hold of peers that have had everything there is for them. */
  checkDrained(): void {
    this.check();
    for (const peer of this.open) {
      const { member } = peer;
      const say = (what: string) => new Error(`${member.id} (${peer.transport.name}): ${what}`);
      if (!member.isDrained) throw say('is not drained');
      const [answered, asked] = peer.replies;
      if (answered !== asked) throw say(`V5: ${answered} replies to ${asked} commands`);
      if (member.health !== peer.health) {
        throw say(`is ${member.health} and was told ${peer.health}`);
      }
      const rooms = [...member.subscriptions.keys()].sort().join();
      if (rooms !== [...peer.rooms.keys()].sort().join()) throw say(`is in ${rooms}`);
      for (const [name, next] of peer.rooms) {
        const { delivered } = this.broker.topics.get(name)!;
        if (next !== delivered + 1) throw say(`V4: ${name} ends at ${next - 1} of ${delivered}`);
      }
    }
  }

  /** What has to hold when everybody has gone. */
  checkEmpty(): void {
    this.check();
    const { hub } = this;
    const left = [hub.members.size, hub.behind.size, hub.memory.bytes, this.#held.size];
    if (left.some((count) => count !== 0)) {
      throw new Error(`left: members, behind, bytes, held: ${left.join(', ')}`);
    }
  }

  restore(): void {
    for (const spy of this.#spies) spy.mockRestore();
  }

  /** V10: fanned out = delivered + dropped + abandoned + queued. */
  #checkCounts(): void {
    const { totals, droppedBy } = this.observer;
    const dropped = droppedBy.reduce((sum, count) => sum + count, 0);
    let queued = 0;
    for (const member of this.hub.members.values()) queued += member.queuedMessages;
    let behind = 0;
    for (const member of this.hub.behind) behind += member.queuedMessages;
    // A scrape asks only those that are behind.
    if (queued !== behind) throw new Error(`V10: ${queued} queued, ${behind} by those behind`);
    const delivered = this.delivered;
    const sum = delivered + dropped + totals.abandoned + queued;
    if (totals.fannedOut !== sum) {
      throw new Error(
        `V10: ${totals.fannedOut} fanned out, ${delivered} delivered + ${dropped} dropped + ${totals.abandoned} abandoned + ${queued} queued`,
      );
    }
  }

  get delivered(): number {
    return this.observer.deliverySeconds.total();
  }

  /**
   * Whoever takes nothing is evicted in time, and only who has taken nothing. `isQuiet` when no
   * turn of the loop is due, in which an eviction could be carried out.
   */
  checkStalls(isQuiet: boolean): void {
    const { stallAfterMs } = this.config;
    for (const peer of this.peers) {
      const { member, transport, drained } = peer;
      const say = (what: string) => new Error(`${member.id} (${transport.name}): ${what}`);
      const end = transport.isOpen ? performance.now() : transport.closedAt;
      const stalled = end - Math.max(transport.progress.now, drained.now);
      // What was found in a stall is carried out, also when the stall is over.
      if (stalled >= stallAfterMs || peer.policies.has('disconnect')) peer.mayBeEvicted = true;
      if (transport.closed === 'slow_consumer' && !peer.mayBeEvicted) {
        throw say(`evicted after ${stalled} ms`);
      }
      if (!transport.isOpen) continue;
      if (member.isDrained) peer.drained = clocks();
      if (member.isDrained || !isQuiet) peer.judgedSince = Date.now();
      const stalledMs = Date.now() - Math.max(transport.progress.date, peer.judgedSince);
      if (stalledMs > stallAfterMs + LATE_MS) {
        throw say(`has taken nothing for ${stalledMs} ms and is there`);
      }
    }
  }

  /** V3: nobody holds more than the bounds allow. */
  #checkBounds(): void {
    const { config } = this;
    for (const { member, transport, session } of this.peers) {
      const outstanding = transport.outstanding?.length ?? 0;
      const say = (what: string) => new Error(`V3: ${member.id}: ${what}`);
      const largest = Math.max(BATCH_BYTES, config.maxMessageBytes) + SLACK_BYTES;
      if (transport.largestBatch > largest) throw say(`batch of ${transport.largestBatch}`);
      // One queue for each policy there is.
      const policies = 1 + Object.keys(config.namespaces).length;
      const bytes = policies * config.queueBytes + config.controlBytes + outstanding;
      if (member.queuedBytes > bytes) throw say(`${member.queuedBytes} bytes of ${bytes}`);
      const isGone = session.hasClosed;
      if (isGone && (member.queuedBytes > 0 || member.queuedMessages > 0)) throw say('holds on');
      if (isGone && this.hub.members.has(member.id)) throw say('is gone and a member');
    }
  }

  /** The memory of the queues is the sum of what is held, each counted once. */
  #checkMemory(): void {
    const { memory, members } = this.hub;
    let bytes = 0;
    let holders = 0;
    let messages = 0;
    const batches = new Map<Buffer, Batch>();
    for (const [item, count] of this.#held) {
      if (item.holders !== count) throw new Error('holders do not add up');
      bytes += item.heldBytes;
      if (item instanceof Frame && item.counted) messages += count;
      if (!(item instanceof Batch)) continue;
      batches.set(item.bytes, item);
      holders += count;
      // The frames in it are kept by it, once.
      messages -= item.messages;
    }
    let outstanding = 0;
    let queued = 0;
    for (const { member, transport } of this.peers) {
      if (!members.has(member.id)) continue;
      queued += member.queuedMessages;
      if (transport.outstanding === null) continue;
      outstanding += 1;
      const batch = batches.get(transport.outstanding);
      if (batch === undefined) throw new Error('outstanding, and not held');
      queued -= batch.messages;
    }
    if (holders !== outstanding) throw new Error(`${holders} batches held of ${outstanding}`);
    if (messages !== queued) throw new Error(`${messages} messages held of ${queued}`);
    // Beside them: control lanes, and the slots of rings.
    const others = memory.bytes - bytes;
    const { controlBytes, queueMessages, namespaces } = this.config;
    const policies = 1 + Object.keys(namespaces).length;
    const slots = policies * 8 * Math.max(16, 4 * queueMessages);
    if (others < 0 || others > members.size * (controlBytes + slots)) {
      throw new Error(`${memory.bytes} bytes of memory, ${bytes} held`);
    }
  }

  #watchMemory(): void {
    const held = this.#held;
    const { hold, release } = QueueMemory.prototype;
    this.#spies.push(
      vi.spyOn(QueueMemory.prototype, 'hold').mockImplementation(function (
        this: QueueMemory,
        item: Held,
      ) {
        held.set(item, (held.get(item) ?? 0) + 1);
        hold.call(this, item);
      }),
      vi.spyOn(QueueMemory.prototype, 'release').mockImplementation(function (
        this: QueueMemory,
        item: Held,
      ) {
        const holders = (held.get(item) ?? 0) - 1;
        if (holders > 0) held.set(item, holders);
        else held.delete(item);
        release.call(this, item);
      }),
    );
  }

  /** Where the rooms are when somebody joins and leaves. */
  #watchMembers(): void {
    const mark = (member: Member, what: Mark['what'], room: string, seq: number) => {
      const { delivered } = this.broker.topics.get(room)!;
      if (seq !== delivered) {
        this.failures.push(new Error(`${what} ${room} at ${seq}, which is at ${delivered}`));
      }
      const peer = this.peers.find((each) => each.member === member);
      peer?.marks.push({ what, room, seq });
      peer?.policies.add(this.policyOf(room));
    };
    const { join, leave } = Member.prototype;
    this.#spies.push(
      vi.spyOn(Member.prototype, 'join').mockImplementation(function (this: Member, subscription) {
        mark(this, 'join', subscription.room, subscription.offered);
        join.call(this, subscription);
      }),
      vi.spyOn(Member.prototype, 'leave').mockImplementation(function (this: Member, ...args) {
        mark(this, 'leave', args[0].room, args[1]);
        leave.apply(this, args);
      }),
    );
  }
}

/**
 * V15: rights are taken away at any moment (a join waits for the broker, a flush is cut in two, a batch
 * is outstanding, a queue is full, an `auth` is under way, a member reads again what it has missed, a page
 * of that is being read, a poll is open or none is), all of them in a room or only those to its history or to
 * who is in it, and nothing of what was taken away is handed to the transport afterwards; what the member
 * had not had is told by a gap, so that V4 holds on.
 * What else has to hold is in `support/peer.ts` and `support/invariants.ts`.
 */
import fc from 'fast-check';
import { expect, it, vi } from 'vitest';
import { Grants } from '../../src/auth/grants.js';
import { ACTIONS, type Action, type Identity } from '../../src/room/identity.js';
import type { Member } from '../../src/room/member.js';
import { Memberships } from '../../src/room/memberships.js';
import { Core } from '../support/core.js';
import { FakeTransport, textsIn } from '../support/fake-transport.js';
import { Loop } from '../support/loop.js';
import type { Peer } from '../support/peer.js';
import type { Answer } from '../support/scripted-broker.js';
import { SECRET } from '../support/tokens.js';
import { freezeClocks } from '../support/virtual.js';

const ROOMS = ['a', 'b', 'c:a', 'c:b'] as const;
const USERS = ['1', '2'] as const;

/** What a token says: the user, and the actions by room. */
interface Said {
  readonly user: string;
  readonly rooms: Readonly<Partial<Record<string, readonly Action[]>>>;
}
const EVERYTHING: Said['rooms'] = Object.fromEntries(ROOMS.map((each) => [each, ACTIONS]));

class World {
  readonly core: Core;
  readonly loop: Loop;
  readonly scheduler: fc.Scheduler;
  readonly known = new Map<object, Said>();
  /** What the last token of each member has said. */
  readonly allowed = new Map<Member, Said>();
  /** In force, by the model: user and pattern. */
  readonly revoked = new Map<string, { user: string; room: string }>();
  readonly #answers: Iterator<Answer>;
  isEnding = false;
  readonly handedOver = { message: 0, past: 0, presence: 0, presence_diff: 0 };
  /** What was under way when it was cut; the last two: when only that right was taken away. */
  readonly cut = { rooms: 0, polls: 0, replays: 0, backfills: 0, reading: 0, watching: 0 };
  /** Where a room was when a member has joined it: what is older is of its history. */
  readonly joinedAt = new Map<string, number>();

  constructor(scheduler: fc.Scheduler, answers: Iterator<Answer>, lookMs: number) {
    this.scheduler = scheduler;
    this.#answers = answers;
    this.loop = new Loop({ lookMs, onSchedule: () => this.#later('turn', () => this.loop.turn()) });
    this.core = new Core({
      config: {
        tokenSecret: [SECRET],
        queueMessages: 8,
        presence: 'users',
        historyBy: 'grant',
        presenceBy: 'grant',
        presenceIntervalMs: 0,
        historyMessages: 20,
        historyRate: 0,
        recoverMaxMs: 10_000_000,
        brokerTimeoutMs: 10_000_000,
        firstFrameMs: 10_000_000,
        authMs: 10_000_000,
        stallAfterMs: 10_000_000,
      },
      keeps: 20,
      broker: {
        answer: () => (this.isEnding ? 'now' : this.#answers.next().value),
        later: (what, job) => this.#later(what, job),
      },
    });
    const tokens = new Map<object, Said>();
    // The check of a token is a wait like any other; what it says is what was sent.
    vi.spyOn(this.core.auth, 'check').mockImplementation(async (token) => {
      const { user, rooms } = JSON.parse(String(token)) as Said;
      await scheduler.schedule(Promise.resolve(), `check of ${token}`);
      const grants = new Grants(rooms, 'rooms');
      const expiresAt = Date.now() + 1e12;
      const may: Grants['allow'] = (action, room) => grants.allow(action, room);
      const principal = { user, expiresAt, issuedAt: null, tokenId: null, info: undefined, may };
      tokens.set(principal, { user, rooms });
      return principal;
    });
    const identityOf = this.core.auth.identityOf.bind(this.core.auth);
    vi.spyOn(this.core.auth, 'identityOf').mockImplementation((principal) => {
      const identity = identityOf(principal);
      this.known.set(identity, tokens.get(principal) as Said);
      return identity;
    });
  }

  connect(user: string): void {
    const { core } = this;
    const peer = core.connect(core.peers.length % 2 === 0 ? 'websocket' : 'xhr-polling');
    const { transport, member } = peer;
    // Not always.
    peer.mayRead = false;
    const write = transport.write.bind(transport);
    transport.write = (batch) => {
      for (const text of textsIn(transport.name, batch)) {
        const event = JSON.parse(text) as Told;
        core.guard(() => this.#told(member, event));
      }
      return write(batch);
    };
    this.auth(peer, user, EVERYTHING);
    for (const room of ROOMS) peer.say({ type: 'join', room, presence: true });
  }

  /** Has `act` take rights away from a member, and counts what was under way. */
  cutting(member: Member, identity: Identity, act: () => number): number {
    const { replays, backfills } = this.core.hub;
    const { transport } = member;
    const isPolled =
      transport instanceof FakeTransport && transport.isPolling && transport.writable;
    const before = [replays.size, backfills.size] as const;
    for (const { room, replay, stay } of member.subscriptions.values()) {
      if (!identity.may('join', room)) continue;
      if (replay !== null && !identity.may('history', room)) this.cut.reading += 1;
      if (stay?.watch && !identity.may('presence', room)) this.cut.watching += 1;
    }
    const left = act();
    this.cut.rooms += left;
    if (isPolled) this.cut.polls += left;
    this.cut.replays += before[0] - replays.size;
    this.cut.backfills += before[1] - backfills.size;
    return left;
  }

  auth(peer: Peer, user: string, rooms: Said['rooms']): void {
    const token = JSON.stringify({ user, rooms });
    peer.say({ type: 'auth', token } as unknown as Parameters<Peer['say']>[0]);
  }

  #told(member: Member, { type, room, seq, mode }: Told): void {
    const place = `${member.id} ${room}`;
    if (type === 'joined') this.joinedAt.set(place, seq);
    const isOld = seq <= (this.joinedAt.get(place) as number);
    if (type === 'message') this.#mayHave(member, type, room, isOld ? 'history' : 'join');
    else if (type === 'past') this.#mayHave(member, type, room, 'history');
    // That there is no more of it is told to those who may not see it.
    else if ((type === 'presence' && mode !== 'off') || type === 'presence_diff') {
      this.#mayHave(member, type, room, 'presence');
    }
  }

  #mayHave(member: Member, what: keyof World['handedOver'], room: string, action: Action): void {
    this.handedOver[what] += 1;
    const known = this.allowed.get(member);
    const isRevoked = [...this.revoked.values()].some(
      (each) => each.user === known?.user && isIn(each.room, room),
    );
    const may = known?.rooms[room] ?? [];
    if (may.includes('join') && may.includes(action) && !isRevoked) return;
    throw new Error(`V15: a ${what} of ${room} for ${member.id}, which may not ${action} there`);
  }

  #later(what: string, job: () => void): void {
    void this.scheduler.schedule(Promise.resolve(), what).then(() => this.core.guard(job));
  }
}

/** What may be in a frame that this is about. */
interface Told {
  readonly type: string;
  readonly room: string;
  readonly seq: number;
  readonly mode?: string;
}

const isIn = (pattern: string, room: string) =>
  pattern.endsWith('*') ? room.startsWith(pattern.slice(0, -1)) : room === pattern;

class Step implements fc.AsyncCommand<object, World, true> {
  constructor(
    readonly what: string,
    readonly act: (world: World) => void,
  ) {}

  async check(): Promise<boolean> {
    return true;
  }

  async run(_: object, world: World): Promise<void> {
    this.act(world);
    world.core.check();
  }

  toString(): string {
    return this.what;
  }
}

const room = fc.constantFrom(...ROOMS);
const user = fc.constantFrom(...USERS);
const who = fc.nat(5);
const peerAt = ({ core }: World, index: number) => core.open[index % Math.max(1, core.open.length)];
const to = (what: string, act: (peer: Peer, world: World) => void) =>
  who.map(
    (index) =>
      new Step(`${what}(${index})`, (world) => {
        const peer = peerAt(world, index);
        if (peer !== undefined) act(peer, world);
      }),
  );

/** Less than everything, or all of it. */
const said: fc.Arbitrary<Said['rooms']> = fc
  .array(
    fc.constantFrom<readonly Action[]>(
      [],
      ['join'],
      ['join', 'history'],
      ['join', 'presence'],
      ['history', 'presence'],
      ACTIONS,
      ACTIONS,
    ),
    { minLength: ROOMS.length, maxLength: ROOMS.length },
  )
  .map((all) => Object.fromEntries(ROOMS.map((each, index) => [each, all[index] ?? []])));

const steps = [
  ...[1, 2, 3].map(() =>
    fc.tuple(room, fc.integer({ min: 1, max: 12 }), fc.constantFrom(1, 2000)).map(
      ([name, count, bytes]) =>
        new Step(`publish ${count} × ${bytes} to ${name}`, ({ core }) => {
          for (let n = 0; n < count; n += 1) {
            const position = core.hub.publish(null, name, JSON.stringify('x'.repeat(bytes)));
            if (position instanceof Promise) position.catch(() => {});
          }
        }),
    ),
  ),
  ...[1, 2, 3].flatMap(() => [
    fc.tuple(user, fc.constantFrom(...ROOMS, 'c:*', '*')).map(
      ([name, pattern]) =>
        new Step(`revoke ${pattern} of ${name}`, (world) => {
          const { id } = world.core.people.revoke({ user: name, room: pattern });
          world.revoked.set(id, { user: name, room: pattern });
        }),
    ),
    fc.constant(
      new Step('lift', ({ core, revoked }) => {
        for (const [id] of revoked) {
          expect(core.people.lift(id)).toBe(true);
          revoked.delete(id);
          break;
        }
      }),
    ),
  ]),
  ...[1, 2].map(() =>
    said.chain((rooms) =>
      to(`auth for ${JSON.stringify(rooms)}`, (peer, world) => {
        world.auth(peer, world.allowed.get(peer.member)?.user ?? '1', rooms);
      }),
    ),
  ),
  room.chain((name) => to(`join ${name}`, (peer) => peer.say({ type: 'join', room: name }))),
  ...[1, 2, 3].map(() =>
    fc.tuple(room, fc.integer({ min: 1, max: 30 }), fc.boolean()).chain(([name, back, isLast]) =>
      to(`come back to ${name}, ${back} behind`, (peer, { core }) => {
        const { epoch, seq } = core.broker.at(name);
        const since = { epoch, seq: Math.max(0, seq - back) };
        // What it has missed waits for it then.
        if (back % 2 === 0) peer.transport.stall();
        peer.say({ type: 'leave', room: name });
        peer.say({ type: 'join', room: name, ...(isLast ? { last: back } : { since }) });
      }),
    ),
  ),
  ...[1, 2].map(() =>
    fc
      .tuple(room, fc.integer({ min: 1, max: 20 }))
      .chain(([name, last]) =>
        to(`history of ${name}, ${last}`, (peer) =>
          peer.say({ type: 'history', room: name, last }),
        ),
      ),
  ),
  ...[1, 2, 3, 4].map(() =>
    fc.constant(
      new Step('polls', ({ core }) => {
        for (const { transport } of core.open) {
          // It asks again until there is nothing for it: that one is open.
          for (let n = 0; n < 30 && !transport.writable; n += 1) transport.poll();
        }
      }),
    ),
  ),
  room.chain((name) => to(`leave ${name}`, (peer) => peer.say({ type: 'leave', room: name }))),
  to('stall', ({ transport }) => transport.stall()),
  to('resume', ({ transport }) => transport.resume()),
  to('complete', ({ transport }) => transport.complete()),
  user.map(
    (name) =>
      new Step(`connect ${name}`, (world) => {
        if (world.core.peers.length < 6) world.connect(name);
      }),
  ),
];

const answers = fc.infiniteStream(fc.constantFrom<Answer>('now', 'later', 'later'));
const totals: Record<string, number> = {};

async function play(
  scheduler: fc.Scheduler,
  commands: Iterable<fc.AsyncCommand<object, World, true>>,
  broker: Iterator<Answer>,
  lookMs: number,
): Promise<void> {
  freezeClocks();
  const world = new World(scheduler, broker, lookMs);
  const { core, loop } = world;
  const { identify } = Memberships.prototype;
  vi.spyOn(Memberships.prototype, 'identify').mockImplementation(function (
    this: Memberships,
    member,
    identity,
  ) {
    const act = () => identify.call(this, member, identity);
    const known = world.known.get(identity);
    // Also in the middle of it: it is one step.
    if (known !== undefined) world.allowed.set(member, known);
    const left = world.cutting(member, identity, act);
    return left;
  });
  try {
    for (const name of [...USERS, '1']) world.connect(name);
    await scheduler.waitAll();
    await fc.scheduledModelRun(scheduler, () => ({ model: {}, real: world }), commands);
    world.isEnding = true;
    // A member that sheds is healthy again after a second, and reads what it has asked for then.
    for (let n = 0; n < 40; n += 1) {
      for (const { transport } of core.open) {
        transport.resume();
        transport.poll();
      }
      await scheduler.waitAll();
      await vi.advanceTimersByTimeAsync(50);
    }
    await scheduler.waitAll();
    core.checkDrained();
    for (const [what, count] of Object.entries({ ...world.handedOver, ...world.cut })) {
      totals[what] = (totals[what] ?? 0) + count;
    }
  } finally {
    core.restore();
    loop.restore();
    await core.hub.close(0);
    vi.restoreAllMocks();
    vi.useRealTimers();
  }
}

it('nothing of a room is handed over to who may not be in it, whenever that began', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.commands(steps, { maxCommands: 60, size: 'max' }),
      answers,
      fc.constantFrom(0, 1, 6),
      play,
    ),
    { numRuns: Number(process.env['ROOMCAST_TEST_RUNS'] ?? 80), endOnFailure: true },
  );
  // It was about something.
  for (const [what, count] of Object.entries(totals)) expect(count, what).toBeGreaterThan(0);
}, 120_000);

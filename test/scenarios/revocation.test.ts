/**
 * V15: rights are revoked at any moment: while a join waits for the broker, a flush is interrupted, a
 * batch is outstanding, a queue is full, an `auth` is pending, a member replays what it missed or reads
 * a page of history, with or without an open poll, or while the app decides on a join or a publish.
 * Revocations cover all rights in a room, only its history or its presence, or everything; of a user or
 * of one token; for a time, or for tokens issued before. Afterwards nothing revoked is handed to the
 * transport, or accepted from a member that may not publish. A gap reports what the member had not
 * received, so that V4 holds. The other checks are in `support/peer.ts` and `support/invariants.ts`.
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

/** Claims of a token: the user, its id, when it was issued (ms), and the actions by room. */
interface Said {
  readonly user: string;
  readonly jti: string | null;
  readonly iat: number | null;
  readonly rooms: Readonly<Partial<Record<string, readonly Action[]>>>;
}
/** A revocation request; `before` in seconds. */
interface Revoked {
  readonly user?: string;
  readonly token?: string;
  readonly room?: string;
  readonly before?: number;
  readonly keepMs?: number;
}
const EVERYTHING: Said['rooms'] = Object.fromEntries(ROOMS.map((each) => [each, ACTIONS]));

class World {
  readonly core: Core;
  readonly loop: Loop;
  readonly scheduler: fc.Scheduler;
  readonly known = new Map<object, Said>();
  /** Claims of each member's last token. */
  readonly allowed = new Map<Member, Said>();
  /** Revocations in force, by the model, and until when. */
  readonly revoked = new Map<string, Revoked & { before: number; until: number }>();
  readonly #answers: Iterator<Answer>;
  isEnding = false;
  readonly handedOver = { message: 0, past: 0, presence: 0, presence_diff: 0 };
  /** Messages of members that were accepted, and refused after the app had allowed them. */
  readonly sent = { taken: 0, tooLate: 0 };
  /** What was pending when rights were revoked; the last two: when only that right was revoked. */
  readonly cut = {
    rooms: 0,
    polls: 0,
    replays: 0,
    backfills: 0,
    reading: 0,
    watching: 0,
    closed: 0,
  };
  /** Position of a room when a member joined it: older messages are history. */
  readonly joinedAt = new Map<string, number>();

  constructor(
    scheduler: fc.Scheduler,
    answers: Iterator<Answer>,
    lookMs: number,
    isAppAsked: boolean,
  ) {
    this.scheduler = scheduler;
    this.#answers = answers;
    this.loop = new Loop({ lookMs, onSchedule: () => this.#later('turn', () => this.loop.turn()) });
    this.core = new Core({
      config: {
        tokenSecret: [SECRET],
        clockToleranceMs: 0,
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
      ...(isAppAsked && {
        auth: {
          join: (_, room) => scheduler.schedule(Promise.resolve(true), `may join ${room}`),
          publish: (_, room) => scheduler.schedule(Promise.resolve(true), `may publish to ${room}`),
        },
      }),
      broker: {
        answer: () => (this.isEnding ? 'now' : this.#answers.next().value),
        later: (what, job) => this.#later(what, job),
      },
    });
    const tokens = new Map<object, Said>();
    // Checking a token is a wait like any other; its result is the claims that were sent.
    vi.spyOn(this.core.auth, 'check').mockImplementation(async (token) => {
      const said = JSON.parse(String(token)) as Said;
      const { user, rooms, iat: issuedAt, jti: tokenId } = said;
      await scheduler.schedule(Promise.resolve(), `check of ${token}`);
      const grants = new Grants(rooms, 'rooms');
      const expiresAt = Date.now() + 1e12;
      const may: Grants['allow'] = (action, room) => grants.allow(action, room);
      const principal = { user, expiresAt, issuedAt, tokenId, info: undefined, may };
      tokens.set(principal, said);
      return principal;
    });
    const identityOf = this.core.auth.identityOf.bind(this.core.auth);
    vi.spyOn(this.core.auth, 'identityOf').mockImplementation((principal) => {
      const identity = identityOf(principal);
      this.known.set(identity, tokens.get(principal) as Said);
      return identity;
    });
    const publish = this.core.hub.publish.bind(this.core.hub);
    vi.spyOn(this.core.hub, 'publish').mockImplementation((member, ...message) => {
      try {
        const published = publish(member, ...message);
        if (member !== null) {
          this.sent.taken += 1;
          this.core.guard(() => this.#check(member, 'message from it', message[0], 'publish'));
        }
        return published;
      } catch (error) {
        this.sent.tooLate += 1;
        throw error;
      }
    });
  }

  connect(user: string, jti: string | null = null, iat: number | null = null): void {
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
    this.auth(peer, { user, jti, iat, rooms: EVERYTHING });
    for (const room of ROOMS) peer.say({ type: 'join', room, presence: true });
  }

  /** Runs `act`, which revokes rights of a member, and counts what was pending. */
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

  /** Applies a revocation, and checks that all connections it covers are closed in the same step. */
  revoke(asked: Revoked): void {
    const before = asked.before ?? Date.now() / 1000;
    const { id, closed } = this.core.people.revoke(asked);
    const entry = { ...asked, before, until: Date.now() + (asked.keepMs ?? 86_400_000) };
    this.revoked.set(id, entry);
    this.cut.closed += closed;
    for (const { member, transport } of this.core.open) {
      const said = this.allowed.get(member);
      if (asked.room !== undefined || said === undefined || !isAbout(entry, said)) continue;
      throw new Error(`V15: ${transport.name} is open, which was cut off (4005)`);
    }
  }

  auth(peer: Peer, said: Said): void {
    const token = JSON.stringify(said);
    peer.say({ type: 'auth', token } as unknown as Parameters<Peer['say']>[0]);
  }

  #told(member: Member, { type, room, seq, mode }: Told): void {
    const place = `${member.id} ${room}`;
    if (type === 'joined') this.joinedAt.set(place, seq);
    const isOld = seq <= (this.joinedAt.get(place) as number);
    if (type === 'message') this.#mayHave(member, type, room, isOld ? 'history' : 'join');
    else if (type === 'past') this.#mayHave(member, type, room, 'history');
    // `mode: off` is sent also to members that may no longer see the list.
    else if ((type === 'presence' && mode !== 'off') || type === 'presence_diff') {
      this.#mayHave(member, type, room, 'presence');
    }
  }

  #mayHave(member: Member, what: keyof World['handedOver'], room: string, action: Action): void {
    this.handedOver[what] += 1;
    this.#check(member, what, room, action);
  }

  #check(member: Member, what: string, room: string, action: Action): void {
    const known = this.allowed.get(member);
    const isRevoked = [...this.revoked.values()].some(
      (each) =>
        known !== undefined &&
        isAbout(each, known) &&
        (each.room === undefined || isIn(each.room, room)),
    );
    const may = known?.rooms[room] ?? [];
    if (may.includes('join') && may.includes(action) && !isRevoked) return;
    throw new Error(`V15: a ${what} of ${room}, ${member.id}, which may not ${action} there`);
  }

  #later(what: string, job: () => void): void {
    void this.scheduler.schedule(Promise.resolve(), what).then(() => this.core.guard(job));
  }
}

/** The parts of a frame that are checked here. */
interface Told {
  readonly type: string;
  readonly room: string;
  readonly seq: number;
  readonly mode?: string;
}

const isIn = (pattern: string, room: string) =>
  pattern.endsWith('*') ? room.startsWith(pattern.slice(0, -1)) : room === pattern;

const isAbout = (
  { user, token, before, until }: Revoked & { before: number; until: number },
  said: Said,
): boolean =>
  until > Date.now() &&
  (user === undefined ? token === said.jti : user === said.user) &&
  (said.iat === null || said.iat <= before * 1000);

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

/** Some rights, or all. */
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
          world.revoke({ user: name, room: pattern });
        }),
    ),
    fc.constant(
      new Step('lift', ({ core, revoked }) => {
        for (const [id, { until }] of revoked) {
          // An expired revocation is removed by itself, a little later.
          expect(core.people.lift(id) || until <= Date.now()).toBe(true);
          revoked.delete(id);
          break;
        }
      }),
    ),
  ]),
  fc
    .record({
      who: fc.oneof(fc.record({ user }), fc.record({ token: fc.constantFrom('t1', 't2') })),
      where: fc.constantFrom({}, {}, { room: 'a' }, { room: 'c:*' }),
      // For tokens issued 5 s ago or more.
      isOfBefore: fc.boolean(),
      keep: fc.constantFrom({}, { keepMs: 300 }, { keepMs: 1500 }),
    })
    .map(
      ({ who: whom, where, isOfBefore, keep }) =>
        new Step(`revoke ${JSON.stringify({ whom, where, isOfBefore, keep })}`, (world) => {
          const before = isOfBefore ? { before: Date.now() / 1000 - 5 } : {};
          world.revoke({ ...whom, ...where, ...before, ...keep });
        }),
    ),
  fc
    .integer({ min: 1, max: 800 })
    .map((ms) => new Step(`${ms} ms pass`, () => void vi.advanceTimersByTime(ms))),
  ...[1, 2].map(() =>
    room.chain((name) =>
      to(`publish to ${name}`, (peer) => peer.say({ type: 'publish', room: name, data: 1 })),
    ),
  ),
  ...[1, 2].map(() =>
    said.chain((rooms) =>
      to(`auth for ${JSON.stringify(rooms)}`, (peer, world) => {
        const { user = '1', jti = null } = world.allowed.get(peer.member) ?? {};
        world.auth(peer, { user, jti, iat: Date.now(), rooms });
      }),
    ),
  ),
  room.chain((name) => to(`join ${name}`, (peer) => peer.say({ type: 'join', room: name }))),
  ...[1, 2, 3].map(() =>
    fc.tuple(room, fc.integer({ min: 1, max: 30 }), fc.boolean()).chain(([name, back, isLast]) =>
      to(`come back to ${name}, ${back} behind`, (peer, { core }) => {
        const { epoch, seq } = core.broker.at(name);
        const since = { epoch, seq: Math.max(0, seq - back) };
        // It then has missed messages to replay.
        if (back % 2 === 0) peer.transport.stall();
        peer.say({ type: 'leave', room: name });
        peer.say({ type: 'join', room: name, ...(isLast ? { last: back } : { since }) });
      }),
    ),
  ),
  // Rare by chance.
  ...[1, 2].map(() =>
    room.chain((name) =>
      to(`come back to ${name}, and lose its history`, (peer, world) => {
        const { epoch, seq } = world.core.broker.at(name);
        const { user = '1', jti = null } = world.allowed.get(peer.member) ?? {};
        peer.transport.stall();
        peer.say({ type: 'leave', room: name });
        peer.say({ type: 'join', room: name, since: { epoch, seq: Math.max(0, seq - 5) } });
        world.auth(peer, {
          user,
          jti,
          iat: Date.now(),
          rooms: { ...EVERYTHING, [name]: ['join'] },
        });
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
          // It polls until nothing is left: the last poll stays open.
          for (let n = 0; n < 30 && !transport.writable; n += 1) transport.poll();
        }
      }),
    ),
  ),
  room.chain((name) => to(`leave ${name}`, (peer) => peer.say({ type: 'leave', room: name }))),
  to('stall', ({ transport }) => transport.stall()),
  to('resume', ({ transport }) => transport.resume()),
  to('complete', ({ transport }) => transport.complete()),
  ...[1, 2].map(() =>
    fc.tuple(user, fc.constantFrom('t1', 't2', null), fc.constantFrom(0, 10_000, null)).map(
      ([name, jti, age]) =>
        new Step(`connect ${name} by ${jti} of ${age} ms ago`, (world) => {
          const isFull = world.core.open.length >= 6 || world.core.peers.length >= 20;
          if (!isFull) world.connect(name, jti, age === null ? null : Date.now() - age);
        }),
    ),
  ),
];

const answers = fc.infiniteStream(fc.constantFrom<Answer>('now', 'later', 'later'));
const totals: Record<string, number> = {};

async function play(
  scheduler: fc.Scheduler,
  commands: Iterable<fc.AsyncCommand<object, World, true>>,
  broker: Iterator<Answer>,
  lookMs: number,
  isAppAsked: boolean,
): Promise<void> {
  freezeClocks();
  const world = new World(scheduler, broker, lookMs, isAppAsked);
  const { core, loop } = world;
  const { identify } = Memberships.prototype;
  vi.spyOn(Memberships.prototype, 'identify').mockImplementation(function (
    this: Memberships,
    member,
    identity,
  ) {
    const act = () => identify.call(this, member, identity);
    const known = world.known.get(identity);
    // Also during it: it is one step.
    if (known !== undefined) world.allowed.set(member, known);
    const left = world.cutting(member, identity, act);
    return left;
  });
  try {
    world.connect('1', 't1');
    world.connect('2', 't2', Date.now() - 10_000);
    world.connect('1');
    await scheduler.waitAll();
    await fc.scheduledModelRun(scheduler, () => ({ model: {}, real: world }), commands);
    world.isEnding = true;
    // A shedding member is healthy again after a second, and then its history request is served.
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
    for (const [what, count] of Object.entries({
      ...world.handedOver,
      ...world.sent,
      ...world.cut,
    })) {
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

it('nothing of a room is handed to a member that may not be in it, from the moment of the revocation', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.commands(steps, { maxCommands: 60, size: 'max' }),
      answers,
      fc.constantFrom(0, 1, 6),
      fc.boolean(),
      play,
    ),
    { numRuns: Number(process.env['ROOMCAST_TEST_RUNS'] ?? 240), endOnFailure: true },
  );
  // The runs covered every case: the rarest occurs once in 20 runs.
  for (const [what, count] of Object.entries(totals)) expect(count, what).toBeGreaterThan(0);
}, 120_000);

/**
 * Any interleaving of events in rooms and members, over all policies, with fast, slow or polled
 * transports, brokers that answer at once, later, never or with a failure, and flushes interrupted
 * anywhere, keeps V3, V4, V5, V6 and V10, evicts in time and leaves nothing behind. The checks are in
 * `support/peer.ts` and `support/invariants.ts`.
 */
import fc from 'fast-check';
import { expect, it, onTestFinished, vi } from 'vitest';
import type { BrokerState } from '../../src/broker/broker.js';
import { configureDetector, type LockReport, snapshot } from '../../src/lock/index.js';
import { Core } from '../support/core.js';
import type { FakeName } from '../support/fake-transport.js';
import { Loop } from '../support/loop.js';
import type { Peer } from '../support/peer.js';
import type { Answer } from '../support/scripted-broker.js';
import { freezeClocks } from '../support/virtual.js';

const ROOMS = ['a', 'b', 'new:a', 'key:a', 'key:b', 'cut:a'] as const;
const NAMES = ['websocket', 'sockjs-websocket', 'xhr-polling'] as const satisfies FakeName[];
/** More members than a flush serves between two reads of the clock. */
const CROWD = 20;

const namespaces = {
  new: { policy: 'drop-newest' },
  key: { policy: 'latest-by-key' },
  cut: { policy: 'disconnect', disconnectGraceMs: 300 },
} as const;

class World {
  readonly core: Core;
  readonly loop: Loop;
  readonly scheduler: fc.Scheduler;
  readonly #answers: Iterator<Answer>;
  readonly #jobs: (() => void)[] = [];
  #messages = 0;
  /** From now on all peers read and the broker answers. */
  isEnding = false;

  constructor(scheduler: fc.Scheduler, answers: Iterator<Answer>, settings: Settings) {
    this.scheduler = scheduler;
    this.#answers = answers;
    this.loop = new Loop({
      lookMs: settings.lookMs,
      onSchedule: () => this.#later('turn', () => this.loop.turn()),
    });
    this.core = new Core({
      config: {
        namespaces,
        queueMessages: settings.queueMessages,
        queueBytes: 40_000,
        maxMessageBytes: 24_000,
        controlMessages: 40,
        maxHistoryMessages: settings.maxHistoryMessages,
        historyRate: 0,
        controlBytes: 8192,
        lagAfterMs: 250,
        recoverAfterMs: settings.recoverAfterMs,
        recoverMaxMs: settings.recoverMaxMs,
        stallAfterMs: 2000,
        brokerTimeoutMs: 500,
        firstFrameMs: 10_000_000,
        queueBytesTotal: settings.queueBytesTotal,
      },
      keeps: settings.keeps,
      broker: {
        answer: () => (this.isEnding ? 'now' : this.#answers.next().value),
        later: (what, job) => {
          this.#jobs.push(job);
          this.#later(what, () => this.#jobs.shift()?.());
        },
      },
    });
  }

  /** Makes each message unique, so that a received one can be compared with what was published. */
  unlike(): number {
    this.#messages += 1;
    return this.#messages;
  }

  peer(index: number): Peer | undefined {
    const { open } = this.core;
    return open[index % Math.max(1, open.length)];
  }

  check(): void {
    this.core.check();
    this.core.checkStalls(this.loop.isIdle);
  }

  /** Advances the time; the scheduler decides on turns of the loop. */
  async pass(ms: number): Promise<void> {
    await vi.advanceTimersByTimeAsync(ms);
  }

  /** All peers read until nothing is left. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 3; ) {
      await this.scheduler.waitAll();
      const before = this.core.delivered + this.#told();
      for (const { transport } of this.core.open) {
        transport.resume();
        transport.poll();
      }
      await this.pass(50);
      await this.scheduler.waitAll();
      quiet = before === this.core.delivered + this.#told() ? quiet + 1 : 0;
    }
  }

  #told(): number {
    return this.core.peers.reduce((sum, { transport }) => sum + transport.events.length, 0);
  }

  #later(what: string, job: () => void): void {
    void this.scheduler.schedule(Promise.resolve(), what).then(() => {
      try {
        job();
      } catch (error) {
        this.core.failures.push(error);
      }
    });
  }
}

interface Settings {
  lookMs: number;
  queueMessages: number;
  queueBytesTotal: number;
  recoverAfterMs: number;
  recoverMaxMs: number;
  maxHistoryMessages: number;
  /** Messages that a room keeps in its history. */
  keeps: number;
  crowd: number;
  /** The initial members and their rooms. */
  actors: { name: FakeName; rooms: string[]; isStalled: boolean }[];
}

const answers = fc.infiniteStream(
  fc.oneof(
    { weight: 6, arbitrary: fc.constant<Answer>('now') },
    { weight: 4, arbitrary: fc.constant<Answer>('later') },
    { weight: 1, arbitrary: fc.constantFrom<Answer>('throw', 'reject', 'never') },
  ),
);

const settings: fc.Arbitrary<Settings> = fc.record({
  lookMs: fc.constantFrom(0, 0.01, 1, 6),
  queueMessages: fc.integer({ min: 1, max: 12 }),
  queueBytesTotal: fc.constantFrom(1 << 30, 1 << 30, 60_000),
  recoverAfterMs: fc.constantFrom(300, 5000),
  recoverMaxMs: fc.constantFrom(300, 10_000),
  maxHistoryMessages: fc.constantFrom(3, 1000),
  keeps: fc.constantFrom(0, 5, 40, 1000),
  crowd: fc.constantFrom(0, 0, CROWD),
  actors: fc.array(
    fc.record({
      name: fc.constantFrom(...NAMES),
      rooms: fc.subarray([...ROOMS], { minLength: 1 }),
      isStalled: fc.boolean(),
    }),
    { minLength: 1, maxLength: 4 },
  ),
});

/** No model state: the witness of each peer knows what it may receive. */
type Model = Record<string, never>;

class Step implements fc.AsyncCommand<Model, World, true> {
  constructor(
    readonly what: string,
    readonly act: (world: World) => void | Promise<void>,
  ) {}

  async check(): Promise<boolean> {
    return true;
  }

  async run(_: Model, world: World): Promise<void> {
    await this.act(world);
    world.check();
  }

  toString(): string {
    return this.what;
  }
}

/** Mostly one of the actors. */
const who = fc.oneof({ weight: 4, arbitrary: fc.nat(5) }, { weight: 1, arbitrary: fc.nat(30) });
const room = fc.constantFrom(...ROOMS);
const key = fc.option(fc.constantFrom('k', 'l'), { nil: undefined });
const size = fc.constantFrom(1, 1, 10, 300, 300, 5000, 17_000);

const to = (what: string, act: (peer: Peer, world: World) => void) => (index: number) =>
  new Step(`${what}(${index})`, (world) => {
    const peer = world.peer(index);
    if (peer !== undefined) act(peer, world);
  });

const steps = [
  fc.constantFrom(...NAMES).map(
    (name) =>
      new Step(`connect(${name})`, ({ core }) => {
        if (core.peers.length < 30) core.connect(name).say({ type: 'join', room: 'b' });
      }),
  ),
  fc
    .tuple(who, room)
    .map(([index, name]) =>
      to(`join ${name}`, (peer) => peer.say({ type: 'join', room: name }))(index),
    ),
  fc
    .tuple(who, room)
    .map(([index, name]) =>
      to(`leave ${name}`, (peer) => peer.say({ type: 'leave', room: name }))(index),
    ),
  fc.tuple(who, room).map(([index, name]) =>
    to(`leave and join ${name}`, (peer) => {
      peer.say({ type: 'leave', room: name });
      peer.say({ type: 'join', room: name });
    })(index),
  ),
  ...[1, 2, 3, 4, 5].map(() =>
    fc
      .tuple(room, fc.integer({ min: 1, max: 12 }), size, fc.array(key, { minLength: 1 }))
      .map(([name, count, bytes, keys]) => {
        return new Step(`publish ${count} × ${bytes} ${keys} to ${name}`, (world) => {
          const { core } = world;
          for (let n = 0; n < count; n += 1) {
            const data = JSON.stringify(`${world.unlike()}${'x'.repeat(bytes)}`);
            try {
              const position = core.hub.publish(null, name, data, {
                key: keys[n % keys.length],
              });
              // The publisher's answer is checked by its witness, if there is one.
              if (position instanceof Promise) position.catch(() => {});
            } catch {
              // Refused, by a broker that fails.
            }
          }
        });
      }),
  ),
  fc
    .tuple(who, room, key)
    .map(([index, name, tag]) =>
      to(`publish to ${name}`, (peer, world) =>
        peer.say({ type: 'publish', room: name, data: world.unlike(), ...(tag && { key: tag }) }),
      )(index),
    ),
  ...[1, 2, 3].map(() =>
    fc
      .tuple(who, room, fc.integer({ min: -2, max: 20 }), fc.constantFrom(0, 0, 0, 0, 1, 2))
      .map(([index, name, back, change]) =>
        to(`join ${name} ${back} back`, (peer, { core }) => {
          const epochs = core.broker.epochsOf(name);
          const epoch = epochs.at(-1 - change) ?? 'unheard of';
          const seq = Math.max(0, core.broker.at(name).seq - back);
          peer.say({ type: 'leave', room: name });
          peer.say({ type: 'join', room: name, since: { epoch, seq } });
        })(index),
      ),
  ),
  fc.tuple(who, room, fc.integer({ min: 1, max: 30 })).map(([index, name, last]) =>
    to(`join ${name} with the last ${last}`, (peer) => {
      peer.say({ type: 'leave', room: name });
      peer.say({ type: 'join', room: name, last });
    })(index),
  ),
  ...[1, 2, 3].map(() =>
    fc
      .tuple(who, room, fc.nat(60), fc.nat(60), fc.constantFrom(undefined, undefined, 0, 1))
      .map(([index, name, back, count, change]) =>
        to(`history of ${name} ${back} back × ${count}`, (peer, { core }) => {
          const from = Math.max(1, core.broker.at(name).seq - back);
          const epoch = change && (core.broker.epochsOf(name).at(-1 - change) ?? 'unheard of');
          peer.say({
            type: 'history',
            room: name,
            from,
            to: from + count,
            ...(epoch && { epoch }),
          });
        })(index),
      ),
  ),
  fc
    .tuple(who, room, fc.integer({ min: 1, max: 50 }), fc.option(fc.integer({ min: 1, max: 50 })))
    .map(([index, name, last, before]) =>
      to(`history of ${name}: ${last} before ${before}`, (peer) =>
        peer.say({ type: 'history', room: name, last, ...(before !== null && { before }) }),
      )(index),
    ),
  fc.tuple(room, fc.integer({ min: 0, max: 10 })).map(
    ([name, left]) =>
      new Step(`expire ${name} but ${left}`, ({ core }) => {
        core.broker.expire(name, core.broker.at(name).seq - left);
      }),
  ),
  fc.tuple(room, fc.integer({ min: 0, max: 10 })).map(
    ([name, left]) =>
      new Step(`purge ${name} but ${left}`, ({ core }) => {
        if (core.broker.keeps === 0) return;
        try {
          const purged = core.hub.archive.purge(name, core.broker.at(name).seq - left);
          purged?.catch(() => {});
        } catch {
          // Refused, by a broker that fails.
        }
      }),
  ),
  fc
    .tuple(room, fc.integer({ min: 1, max: 3 }))
    .map(([name, count]) => new Step(`lose ${name}`, ({ core }) => core.broker.lose(name, count))),
  room.map((name) => new Step(`admit ${name}`, ({ core }) => core.broker.admit(name))),
  fc
    .tuple(room, fc.constantFrom(0, 1, 7, 100), fc.boolean())
    .map(
      ([name, seq, saysSo]) =>
        new Step(`reset ${name} to ${seq}`, ({ core }) => core.broker.reset(name, seq, saysSo)),
    ),
  fc
    .constantFrom('up', 'suspended', 'down')
    .map(
      (state) =>
        new Step(`broker ${state}`, ({ core }) => core.broker.become(state as BrokerState)),
    ),
  room.map((name) => new Step(`repeat ${name}`, ({ core }) => core.broker.repeat(name))),
  who.map(to('stall', ({ transport }) => transport.stall())),
  who.map(to('stall', ({ transport }) => transport.stall())),
  who.map(to('resume', ({ transport }) => transport.resume())),
  who.map(to('complete', ({ transport }) => transport.complete())),
  who.map(to('complete', ({ transport }) => transport.complete())),
  who.map(to('poll', ({ transport }) => transport.poll())),
  fc.constant(
    new Step('poll all', ({ core }) => {
      for (const { transport } of core.open) transport.poll();
    }),
  ),
  fc.oneof(
    who.map(to('break', ({ transport }) => transport.break())),
    who.map(to('evict', ({ member }, { core }) => core.sessions.close(member, 'forbidden'))),
  ),
  fc.tuple(who, fc.integer({ min: 1, max: 40 })).map(([index, count]) =>
    to(`ping × ${count}`, (peer) => {
      for (let n = 0; n < count; n += 1) peer.say({ type: 'ping' });
    })(index),
  ),
  fc
    .constantFrom(1, 50, 260, 600, 2500)
    .map((ms) => new Step(`pass ${ms} ms`, (world) => world.pass(ms))),
];

/** One run: the steps interleaved with the loop and the broker, then the final checks. */
async function play(
  scheduler: fc.Scheduler,
  commands: Iterable<fc.AsyncCommand<Model, World, true>>,
  broker: Iterator<Answer>,
  given: Settings,
): Promise<void> {
  freezeClocks();
  const world = new World(scheduler, broker, given);
  const { core } = world;
  try {
    for (const { name, rooms, isStalled } of given.actors) {
      const peer = core.connect(name);
      for (const each of rooms) peer.say({ type: 'join', room: each });
      if (isStalled) peer.transport.stall();
    }
    for (let n = 0; n < given.crowd; n += 1) {
      core.connect(NAMES[n % 2]).say({ type: 'join', room: 'a' });
    }
    await fc.scheduledModelRun(scheduler, () => ({ model: {}, real: world }), commands);
    world.check();

    world.isEnding = true;
    await world.settle();
    // Waits for the broker's timeout, and for peers to become healthy again.
    await world.pass(1000);
    await world.settle();
    await world.pass(given.recoverAfterMs + 500);
    await world.settle();
    core.checkDrained();
    for (const { member } of core.open) expect(member.health).toBe('healthy');

    for (const { transport } of core.open) transport.break();
    await world.pass(2000);
    await scheduler.waitAll();
    core.checkEmpty();
    expect([...core.hub.rooms.keys()]).toEqual([]);
    await core.hub.close(1000);
    // The lock watchdog checks once more before it stops.
    await world.pass(5000);
    core.clock.close();
    expect(vi.getTimerCount()).toBe(0);
  } finally {
    core.restore();
    world.loop.restore();
    vi.useRealTimers();
  }
}

/** A seed printed by a failure, to replay and shrink it. */
const seed = process.env['ROOMCAST_TEST_SEED'];
const runs = Number(process.env['ROOMCAST_TEST_RUNS'] ?? 200);

it(
  'keeps the invariants in any interleaving, and no lock is reported',
  async () => {
    const reports: LockReport[] = [];
    configureDetector({ mode: 'watch', onReport: (report) => reports.push(report) });
    onTestFinished(() => configureDetector({ mode: 'strict' }));
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.commands(steps, { maxCommands: 120, size: 'max' }),
        answers,
        settings,
        async (...world) => {
          await play(...world);
          expect([reports, snapshot().reports]).toEqual([[], []]);
        },
      ),
      { numRuns: runs, ...(seed === undefined ? { endOnFailure: true } : { seed: Number(seed) }) },
    );
  },
  Math.max(300_000, runs * 400),
);

/**
 * From stamped deliveries to the figures of the report. Every message has known due, write and read times;
 * sessions read the stamps as from a connection, workers report as to the coordinator, and the expected
 * figures are computed by hand. No connection, no server, no clock.
 */
import { expect, test } from 'vitest';
import { firstRoomOf, workerOfMember } from '../../../src/load/assign.js';
import { Crew } from '../../../src/load/crew.js';
import { Latency } from '../../../src/load/measure/latency.js';
import { Merge } from '../../../src/load/measure/merge.js';
import { outcome } from '../../../src/load/measure/outcome.js';
import type { RunResult, ServerSample } from '../../../src/load/measure/result.js';
import { type Plan, resolvePlan, roomName, type Scenario } from '../../../src/load/plan.js';
import { Session } from '../../../src/load/session.js';
import { Stamps } from '../../../src/load/stamp.js';
import type { Target } from '../../../src/load/targets/target.js';
import { judge } from '../../../src/load/verdict/verdict.js';
import { FAKE_SPEC, fakeTarget } from '../../support/load-fakes.js';

const MS = 1000;
const SECOND = 1_000_000;

/** A message that is due, written and read at known times, in µs since the run's epoch. */
interface Message {
  publisher?: number;
  number: number;
  seq: number;
  due: number;
  /** Written this long after it was due. */
  late?: number;
  /** Read this long after it was due. */
  after: number;
}

/** A run whose members receive given messages at given times. */
class World {
  readonly plan: Plan;
  readonly #crews: Crew[];
  readonly #sessions: Session[];
  readonly #merge: Merge;
  readonly #bounds: number[] = [0];
  #sent = 0;

  constructor(scenario: Scenario, workers = 1, target: Partial<Target> = {}) {
    this.plan = resolvePlan(
      { warmup: '0', size: '64', rate: '10/s', ...scenario },
      FAKE_SPEC,
      workers,
      'abcd',
    );
    const stamps = new Stamps(this.plan.tag);
    const fake = fakeTarget(target);
    this.#crews = Array.from(
      { length: workers },
      (_, worker) => new Crew(this.plan, worker, 0, stamps, fake, []),
    );
    this.#merge = new Merge(this.plan, () => {});
    this.#sessions = Array.from({ length: this.plan.members }, (_, member) => {
      const crew = this.#crews[workerOfMember(this.plan, member)]!;
      const session = new Session(
        crew,
        member,
        0,
        undefined,
        { readSize: 1 },
        () => {},
        () => {},
      );
      for (const room of crew.roomsOf(member)) {
        session.joined(roomName(this.plan, room), 0, '', false);
      }
      return session;
    });
    for (const { ms } of this.plan.phases) this.#bounds.push(this.#bounds.at(-1)! + ms * MS);
    for (const crew of this.#crews) {
      for (const tally of crew.tallies) tally.begin(this.#bounds);
    }
  }

  /** The member's connection reads a message with the stamp that the publisher wrote. */
  deliver(member: number, { publisher = 0, number, seq, due, late = 0, after }: Message): void {
    const { stamps } = this.#crews[0]!;
    const payload = stamps.payload(this.plan.size, publisher, number, due, late);
    this.#sessions[member]!.chunk(payload.length, due + after);
    this.#sessions[member]!.message(payload, payload.length - 34, seq, -1);
  }

  gap(member: number, from: number, to: number): void {
    const room = roomName(this.plan, firstRoomOf(this.plan, member));
    this.#sessions[member]!.gap(room, from, to);
  }

  /** Every member of a one-room run reads the message. */
  broadcast(message: Message): void {
    this.#sent++;
    for (let member = 0; member < this.plan.members; member++) this.deliver(member, message);
  }

  sessions(): readonly Session[] {
    return this.#sessions;
  }

  crew(worker: number): Crew {
    return this.#crews[worker]!;
  }

  /** Reports of every worker on a second, in the order they arrive. */
  report(second: number, publishing: Partial<RunResult['publishing']> = {}): void {
    this.#crews.forEach((crew, worker) => {
      const none = {
        sent: 0,
        last: 0,
        blocked: 0,
        stuck: 0,
        closes: {},
        failures: {},
        refused: {},
      };
      this.#merge.add(worker, {
        second,
        cohorts: crew.tallies.map((tally) => tally.report()),
        publishing: worker === 0 ? { ...none, sent: this.#sent, ...publishing } : none,
        health: {
          utilization: 0.1 * (worker + 1),
          loopDelayP99: 0,
          loopDelayMax: 0,
          cpuMs: 0,
          cpuWait: 0.1 * (worker + 1),
          elapsedMs: 1000,
          lateness: [],
        },
      });
    });
  }

  result(of: { accepted?: number; samples?: ServerSample[]; ran?: number } = {}): RunResult {
    return outcome({
      plan: this.plan,
      merge: this.#merge,
      startedAt: '2026-01-01T00:00:00.000Z',
      ran: of.ran ?? this.#bounds.at(-1)! / SECOND,
      interrupted: false,
      lost: null,
      clockError: null,
      accepted: of.accepted ?? this.#sent,
      confirmations: { asked: 1, got: 1 },
      server: { before: null, after: null, samples: of.samples ?? [], missing: null },
    });
  }
}

/** The value that an HDR histogram of three digits reports. */
function hdr(us: number): number {
  const latency = new Latency();
  latency.record(us);
  return latency.quantiles().max!;
}

/** `count` messages of publisher 0 in turn, `gap` apart, from `start`; latency by their number. */
function stream(
  world: World,
  count: number,
  start: number,
  gap: number,
  after: (i: number) => number,
  first = 0,
): void {
  for (let i = 0; i < count; i++) {
    const number = first + i;
    world.broadcast({ number, seq: number + 1, due: start + i * gap, after: after(i) });
  }
}

test('latency is from when a message was due, service from when it was written', () => {
  const world = new World({ members: '2', calm: '10s' });
  // Written 30 ms late, read 5 ms after that: the delay of the publisher is part of the latency.
  for (let i = 0; i < 100; i++) {
    world.broadcast({ number: i, seq: i + 1, due: i * 100 * MS, late: 30 * MS, after: 35 * MS });
  }
  world.report(0);
  const { latency, service, perSecond } = world.result().cohorts[0]!.phases.calm!;
  expect(latency).toMatchObject({ count: 200, p50: hdr(35 * MS), p99: hdr(35 * MS) });
  expect(service).toMatchObject({ count: 200, p50: hdr(5 * MS), p99: hdr(5 * MS) });
  expect(perSecond).toBe(20);
});

test('quantiles are those of the known latencies, none beyond the maximum', () => {
  const world = new World({ members: '1', calm: '10s' });
  stream(world, 1000, 0, 10 * MS, (i) => (i + 1) * MS);
  world.report(0);
  const { p50, p90, p99, p999, p9999, max, mean } = world.result().cohorts[0]!.phases.calm!.latency;
  expect({ p50, p90, p99, p999 }).toEqual({
    p50: hdr(500 * MS),
    p90: hdr(900 * MS),
    p99: hdr(990 * MS),
    p999: hdr(999 * MS),
  });
  expect(max).toBe(hdr(1000 * MS));
  expect(p9999).toBe(max);
  expect(mean! / (500.5 * MS)).toBeCloseTo(1, 3);
});

test('a message belongs to the phase in which it was due, however late it was read', () => {
  const world = new World({ members: '1', warmup: '1s', calm: '1s', recover: '1s' });
  const at = (number: number, due: number, after: number): void =>
    world.broadcast({ number, seq: number + 1, due, after });
  at(0, 500 * MS, MS);
  at(1, 999 * MS, 5 * SECOND);
  at(2, 1000 * MS, 2 * MS);
  at(3, 1999 * MS, 1500 * MS);
  at(4, 2000 * MS, 3 * MS);
  world.report(2);
  const { warmup, calm, recover } = world.result().cohorts[0]!.phases;
  expect([warmup, calm, recover].map((phase) => phase!.latency.count)).toEqual([2, 2, 1]);
  expect(calm!.latency.max).toBe(hdr(1500 * MS));
});

test('last messages are owed, but in no figure: 300 publishers send theirs at one instant', () => {
  const world = new World({ members: '1', publishers: '300', rate: '300/s', calm: '4s' });
  for (let i = 0; i < 1200; i++) {
    const [publisher, number] = [i % 300, Math.floor(i / 300)];
    world.broadcast({ publisher, number, seq: i + 1, due: (i * SECOND) / 300, after: 6 * MS });
  }
  for (let publisher = 0; publisher < 300; publisher++) {
    const burst = 6 * MS + publisher * 100;
    world.broadcast({ publisher, number: 4, seq: 1201 + publisher, due: 4 * SECOND, after: burst });
  }
  world.report(3, { last: 300 });
  const result = world.result();
  const { calm } = result.cohorts[0]!.phases;
  expect(calm!.perSecond).toBe(300);
  expect(calm!.latency).toMatchObject({ count: 1200, p99: hdr(6 * MS), max: hdr(6 * MS) });
  expect(result.cohorts[0]!.counters.received).toBe(1500);
  expect(result.publishing.offered).toBe(1200);
  expect(world.sessions()[0]!.owed([1500])).toBe(0);
  expect(world.sessions()[0]!.owed([1501])).toBe(1);
});

test('several workers give the figures of one', () => {
  const figures = (workers: number): RunResult => {
    const world = new World({ members: '6', calm: '10s' }, workers);
    for (let i = 0; i < 100; i++) {
      const due = i * 100 * MS;
      for (let member = 0; member < 6; member++) {
        world.deliver(member, { number: i, seq: i + 1, due, after: (member + 1) * (i + 1) * 100 });
      }
      if (i % 10 === 9) world.report(Math.floor(i / 10));
    }
    return world.result();
  };
  const [one, three] = [figures(1), figures(3)];
  expect(three.cohorts[0]!.phases.calm).toEqual(one.cohorts[0]!.phases.calm);
  expect(three.cohorts[0]!.counters).toEqual(one.cohorts[0]!.counters);
  expect(three.timeline.map(({ cohorts }) => cohorts)).toEqual(
    one.timeline.map(({ cohorts }) => cohorts),
  );
  expect(three.timeline).toHaveLength(10);
  // The generator's health is that of its worst worker.
  expect(three.phases[0]!.utilization).toBeCloseTo(0.3);
  expect(three.phases[0]!.generatorCpuWait).toBeCloseTo(0.3);
});

test('joins, recoveries, evictions and answers of several workers are merged', () => {
  const world = new World({ members: '4', calm: '1s' }, 2);
  for (const worker of [0, 1]) {
    const { joins, recoveries, evictions, backfills } = world.crew(worker).tallies[0]!;
    for (const times of [joins, recoveries, evictions, backfills]) times.record(10 ** (worker + 9));
  }
  world.report(0);
  const { joins, recoveries, evictions, backfills } = world.result().cohorts[0]!;
  expect(joins.count).toBe(4 + 2);
  for (const times of [recoveries, evictions, backfills]) {
    expect(times).toMatchObject({ count: 2, p50: hdr(10 ** 9), max: hdr(10 ** 10) });
  }
});

test('the longest silence of several workers is the maximum, and their silent members are summed', () => {
  const world = new World({ members: '6', calm: '10s', rate: '10/s', silence: '1s' }, 3);
  const silences = [700 * MS, 1400 * MS, 3000 * MS];
  silences.forEach((silence, worker) => {
    const now = 5 * SECOND;
    world.crew(worker).tallies[0]!.silences(now, [now - silence, now - 10 * MS], 1300 * MS);
  });
  world.report(0);
  const { silence, silentMembers } = world.result().cohorts[0]!.counters;
  expect(silence).toEqual([3000 * MS]);
  expect(silentMembers).toEqual([2]);
});

test('a silence before the phases does not count, and one over two phases counts for the one with most of it', () => {
  const world = new World({ members: '1', calm: '1s', recover: '1s' });
  const { tallies } = world.crew(0);
  tallies[0]!.silences(100 * MS, [-9 * SECOND], SECOND);
  // Ends in the second phase, but most of it lies before; then most of it lies in the second.
  tallies[0]!.silences(1100 * MS, [50 * MS], SECOND);
  tallies[0]!.silences(1900 * MS, [600 * MS], SECOND);
  tallies[0]!.silences(2001 * MS, [1900 * MS], SECOND);
  world.report(0);
  const { silence, silentMembers } = world.result().cohorts[0]!.counters;
  expect(silence).toEqual([1050 * MS, 1300 * MS]);
  expect(silentMembers).toEqual([1, 1]);
});

test('losses, duplicates, late messages and gaps are counted as such', () => {
  const world = new World({ members: '6', calm: '10s' }, 2);
  const order = (member: number, ...seqs: number[]): void => {
    for (const seq of seqs) {
      world.deliver(member, { number: seq - 1, seq, due: seq * 100 * MS, after: MS });
    }
  };
  order(0, 1, 2, 3, 4, 5);
  order(1, 1, 2, 4, 5); // 3 lost unannounced
  order(2, 1, 2, 2, 3, 4, 5); // 2 twice
  order(3, 1, 3, 2, 4, 5); // 2 late
  order(4, 1);
  world.gap(4, 2, 4); // 2 to 4 announced
  order(4, 5);
  order(5, 1);
  world.gap(5, 3, 4); // names 3 to 4 where 2 to 4 are missing
  order(5, 5);
  world.report(0);
  const { counters } = world.result().cohorts[0]!;
  expect(counters.faults).toEqual({
    duplicated: 1,
    reordered: 1,
    unannounced: 1,
    wrongGaps: 1,
    foreign: 0,
    changed: 0,
  });
  // If a gap names less than is missing, the rest is not counted as lost twice.
  expect(counters.announced).toBe(6);
  expect(counters.received).toBe(5 + 4 + 6 + 5 + 2 + 2);
});

test('a gap that names received messages accounts for nothing', () => {
  const world = new World({ members: '1', calm: '10s' });
  stream(world, 5, 0, 100 * MS, () => MS);
  world.gap(0, 2, 4);
  world.report(0);
  const { counters } = world.result().cohorts[0]!;
  expect(counters).toMatchObject({ announced: 0, faults: { wrongGaps: 1 } });
  expect(world.sessions()[0]!.owed([8])).toBe(3);
});

test('the isolation ratio is slow over calm, by turns, with its interval', () => {
  const world = new World({
    members: '3',
    cohorts: ['stalled=1'],
    calm: '3s',
    fill: '0',
    slow: '3s',
    rest: '1s',
  });
  // calm 1 s, slow 1 s, rest 1 s, and again: 2 ms in calm; 4, 5 and 6 ms in slow; rest does not count.
  const at: [second: number, ms: number][] = [
    [0, 2],
    [1, 4],
    [2, 900],
    [3, 2],
    [4, 5],
    [5, 900],
    [6, 2],
    [7, 6],
  ];
  at.forEach(([second, ms], i) => {
    // Only the last of ten takes that long: the p99 counts, not the median.
    const after = (n: number) => (n === 9 ? ms : 1) * MS;
    stream(world, 10, second * SECOND, 100 * MS, after, i * 10);
    world.report(second);
  });
  const { isolation, cohorts, phases } = world.result();
  expect(phases.map(({ name, turn }) => `${name} ${turn}`)).toEqual([
    'calm 1',
    'slow 1',
    'rest 1',
    'calm 2',
    'slow 2',
    'rest 2',
    'calm 3',
    'slow 3',
  ]);
  const geometric = Math.cbrt((4 / 2) * (5 / 2) * (6 / 2));
  expect(isolation!.ratio).toBeCloseTo(geometric, 2);
  const [low, high] = isolation!.interval!;
  expect(low).toBeGreaterThan(1.7);
  expect(low).toBeLessThan(isolation!.ratio);
  expect(high).toBeCloseTo(geometric ** 2 / low, 1);
  expect(isolation!.turns.map(({ slow }) => slow)).toEqual([4, 5, 6].map((ms) => hdr(ms * MS)));
  expect(cohorts[0]!.phases.calm!.latency).toMatchObject({ count: 90, max: hdr(2 * MS) });
  expect(cohorts[0]!.phases.slow!.latency).toMatchObject({ count: 90, max: hdr(6 * MS) });
  expect(cohorts[0]!.phases.calm!.perSecond).toBe(30);
});

test('a turn in which healthy members received nothing is not left out of the ratio', () => {
  const world = new World({
    members: '2',
    cohorts: ['stalled=1'],
    calm: '2s',
    fill: '0',
    slow: '2s',
    rest: '0',
    turns: '2',
  });
  for (const second of [0, 1, 2]) {
    stream(world, 10, second * SECOND, 100 * MS, () => MS, second * 10);
    world.report(second);
  }
  expect(world.result().isolation).toBeNull();
  const { checks, outcome: came } = judge(world.result(), world.plan);
  expect(checks.find(({ name }) => name === 'isolation')?.status).toBe('unknown');
  expect(came).not.toBe('passed');
});

test('the server’s CPU per delivery is its CPU divided by the deliveries', () => {
  const world = new World({ members: '10', calm: '10s' });
  stream(world, 1000, 0, 10 * MS, () => MS);
  world.report(9);
  // Half a core for 10 s, and 10,000 deliveries: 500 µs each.
  const samples = Array.from({ length: 10 }, (_, i) => ({
    ...NOTHING_KNOWN,
    at: i + 1,
    cpuSeconds: 3 + (i + 1) * 0.5,
  }));
  const [calm] = world.result({ samples }).phases;
  expect(calm!.cpuCores).toBeCloseTo(0.5);
  expect(calm!.cpuMicrosPerDelivery).toBeCloseTo(500);
});

test('an interrupted run has the phases it reached, with their actual length', () => {
  const world = new World({ members: '1', calm: '10s', recover: '5s' });
  stream(world, 20, 0, 100 * MS, () => MS);
  world.report(0);
  world.report(1);
  world.report(2);
  const { phases, cohorts, publishing, timeline } = world.result({ ran: 2 });
  expect(phases).toMatchObject([{ name: 'calm', from: 0, to: 2 }]);
  expect(cohorts[0]!.phases.calm!.perSecond).toBe(10);
  expect(cohorts[0]!.phases.recover).toBeUndefined();
  expect(publishing.offered).toBe(20);
  expect(timeline.map(({ at }) => at)).toEqual([1, 2]);
});

const NOTHING_KNOWN: ServerSample = {
  at: 0,
  cpuSeconds: null,
  cpuCores: null,
  cpuWaitSeconds: null,
  rssBytes: null,
  loopDelayP99: null,
  lockHoldP99: null,
  deliveryP99: null,
  queueBytes: null,
  queueLimitBytes: null,
  members: null,
  dropped: null,
  evictions: null,
};

/** Small whole runs against servers that are correct, slow or wrong in one way each. */
import { availableParallelism } from 'node:os';
import { expect, onTestFinished, test } from 'vitest';
import type { WebSocket } from 'ws';
import { cohortOfMembers } from '../../src/load/assign.js';
import { loadTest } from '../../src/load/load-test.js';
import { type Plan, resolvePlan, type Scenario } from '../../src/load/plan.js';
import type { LoadReport } from '../../src/load/report/report.js';
import type { TargetSpec } from '../../src/load/targets/index.js';
import type { Check } from '../../src/load/verdict/check.js';
import type { Config } from '../../src/options/config.js';
import { startTestServer } from '../../src/testing.js';
import { type Fanout, startBroadcastServer } from '../support/broadcast-server.js';
import { targetSpec } from '../support/load-fakes.js';
import { expectPassed } from '../support/load-report.js';
import { serve } from '../support/server.js';
import { startSmallRoomServer } from '../support/small-room-server.js';

const SMALL: Scenario = {
  members: '10',
  rate: '100/s',
  rampUp: '0',
  settle: '100ms',
  warmup: '0',
  calm: '500ms',
  drain: '3s',
};

async function broadcast(
  fanout: Fanout,
  transform?: (text: string) => string | undefined,
): Promise<TargetSpec> {
  const server = await startBroadcastServer(fanout, 0, transform);
  onTestFinished(() => server.close());
  return targetSpec('ws', server.url);
}

const plan = (target: TargetSpec, scenario: Scenario): Plan =>
  resolvePlan({ ...SMALL, ...scenario }, target, 1, 'abcd');

const load = (target: TargetSpec, scenario: Scenario = {}): Promise<LoadReport> =>
  loadTest(plan(target, scenario), { roomcast: 'test', repeat: 1 });

const check = (report: LoadReport, name: string): Check | undefined =>
  report.verdict.checks.find((each) => each.name === name);

/**
 * A stalled member that the server must notice: it never read, so it has the smallest kernel buffer, and
 * 6.5 MB a second soon fill that.
 */
const BITING: Scenario = {
  size: '64KiB',
  rate: '100/s',
  cohorts: ['stalled=1'],
  calm: '0',
  fill: '0',
  slow: '3s',
  silence: '1s',
};

/** The expected status of a check of times; void if the machine was too busy to judge them. */
const unlessBusy = (status: Check['status']) => expect.stringMatching(`^(${status}|void)$`);

/** A transformation that treats the n-th message differently. */
const atMessage = (n: number, change: (text: string) => string | undefined) => {
  let count = 0;
  return (text: string): string | undefined => (++count === n ? change(text) : text);
};

test('a roomcast passes every check, with slow members of all kinds', async () => {
  const server = await serve();
  const report = await load(targetSpec('roomcast', server.url), {
    members: '30',
    rooms: '2',
    publishers: '2',
    cohorts: [
      'stalled=2',
      'throttled=2',
      'sawtooth=2,read=100ms,pause=100ms',
      'late=2,after=300ms',
      'vanishing=2,stay=200ms,back=50ms',
      'vanishing=2,name=black-hole,how=silent,stay=200ms,back=50ms',
      'churning=2,stay=100ms,away=50ms',
      'healthy=2,name=far,delay=20ms,jitter=5ms',
    ],
    slow: '1s',
    fill: '0',
    recover: '500ms',
  });
  const wrong = report.verdict.checks.filter(({ status }) => status === 'failed');
  expect(wrong).toEqual([]);
  expectPassed(report, 'joined', 'kept', 'order', 'accounting', 'memory', 'released');
  const run = report.runs[0]!;
  const healthy = run.cohorts[0]!;
  expect(run.publishing.sent).toBeGreaterThanOrEqual(200);
  expect(run.publishing.accepted).toBe(run.publishing.sent);
  // Messages over two rooms, and at the end one more of each of the four publishers, which are in no
  // phase: all of them arrive at one instant.
  const { sent, last } = run.publishing;
  expect(last).toBe(4);
  const timed = Object.values(healthy.phases).reduce((sum, { latency }) => sum + latency.count, 0);
  expect(timed).toBe((healthy.members * (sent - last)) / 2);
  expect(healthy.counters.received).toBe((healthy.members * sent) / 2);
  const far = run.cohorts.find(({ name }) => name === 'far')!;
  expect(far.phases.calm!.latency.p50!).toBeGreaterThan(15_000);
  expect(run.server.samples.length).toBeGreaterThan(0);
  expect(run.server.samples.at(-1)?.queueLimitBytes).toBeGreaterThan(0);
  for (const { cpuCores } of run.server.samples) {
    expect(cpuCores).toBeLessThan(2 * availableParallelism());
  }
});

test.each([
  ['keeps them', 1000, 0],
  ['keeps too few', 3, 1],
  ['keeps none', 0, 1],
])(
  'members rejoin with their position, and get all they missed as messages or gaps: a roomcast that %s',
  async (_, historyMessages, least) => {
    const server = await serve({ historyMessages });
    const report = await load(targetSpec('roomcast', server.url), {
      members: '10',
      rooms: '2',
      cohorts: [
        'vanishing=3,stay=200ms,back=100ms,since=true',
        'churning=2,stay=150ms,away=100ms,since=true',
      ],
      slow: '3s',
      fill: '0',
      turns: '1',
    });
    expectPassed(report, 'kept', 'order', 'accounting', 'losses');
    const [, vanishing, churning] = report.runs[0]!.cohorts;
    for (const { counters } of [vanishing!, churning!]) {
      expect(counters.resumed).toBeGreaterThan(2);
      expect(counters.restarted).toBe(0);
    }
    // A member that leaves gets a gap for messages still in its queue, whatever the server keeps.
    if (least === 0) expect(vanishing!.counters.announced).toBe(0);
    else expect(vanishing!.counters.announced).toBeGreaterThanOrEqual(least);
  },
);

/**
 * One member requests what gaps name. The server holds its messages back until it drops some, as if it
 * did not read, so that no kernel buffer hides it.
 */
async function asking(options: Partial<Config>) {
  const server = await startTestServer({ queueMessages: 16, ...options });
  onTestFinished(() => server.close());
  const made = plan(targetSpec('roomcast', server.url), {
    members: '4',
    calm: '0',
    slow: '4s',
    fill: '0',
    turns: '1',
    cohorts: ['late=1,after=10ms,backfill=true'],
  });
  // Members connect in their order.
  const asker = cohortOfMembers(made).indexOf(1);
  let letRead: (() => void) | undefined;
  const report = await loadTest(made, {
    roomcast: 'test',
    repeat: 1,
    onSecond() {
      const members = server.members();
      if (letRead === undefined) letRead = server.stall(members[asker]!.id);
      else if (members[asker]!.health === 'shedding') letRead();
    },
  });
  const { counters, backfills } = report.runs[0]!.cohorts[1]!;
  expect(counters.announced).toBeGreaterThan(0);
  return { report, counters, backfills };
}

test('a member that was held back requests what the gap names while publishing goes on, and a roomcast sends what it keeps', async () => {
  const { report, counters, backfills } = await asking({ historyMessages: 1000 });
  expectPassed(report, 'kept', 'order', 'accounting', 'losses', 'backfill');
  expect(counters.backfill.came).toBe(counters.announced);
  expect(backfills.count).toBeGreaterThan(0);
});

test('a server that keeps nothing is not asked for backfill', async () => {
  const server = await serve();
  const cohorts = ['late=1,backfill=true'];
  await expect(load(targetSpec('roomcast', server.url), { cohorts })).rejects.toMatchObject({
    code: 'bad_option',
    message:
      'cohort late.backfill is "true": expected a server that keeps messages (it answered not_enabled); a roomcast does with --history-messages',
  });
});

test('a command that the target does not support is not sent', async () => {
  for (const [cohort, why] of [
    ['stalled=1,backfill=true', 'cohort stalled.backfill is "true": expected false with ws, which'],
    ['vanishing=1,since=true', 'cohort vanishing.since is "true": expected false with ws, whose'],
  ] as const) {
    await expect(load(await broadcast('loop'), { cohorts: [cohort] })).rejects.toMatchObject({
      code: 'bad_option',
      message: expect.stringContaining(why),
    });
  }
});

test('a position that the server cannot resume leaves unknown what was missed', async () => {
  const server = await startSmallRoomServer(() => ({ resume: () => null }));
  onTestFinished(() => server.close());
  const report = await load(targetSpec('roomcast', server.url), {
    members: '5',
    slow: '1s',
    fill: '0',
    turns: '1',
    cohorts: ['vanishing=1,stay=200ms,back=100ms,since=true'],
  });
  expect(check(report, 'accounting')).toMatchObject({
    status: 'unknown',
    text: expect.stringMatching(/^the server could not resume \d+ joins? from the given position/),
  });
});

test('a server that awaits each send is caught: slow members delay the rest', async () => {
  const target = await broadcast('awaiting');
  const report = await load(target, BITING);
  const flow = check(report, 'flow');
  expect(flow?.status).toEqual(unlessBusy('failed'));
  expect(flow?.text).toContain('9 of 9 healthy members got nothing');
  expect(flow?.text).toContain('others were slow at that time');
  expect(report.verdict.exit === 1).toBe(flow?.status === 'failed');
});

test('the same load on a server that does not await sends passes', async () => {
  const target = await broadcast('loop');
  const report = await load(target, BITING);
  expect(check(report, 'flow')?.status).toEqual(unlessBusy('passed'));
  expectPassed(report, 'accounting');
});

test('a lost message is caught, when others follow and when it was the last', async () => {
  const middle = await load(
    await broadcast(
      'loop',
      atMessage(20, () => undefined),
    ),
  );
  expect(check(middle, 'accounting')?.text).toContain('healthy: 10 lost without a gap');
  expect(middle.verdict.exit).toBe(1);

  let seen = 0;
  const last = await load(await broadcast('loop', (text) => (++seen > 50 ? undefined : text)), {
    drain: '300ms',
  });
  expect(check(last, 'accounting')?.text).toMatch(
    /10 neither received nor announced by 10 members/,
  );
  // On a machine that is too busy, missing messages may only be late.
  expect([1, 3]).toContain(last.verdict.exit);
});

function block(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

test('a machine that is blocked for longer than the drain has its answers read all the same', async () => {
  const server = await startSmallRoomServer(() => ({
    // 50 are due in half a second, and this is the last one.
    publish(_client, room, _data, next) {
      if (room.seq === 50) block(500);
      next();
    },
  }));
  onTestFinished(() => server.close());
  const report = await load(targetSpec('roomcast', server.url), { drain: '300ms' });
  expectPassed(report, 'confirmed', 'accounting', 'losses');
});

test('a machine that is blocked at the end of the phases sends the messages due in them, and no more', async () => {
  const standStill = (text: string): string => {
    block(150);
    return text;
  };
  const report = await load(await broadcast('loop', atMessage(45, standStill)));
  // 50 are due in half a second, and a last one follows.
  expect(report.runs[0]!.publishing).toMatchObject({ sent: 51, offered: 50 });
});

test('a repeated message and a late one are caught', async () => {
  let held = '';
  const report = await load(
    await broadcast(
      'loop',
      atMessage(20, (text) => {
        held = text;
        return undefined;
      }),
    ),
  );
  expect(held).not.toBe('');
  expectPassed(report, 'order');

  let count = 0;
  const swapped = await load(
    await broadcast('loop', (text) => {
      count++;
      if (count === 20) {
        held = text;
        return undefined;
      }
      return count === 22 ? held : text;
    }),
  );
  expect(check(swapped, 'order')?.text).toContain('10 messages out of order');

  count = 0;
  const twice = await load(
    await broadcast('loop', (text) => {
      count++;
      if (count === 20) held = text;
      return count === 22 ? held : text;
    }),
  );
  expect(check(twice, 'order')?.text).toContain('10 twice');
  expect(twice.verdict.exit).toBe(1);
});

test('a server that disconnects a healthy member is caught', async () => {
  const server = await startBroadcastServer('loop');
  onTestFinished(() => server.close());
  let seconds = 0;
  const report = await loadTest(plan(targetSpec('ws', server.url), { calm: '3s' }), {
    roomcast: 'test',
    repeat: 1,
    onSecond: () => {
      if (++seconds === 1) [...server.connections][0]?.close(4001, 'go');
    },
  });
  expect(check(report, 'kept')?.text).toContain(
    'the server ended 1 connection of publishers and members that read everything: 4001 go',
  );
  expect(check(report, 'kept')?.status).toEqual(unlessBusy('failed'));
  expect([1, 3]).toContain(report.verdict.exit);
});

test('stalled members that the server resets in time pass, others do not', async () => {
  const server = await startBroadcastServer('loop');
  onTestFinished(() => server.close());
  const made = plan(targetSpec('ws', server.url), {
    cohorts: ['stalled=2'],
    calm: '1s',
    fill: '0',
    slow: '3s',
    evictWithin: '2s',
  });
  const stalled = [...cohortOfMembers(made).entries()].filter(([, cohort]) => cohort === 1);
  const run = (onSecond: (second: number) => void): Promise<LoadReport> =>
    loadTest(made, { roomcast: 'test', repeat: 1, onSecond: ({ at }) => onSecond(at) });

  let connections: WebSocket[] = [];
  const evicted = await run((second) => {
    if (connections.length === 0) connections = [...server.connections];
    // Members connect in their order, and no one else is connected. A blocked machine skips seconds.
    if (second >= 2) for (const [member] of stalled) server.reset(connections[member]!);
  });
  expect(check(evicted, 'evictions')?.text).toContain('2 of 2 stalled members disconnected');
  expect(check(evicted, 'evictions')?.status).toEqual(unlessBusy('passed'));
  expectPassed(evicted, 'kept');
  const { count, max } = evicted.runs[0]!.cohorts[1]!.evictions;
  expect(count).toBe(2);
  // They are reset a second after they stopped to read, unless the machine was blocked for that long.
  if (evicted.verdict.unfit === null) expect(max).toBeGreaterThan(500_000);

  const kept = await run(() => {});
  expect(check(kept, 'evictions')?.text).toContain('0 of 2 stalled members disconnected');
  expect(check(kept, 'evictions')?.status).toEqual(unlessBusy('failed'));
});

test('a threshold fails by its name', async () => {
  const report = await load(await broadcast('loop'), {
    failIf: ['healthy.p99>0ms', 'healthy.p99>10s', 'healthy.rate@calm<1', 'server.cpu>1'],
  });
  expect(check(report, 'fail-if healthy.p99>0ms')?.status).toEqual(unlessBusy('failed'));
  expect(check(report, 'fail-if healthy.p99>10s')?.status).toBe('passed');
  expect(check(report, 'fail-if healthy.rate@calm<1')?.status).toBe('passed');
  expect(check(report, 'fail-if server.cpu>1')?.text).toContain('has no value in this run');
});

test('a closed loop keeps its window full and no fuller', async () => {
  const { rate: _, ...small } = SMALL;
  const target = await broadcast('loop');
  const closed = resolvePlan({ ...small, window: '8' }, target, 1, 'abcd');
  const report = await loadTest(closed, { roomcast: 'test', repeat: 1 });
  expectPassed(report, 'accounting');
  const { sent, offered, stuck } = report.runs[0]!.publishing;
  expect(offered).toBeNull();
  expect(stuck).toBe(0);
  expect(sent).toBeGreaterThan(50);
});

test('an echo server has one room per member', async () => {
  const report = await load(await echo(), { rate: '200/s' });
  expectPassed(report, 'accounting', 'order');
  const { publishing, cohorts } = report.runs[0]!;
  expect(cohorts[0]?.phases.calm?.latency.count).toBe(publishing.sent - publishing.last);
  expect(cohorts[0]?.counters.received).toBe(publishing.sent);
});

test('an interrupted run reports what it has measured', async () => {
  const target = await broadcast('loop');
  const controller = new AbortController();
  const report = await loadTest(plan(target, { calm: '60s' }), {
    roomcast: 'test',
    repeat: 3,
    signal: controller.signal,
    onSecond: () => controller.abort(),
  });
  expect(report.runs).toHaveLength(1);
  const run = report.runs[0]!;
  expect(run.interrupted).toBe(true);
  expect(run.phases[0]!.to).toBeLessThan(10);
  // The second that was cut short is no row: it would look like a dip.
  for (const { at } of run.timeline) expect(at).toBeLessThan(run.phases[0]!.to + 0.1);
  expect(run.cohorts[0]!.phases.calm!.latency.count).toBeGreaterThan(0);
  expectPassed(report, 'accounting');
  expect([130, 3]).toContain(report.verdict.exit);
});

test('a run interrupted while connecting reports only that', async () => {
  const target = await broadcast('loop');
  const controller = new AbortController();
  const report = await loadTest(plan(target, { members: '100', rampUp: '60s' }), {
    roomcast: 'test',
    repeat: 1,
    signal: controller.signal,
    onConnecting: () => controller.abort(),
  });
  expect(report.runs[0]!.interrupted).toBe(true);
  expect(report.runs[0]!.phases).toEqual([]);
});

test('a target that does not exist, or is something else, is unreachable', async () => {
  await expect(load(targetSpec('ws', 'ws://127.0.0.1:1'))).rejects.toMatchObject({
    code: 'unreachable',
    message: expect.stringContaining('cannot reach ws at 127.0.0.1:1: ECONNREFUSED: nothing'),
  });
  const server = await serve();
  await expect(load(targetSpec('roomcast', `${server.url}/nowhere`))).rejects.toMatchObject({
    code: 'unreachable',
    message: expect.stringContaining('refused the upgrade: 404'),
  });
});

test('a run with a metrics URL that has no metrics does not begin', async () => {
  const server = await serve();
  const started = (metricsUrl: string) =>
    loadTest(plan(targetSpec('roomcast', server.url), {}), {
      roomcast: 'test',
      repeat: 1,
      metricsUrl,
    });
  for (const [wrong, why] of [
    ['nope', 'nope: '],
    [`${server.url}/nope`, 'answers 404'],
    [`${server.url}/readyz`, 'has no metrics that roomcast load knows'],
  ] as const) {
    await expect(started(wrong)).rejects.toMatchObject({
      code: 'bad_option',
      message: expect.stringMatching(
        new RegExp(`^--metrics-url is "${wrong}": expected a page of metrics .*${why}`),
      ),
    });
  }
});

test('repeated runs have a spread, and can be compared with a baseline', async () => {
  const target = await broadcast('loop');
  const made = plan(target, { calm: '300ms' });
  const report = await loadTest(made, { roomcast: 'test', repeat: 3 });
  expect(report.runs).toHaveLength(3);
  const { median, min, max } = report.figures['healthy.p99@calm']!;
  expect(min).toBeLessThanOrEqual(median);
  expect(median).toBeLessThanOrEqual(max);

  const better = structuredClone(report);
  better.figures['healthy.p99@calm'] = { median: 1, min: 1, max: 1 };
  const compared = await loadTest(made, {
    roomcast: 'test',
    repeat: 1,
    baseline: { report: better, tolerance: 0.15 },
  });
  expect(check(compared, 'compare healthy.p99@calm')?.status).toEqual(unlessBusy('failed'));
});

async function echo(): Promise<TargetSpec> {
  const server = await startBroadcastServer('echo');
  onTestFinished(() => server.close());
  return targetSpec('echo', server.url);
}

import { expect, test } from 'vitest';
import { isolationOf } from '../../../src/load/measure/isolation.js';
import { resolvePlan } from '../../../src/load/plan.js';
import { parseThreshold } from '../../../src/load/verdict/threshold.js';
import { headline, judge } from '../../../src/load/verdict/verdict.js';
import { distributionOf, FIXTURE_PLAN, fixtureRun } from '../../support/load-report.js';

type Run = ReturnType<typeof fixtureRun>;

const judged = (change: (run: Run) => void, plan = FIXTURE_PLAN) => {
  const run = fixtureRun();
  change(run);
  const verdict = judge(run, plan);
  const failed = verdict.checks.filter(({ status }) => status === 'failed').map(({ name }) => name);
  return { ...verdict, failed };
};

test('a correct run passes', () => {
  const { exit, failed, notes } = judged(() => {});
  expect(failed).toEqual([]);
  expect(notes).toEqual([]);
  expect(exit).toBe(0);
});

test.each<[string, (run: Run) => void, RegExp, string[]?]>([
  [
    'joined',
    (run) => {
      run.cohorts[1]!.counters.failures = { '4100 full': 3 };
    },
    /3 members could not join: 4100 full \(3\)/,
  ],
  [
    'kept',
    (run) => {
      run.cohorts[0]!.counters.closes = { '4101 slow': 1 };
    },
    /the server ended 1 connection of publishers and members that read everything: 4101 slow/,
  ],
  [
    'kept',
    (run) => {
      run.publishing.closes = { ECONNRESET: 2 };
    },
    /the server ended 2 connections .*: ECONNRESET \(2\)/,
  ],
  [
    'order',
    (run) => {
      run.cohorts[1]!.counters.faults.reordered = 4;
    },
    /4 messages out of order/,
  ],
  [
    'order',
    (run) => {
      run.cohorts[0]!.counters.faults.duplicated = 4;
    },
    /4 twice/,
  ],
  [
    'accounting',
    (run) => {
      run.cohorts[0]!.counters.faults.unannounced = 9;
    },
    /healthy: 9 lost without a gap/,
    ['accounting', 'losses'],
  ],
  [
    'accounting',
    (run) => {
      run.cohorts[1]!.counters.faults.wrongGaps = 1;
    },
    /stalled: 1 gap did not match/,
  ],
  [
    'accounting',
    (run) => {
      Object.assign(run.cohorts[0]!.counters, { owed: 7, owedMembers: 2 });
    },
    /7 neither received nor announced by 2 members 10s after/,
    ['accounting', 'losses'],
  ],
  [
    'losses',
    (run) => {
      run.cohorts[0]!.counters.announced = 5000;
    },
    /healthy members lost 5,000 of 230,090 messages \(2.2 %\): 5,000 announced, 0 not/,
  ],
  [
    'confirmed',
    (run) => {
      run.publishing.accepted = null;
      run.publishing.confirmations = { asked: 1, got: 0 };
    },
    /the last message of 1 of 1 publisher was not confirmed; healthy members have received 225,090 of about/,
  ],
  [
    'offered',
    (run) => {
      run.publishing.accepted = 2475;
      run.publishing.refused = { rate_limited: 26 };
    },
    /of 2,500 messages due, 26 were refused: rate_limited \(26\), and 0 not sent/,
  ],
  [
    'offered',
    (run) => {
      Object.assign(run.publishing, { sent: 2401, accepted: 2401, blocked: 100 });
    },
    /0 were refused, and 100 not sent because the connection took no more/,
  ],
  [
    'accounting',
    (run) => {
      run.publishing.accepted = 2600;
    },
    /2,600 messages numbered, but only 2,501 sent/,
  ],
  [
    'isolation',
    (run) => {
      run.isolation = isolationOf([
        { calm: 20_000, slow: 1_490_000 },
        { calm: 21_000, slow: 1_480_000 },
        { calm: 19_000, slow: 1_500_000 },
      ]);
    },
    /is 74\.\d+ \(\d+\.\d+–\d+\.\d+ in 3 turns\); at worst 19.0 ms became 1.50 s \(limit 2\)/,
  ],
  [
    'accounting',
    (run) => {
      run.publishing.accepted = 2498;
    },
    /3 publishes neither numbered nor refused/,
  ],
  [
    'memory',
    (run) => {
      run.server.samples[3]!.queueBytes = 269_000_000;
    },
    /queues held at most 269 MB of 268 MB/,
  ],
  [
    'released',
    (run) => {
      run.server.after!.members = 2;
    },
    /still holds 2 members and 0 B queued/,
  ],
  [
    'flow',
    (run) => {
      Object.assign(run.cohorts[0]!.counters, { silence: [0, 0, 4e6], silentMembers: [0, 0, 90] });
    },
    /in phase slow, 90 of 90 healthy members got nothing for up to 4.00 s \(limit .*\); others were slow at that time, but one turn may be chance/,
  ],
  [
    'fail-if healthy.p99>250ms',
    (run) => {
      run.cohorts[0]!.phases.slow!.latency = distributionOf(300);
    },
    /healthy.p99 is \d+ ms \(phase slow\)/,
  ],
])('%s fails by its name', (name, change, text, names = [name]) => {
  const { exit, failed, checks } = judged(change);
  expect(failed).toEqual(names);
  expect(checks.find((check) => check.name === name)?.text).toMatch(text);
  expect(exit).toBe(1);
});

test('received counts distinct messages; duplicates are named', () => {
  const run = fixtureRun();
  run.cohorts[0]!.counters.received += 7;
  run.cohorts[0]!.counters.faults.duplicated = 7;
  const { checks } = judge(run, FIXTURE_PLAN);
  const text = (wanted: string) => checks.find(({ name }) => name === wanted)?.text;
  expect(text('order')).toContain('7 twice');
  expect(text('accounting')).toBe(
    'received 237,755 (and 7 of them a second time) + announced as dropped 12,345 = everything sent to members present',
  );
  expect(text('losses')).toBe('healthy members lost none of 225,090 messages');
});

test('in a run that lost a worker only failures that the loss cannot cause remain', () => {
  const run = fixtureRun();
  run.lost = 'a worker process was lost: SIGKILL';
  run.cohorts[0]!.counters.owed = 5;
  run.cohorts[0]!.counters.owedMembers = 1;
  const lost = judge(run, FIXTURE_PLAN);
  expect(lost).toMatchObject({ outcome: 'incomplete', exit: 4, unfit: null });
  expect(headline(lost)).toBe('Incomplete: a worker process was lost: SIGKILL');
  expect(new Set(lost.checks.map(({ status }) => status))).toEqual(new Set(['unknown', 'skipped']));
  run.cohorts[0]!.counters.faults.duplicated = 1;
  expect(judge(run, FIXTURE_PLAN)).toMatchObject({ outcome: 'failed', exit: 1 });
});

test('refused publishes are not missing, and few of them are no failure', () => {
  const { failed } = judged((run) => {
    run.publishing.accepted = 2498;
    run.publishing.refused = { rate_limited: 3 };
  });
  expect(failed).toEqual([]);
});

test('a ratio fails only beyond its noise, and only if the delay matters', () => {
  const turns = (...pairs: [calm: number, slow: number][]) =>
    judged((run) => {
      run.isolation = isolationOf(pairs.map(([calm, slow]) => ({ calm, slow })));
    });
  const check = ({ checks }: ReturnType<typeof judged>) =>
    checks.find(({ name }) => name === 'isolation')!;
  const noise = turns([10_000, 11_000], [12_000, 10_000], [9000, 10_000]);
  expect(noise.outcome).toBe('passed');
  expect(check(noise).text).toContain('within noise of 1');
  const unclear = turns([10_000, 12_000], [10_000, 300_000], [10_000, 40_000]);
  expect(check(unclear).status).toBe('void');
  expect(unclear).toMatchObject({ outcome: 'void', exit: 3 });
  expect(turns([500, 3000], [500, 3100], [500, 2900]).outcome).toBe('passed');
  expect(turns([5000, 50_000], [5000, 51_000], [5000, 49_000]).failed).toEqual(['isolation']);
});

test('a single turn fails only if most of its seconds were slow, beyond the delay of the generator', () => {
  const single = (seconds: (number | null)[], loopDelayMax = 2000) =>
    judged((run) => {
      run.isolation = isolationOf([{ calm: 1500, slow: 50_000 }]);
      const calm = run.timeline.filter(({ phase }) => phase === 'calm');
      const [slow] = run.timeline.filter(({ phase }) => phase === 'slow');
      const rows = seconds.map((p99, i) => ({
        ...slow!,
        at: calm.length + i + 1,
        loopDelayMax,
        cohorts: slow!.cohorts.map((row, k) => (k === 0 ? { ...row, p99 } : row)),
      }));
      run.timeline = [...calm, ...rows];
    }).checks.find(({ name }) => name === 'isolation');
  // One stall of the machine.
  expect(single([1500, 80_000, 1600, 1500, 1500])).toMatchObject({
    status: 'void',
    text: expect.stringContaining('one turn may be chance'),
  });
  expect(single([1500, 80_000, 80_000, 1500])?.status).toBe('void');
  expect(single([1500, 80_000, 80_000, 80_000, 1500])?.status).toBe('failed');
  // Above 2, but within noise.
  expect(single([14_000, 14_000, 14_000, 14_000])?.status).toBe('void');
  // Nothing arrived in two of the seconds.
  expect(single([80_000, null, 80_000, null])?.status).toBe('failed');
  expect(single([80_000, 80_000, 80_000])?.status).toBe('void');
  // The generator could not read for 70 ms in each second.
  expect(single([80_000, 80_000, 80_000, 80_000], 70_000)?.status).toBe('void');
});

test('silence in every turn while others were slow, and at no other time, is blamed on slow members', () => {
  const plan = resolvePlan(
    { members: '100', warmup: '0', cohorts: ['stalled=10%'], rest: '1s' },
    FIXTURE_PLAN.target,
    1,
    'abcd',
  );
  const flow = (...silent: number[]) => {
    const { checks } = judged((run) => {
      run.phases = plan.phases.map((phase, i) => ({
        ...run.phases[0]!,
        ...phase,
        from: i,
        to: i + 1,
      }));
      const members = plan.phases.map((_, i) => (silent.includes(i) ? 90 : 0));
      Object.assign(run.cohorts[0]!.counters, {
        silence: members.map((n) => n * 50_000),
        silentMembers: members,
      });
    }, plan);
    return checks.find(({ name }) => name === 'flow')!.text;
  };
  // calm, fill, slow, rest in turns
  expect(flow(1, 6, 10)).toContain(
    'in each of 3 turns while others were slow, and at no other time: slow members delay the rest',
  );
  expect(flow(5)).toContain('while others were slow, but in 1 of 3 turns only');
  expect(flow(2, 4)).toContain('not only while others were slow');
});

test('backfill: complete, incomplete, nothing to request, nothing kept', () => {
  const plan = {
    ...FIXTURE_PLAN,
    cohorts: FIXTURE_PLAN.cohorts.map((cohort) => ({
      ...cohort,
      backfill: cohort.name === 'stalled',
    })),
  };
  const backfill = (seen: Partial<Run['cohorts'][0]['counters']['backfill']>) => {
    const { outcome, checks } = judged((run) => {
      Object.assign(run.cohorts[1]!.counters.backfill, seen);
    }, plan);
    return { outcome, ...checks.find(({ name }) => name === 'backfill')! };
  };
  expect(backfill({ came: 1000, expired: 345, refused: { rate_limited: 2 } })).toMatchObject({
    outcome: 'passed',
    text: 'of 1,345 messages that gaps named, the server sent 1,000 on request and no longer kept 345; refused at first: rate_limited (2)',
  });
  for (const [seen, text] of [
    [{ lost: 1 }, /; 1 were neither sent nor named as not kept$/],
    [{ wrong: 2 }, /; 2 were not requested, out of order, or other messages$/],
    [{ unanswered: 3 }, /; 3 had no answer when the drain ended$/],
  ] as const) {
    expect(backfill({ came: 1000, ...seen })).toMatchObject({
      outcome: 'failed',
      status: 'failed',
      text: expect.stringMatching(text),
    });
  }
  expect(backfill({ came: 1000, cutOff: 1 })).toMatchObject({
    outcome: 'incomplete',
    status: 'unknown',
    text: expect.stringContaining('1 request ended with their connection'),
  });
  expect(backfill({})).toMatchObject({
    outcome: 'void',
    text: expect.stringMatching(/^no gap was announced/),
  });
  expect(backfill({ expired: 5 })).toMatchObject({
    outcome: 'void',
    text: expect.stringContaining('let the server keep'),
  });
});

test('a skipped check does not count, and is named', () => {
  const verdict = judged(
    (run) => {
      run.cohorts[0]!.counters.announced = 5;
    },
    { ...FIXTURE_PLAN, skip: ['losses'] },
  );
  expect(verdict.outcome).toBe('passed');
  expect(headline(verdict)).toBe('Passed (not judged: losses, evictions)');
});

test('a threshold of an unknown figure leaves the run incomplete', () => {
  const verdict = judged((run) => {
    run.isolation = null;
  });
  expect(verdict).toMatchObject({ outcome: 'incomplete', exit: 4 });
  expect(headline(verdict)).toBe('Incomplete: not known: isolation');
});

test('a saturated generator voids times, not counts', () => {
  const busy = (run: Run): void => {
    run.phases[2]!.utilization = 0.95;
    run.cohorts[0]!.phases.slow!.latency = distributionOf(300);
  };
  const timed = judged(busy);
  expect(timed.exit).toBe(3);
  expect(timed.unfit).toContain('busy 95 % of phase slow');
  expect(timed.checks.find(({ name }) => name.startsWith('fail-if'))?.status).toBe('void');

  const counted = judged((run) => {
    busy(run);
    run.cohorts[0]!.counters.faults.duplicated = 1;
  });
  expect(counted.failed).toEqual(['order']);
  expect(counted.exit).toBe(1);
});

test('a server that gets no CPU is not blamed for delays', () => {
  const starved = judged((run) => {
    run.phases[2]!.cpuWait = 0.4;
    Object.assign(run.cohorts[0]!.counters, { silence: [0, 0, 9e6], silentMembers: [0, 0, 90] });
  });
  expect(starved.unfit).toContain('had to wait 40 % of phase slow');
  expect(starved.checks.find(({ name }) => name === 'flow')?.status).toBe('void');
  expect(starved.exit).toBe(3);
});

test('a ratio that was measured while the generator got no CPU is void, and the rest counts', () => {
  const waiting = (change: (run: Run) => void = () => {}) =>
    judged((run) => {
      run.phases[2]!.generatorCpuWait = 0.4;
      change(run);
    });
  expect(waiting()).toMatchObject({ outcome: 'passed', unfit: null });
  expect(waiting().notes.join()).toContain('had to wait for a CPU 40 % of phase slow');
  const timed = waiting((run) => {
    run.isolation = isolationOf([1, 2, 3].map(() => ({ calm: 5000, slow: 50_000 })));
  });
  expect(timed.checks.find(({ name }) => name === 'isolation')?.status).toBe('void');
  expect(timed.exit).toBe(3);
  const counted = waiting((run) => {
    run.cohorts[0]!.counters.announced = 5;
  });
  expect(counted.failed).toEqual(['losses']);
});

test('late publishing voids an open loop, which relies on punctuality', () => {
  const late = (run: Run): void => {
    run.publishing.lateness = distributionOf(100);
  };
  expect(judged(late).exit).toBe(3);
  expect(judged(late, { ...FIXTURE_PLAN, rate: null, window: 8 }).exit).toBe(0);
});

test('a silence is blamed on the server unless the generator was blocked itself', () => {
  const silent = (run: Run): void => {
    run.phases[2]!.utilization = 0.95;
    Object.assign(run.cohorts[0]!.counters, { silence: [0, 0, 4e6], silentMembers: [0, 0, 90] });
  };
  expect(judged(silent)).toMatchObject({ exit: 1, failed: ['flow'] });
  const held = judged((run) => {
    silent(run);
    run.phases[2]!.loopDelayMax = 3e6;
  });
  expect(held.exit).toBe(3);
});

test('evictions are taken from the sockets, else from the metrics, else they are unknown', () => {
  const plan = { ...FIXTURE_PLAN, evictWithinMs: 12_000 };
  const evictions = (change: (run: Run) => void) =>
    judged(change, plan).checks.find(({ name }) => name === 'evictions')!;
  const count = (n: number, maxMs = 11_000) => ({
    ...distributionOf(10_000, n),
    max: maxMs * 1000,
  });
  const seen = (n: number, maxMs?: number) => (run: Run) => {
    run.cohorts[1]!.evictions = count(n, maxMs);
  };
  expect(evictions(() => {}).status).toBe('failed');
  expect(evictions(seen(10)).status).toBe('passed');
  expect(evictions(seen(9)).status).toBe('failed');
  expect(evictions(seen(10, 13_000)).status).toBe('failed');
  // Stalled from second 10 on.
  const told = (by: number) => (run: Run) => {
    for (const sample of run.server.samples) sample.evictions = sample.at >= by ? 10 : 0;
  };
  expect(evictions(told(21))).toMatchObject({
    status: 'passed',
    text: /metrics count 10 evictions/,
  });
  expect(evictions(told(25)).status).toBe('failed');
  const unread = (run: Run): void => {
    run.cohorts[1]!.counters.endedUnread = 10;
    for (const sample of run.server.samples) sample.evictions = null;
    run.server.before!.evictions = null;
  };
  expect(evictions(unread)).toMatchObject({ status: 'unknown', text: /10 more turned out/ });
});

test('without metrics, what needs them is skipped', () => {
  const { exit, checks } = judged((run) => {
    run.server = { before: null, after: null, samples: [], missing: 'no' };
  });
  expect(exit).toBe(0);
  const skipped = checks.filter(({ status }) => status === 'skipped').map(({ name }) => name);
  expect(skipped).toEqual(['evictions', 'memory', 'released']);
});

test('an interrupted run that failed at nothing says so by its exit code', () => {
  expect(
    judged((run) => {
      run.interrupted = true;
    }).exit,
  ).toBe(130);
});

test('nothing was tested if the server cannot have noticed a slow member', () => {
  const light = judged((run) => {
    run.cohorts[1]!.counters.announced = 0;
    for (const sample of run.server.samples) sample.queueBytes = 0;
  });
  expect(light).toMatchObject({ outcome: 'void', exit: 3 });
  expect(headline(light)).toBe('Void: slowness');
  expect(light.checks.find(({ name }) => name === 'slowness')?.text).toContain(
    'nothing slow happened that the server must have noticed; stalled: each was behind by 192 kB',
  );
  const queued = judged((run) => {
    run.cohorts[1]!.counters.announced = 0;
  });
  expect(queued.outcome).toBe('passed');
});

test('thresholds read figures of cohorts, phases and the server', () => {
  const value = (text: string) => parseThreshold(text, FIXTURE_PLAN).value(fixtureRun(2));
  expect(value('healthy.p99@calm>1s')).toBe(fixtureRun(2).cohorts[0]!.phases.calm!.latency.p99);
  expect(value('healthy.p99>1s')).toBe(fixtureRun(2).cohorts[0]!.phases.slow!.latency.p99);
  expect(value('healthy.service.p99.9>1s')).toBeGreaterThan(0);
  expect(value('stalled.gaps>0')).toBe(12_345);
  expect(value('healthy.rate<1')).toBe(9000);
  expect(value('isolation>3')).toBe(2);
  expect(value('server.cpuPerDelivery@calm>1ms')).toBe(4.1);
  expect(value('server.rss>1GB')).toBe(80_025_000);
  expect(value('stalled.evictions.max>1s')).toBeNull();
  expect(parseThreshold('healthy.p99 >= 1.5ms', FIXTURE_PLAN)).toMatchObject({ limit: 1500 });
});

test.each([
  ['healthy.p98>1s', 'expected a figure'],
  ['nobody.p99>1s', 'expected a figure: (healthy|stalled)'],
  ['healthy.p99', 'expected a form such as healthy.p99>250ms'],
  ['healthy.p99>250', 'expected a duration'],
  ['isolation>3s', 'expected a plain number'],
  ['server.rss>3s', 'expected a size'],
  ['healthy.p99@warmup>1s', 'expected a phase of the run: calm, fill, slow'],
])('an invalid threshold is refused: %s', (text, message) => {
  expect(() => parseThreshold(text, FIXTURE_PLAN)).toThrow(message);
});

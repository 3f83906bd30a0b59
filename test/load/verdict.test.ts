import { expect, test } from 'vitest';
import { parseThreshold } from '../../src/load/threshold.js';
import { judge } from '../../src/load/verdict.js';
import { distributionOf, FIXTURE_PLAN, fixtureRun } from '../support/load-report.js';

type Run = ReturnType<typeof fixtureRun>;

const judged = (change: (run: Run) => void, plan = FIXTURE_PLAN) => {
  const run = fixtureRun();
  change(run);
  const verdict = judge(run, plan);
  const failed = verdict.checks.filter(({ status }) => status === 'failed').map(({ name }) => name);
  return { ...verdict, failed };
};

test('a run as it should be passes', () => {
  const { exit, failed, notes } = judged(() => {});
  expect(failed).toEqual([]);
  expect(notes).toEqual([]);
  expect(exit).toBe(0);
});

test.each<[string, (run: Run) => void, RegExp]>([
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
    /1 healthy connection ended by the server: 4101 slow/,
  ],
  [
    'kept',
    (run) => {
      run.publishing.closes = { ECONNRESET: 2 };
    },
    /2 healthy connections ended.*ECONNRESET \(2\)/,
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
    /healthy: 9 lost without a word/,
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
  ],
  [
    'accounting',
    (run) => {
      run.publishing.accepted = 2498;
    },
    /3 publishes were neither numbered nor refused/,
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
    /in phase slow, 90 of 90 healthy members got nothing for up to 4.00 s .*slow members hold up the rest/,
  ],
  [
    'fail-if healthy.p99>250ms',
    (run) => {
      run.cohorts[0]!.phases.slow!.latency = distributionOf(300);
    },
    /healthy.p99 is \d+ ms \(phase slow\)/,
  ],
])('%s fails by its name', (name, change, text) => {
  const { exit, failed, checks } = judged(change);
  expect(failed).toEqual([name]);
  expect(checks.find((check) => check.name === name)?.text).toMatch(text);
  expect(exit).toBe(1);
});

test('refused publishes are no missing ones', () => {
  const { failed, notes } = judged((run) => {
    run.publishing.accepted = 2498;
    run.publishing.refused = { rate_limited: 3 };
  });
  expect(failed).toEqual([]);
  expect(notes).toEqual(['publishes refused: rate_limited (3)']);
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

test('a server that gets no CPU is not to blame for what takes long', () => {
  const starved = judged((run) => {
    run.phases[2]!.cpuWait = 0.4;
    Object.assign(run.cohorts[0]!.counters, { silence: [0, 0, 9e6], silentMembers: [0, 0, 90] });
  });
  expect(starved.unfit).toContain('had to wait 40 % of phase slow');
  expect(starved.checks.find(({ name }) => name === 'flow')?.status).toBe('void');
  expect(starved.exit).toBe(3);
});

test('publishing late voids an open loop, which rests on being punctual', () => {
  const late = (run: Run): void => {
    run.publishing.lateness = distributionOf(100);
  };
  expect(judged(late).exit).toBe(3);
  expect(judged(late, { ...FIXTURE_PLAN, rate: null, window: 8 }).exit).toBe(0);
});

test('a silence is the server’s unless the generator was held up itself', () => {
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

test('evictions are judged only when there was time for them', () => {
  const plan = { ...FIXTURE_PLAN, evictWithinMs: 12_000 };
  const evictions = (run: Run) => run.cohorts[1]!;
  expect(judged(() => {}, plan).failed).toEqual(['evictions']);
  const inTime = judged((run) => {
    evictions(run).evictions = { ...distributionOf(10_000, 10), max: 11_000_000 };
  }, plan);
  expect(inTime.failed).toEqual([]);
  const late = judged((run) => {
    evictions(run).evictions = { ...distributionOf(10_000, 10), max: 13_000_000 };
  }, plan);
  expect(late.failed).toEqual(['evictions']);
  const noTime = judged(() => {}, { ...FIXTURE_PLAN, evictWithinMs: 60_000 });
  expect(noTime.checks.find(({ name }) => name === 'evictions')?.status).toBe('skipped');
});

test('without metrics, what needs them is skipped', () => {
  const { exit, checks } = judged((run) => {
    run.server = { before: null, after: null, samples: [], missing: 'no' };
  });
  expect(exit).toBe(0);
  const skipped = checks.filter(({ status }) => status === 'skipped').map(({ name }) => name);
  expect(skipped).toEqual(['memory', 'released', 'evictions']);
});

test('an interrupted run that failed at nothing says so by its exit code', () => {
  expect(
    judged((run) => {
      run.interrupted = true;
    }).exit,
  ).toBe(130);
});

test('stalled members whom the server cannot have noticed are pointed out', () => {
  const { notes } = judged((run) => {
    run.cohorts[1]!.counters.announced = 0;
  });
  expect(notes).toEqual([expect.stringContaining('each stalled member was owed only')]);
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
])('a threshold that makes no sense is refused: %s', (text, message) => {
  expect(() => parseThreshold(text, FIXTURE_PLAN)).toThrow(message);
});

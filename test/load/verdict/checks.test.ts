/**
 * The figures that each check uses, one at a time: each case changes a figure that a faulty check would
 * ignore.
 */
import { expect, test } from 'vitest';
import type { Cohort } from '../../../src/load/cohort.js';
import { isolationOf } from '../../../src/load/measure/isolation.js';
import type { Plan } from '../../../src/load/plan.js';
import { parseThreshold } from '../../../src/load/verdict/threshold.js';
import { judge } from '../../../src/load/verdict/verdict.js';
import { distributionOf, FIXTURE_PLAN, fixtureRun } from '../../support/load-report.js';

type Run = ReturnType<typeof fixtureRun>;

/** A verdict, and a function that returns one of its checks by name. */
function judged(change: (run: Run) => void, plan: Plan = FIXTURE_PLAN) {
  const run = fixtureRun();
  change(run);
  const verdict = judge(run, plan);
  const check = (wanted: string) => verdict.checks.find(({ name }) => name === wanted);
  return { verdict, check };
}

/** The plan with another slow cohort. */
const withCohort = (cohort: Partial<Cohort>): Plan => ({
  ...FIXTURE_PLAN,
  cohorts: FIXTURE_PLAN.cohorts.map((each, i) => (i === 1 ? { ...each, ...cohort } : each)),
});

test.each(['foreign', 'changed', 'reordered', 'duplicated'] as const)(
  'one message that is %s is out of order',
  (fault) => {
    const { check } = judged((run) => {
      run.cohorts[1]!.counters.faults[fault] = 1;
    });
    expect(check('order')?.status).toBe('failed');
  },
);

test('a closed loop that gave up its window fails as not offered', () => {
  const { check } = judged(
    (run) => {
      run.publishing.offered = null;
      run.publishing.stuck = 1;
    },
    { ...FIXTURE_PLAN, rate: null, window: 8 },
  );
  expect(check('offered')).toMatchObject({
    status: 'failed',
    text: /given up 1 time because no message arrived/,
  });
});

test('last messages that were refused repeatedly count no more than those due', () => {
  const { check } = judged((run) => {
    run.publishing.refused = { rate_limited: 90_000 };
    run.publishing.accepted = 0;
  });
  expect(check('offered')?.text).toContain('of 2,500 messages due, 2,500 were refused');
});

test('refused and unsent messages count together', () => {
  const { check } = judged((run) => {
    const refused = { rate_limited: 15 };
    Object.assign(run.publishing, { sent: 2486, accepted: 2471, refused, blocked: 15 });
  });
  expect(check('offered')).toMatchObject({
    status: 'failed',
    text: 'of 2,500 messages due, 15 were refused: rate_limited (15), and 15 not sent because the connection took no more',
  });
});

test('without the last number the text does not claim that everything has arrived', () => {
  const { check } = judged((run) => {
    run.publishing.accepted = null;
    run.publishing.confirmations = { asked: 1, got: 0 };
  });
  expect(check('accounting')?.text).toMatch(/without a hole as far as known$/);
});

test('a silence in a phase that was not run does not count', () => {
  const { check } = judged((run) => {
    run.phases.pop();
    run.interrupted = true;
    Object.assign(run.cohorts[0]!.counters, { silence: [0, 0, 4e6], silentMembers: [0, 0, 90] });
  });
  expect(check('flow')?.status).toBe('passed');
});

/** Makes no figure show that the server noticed the slow members. */
const unnoticed = (run: Run): void => {
  run.cohorts[1]!.counters.announced = 0;
  for (const sample of run.server.samples) sample.queueBytes = 0;
};

test.each<[string, (run: Run) => void]>([
  [
    'gaps were announced to them',
    (run) => {
      run.cohorts[1]!.counters.announced = 1;
    },
  ],
  [
    'one was disconnected',
    (run) => {
      run.cohorts[1]!.evictions = distributionOf(1, 1);
    },
  ],
  [
    'one was found to have been disconnected',
    (run) => {
      run.cohorts[1]!.counters.endedUnread = 1;
    },
  ],
  [
    'queues have filled',
    (run) => {
      run.server.samples[20]!.queueBytes = 65 * 1024;
    },
  ],
  [
    'it has dropped',
    (run) => {
      run.server.samples[20]!.dropped = 1;
    },
  ],
  [
    'it has evicted',
    (run) => {
      run.server.samples[20]!.evictions = 1;
    },
  ],
])('the server has noticed slow members: %s', (_, change) => {
  const { check } = judged((run) => {
    unnoticed(run);
    change(run);
  });
  expect(check('slowness')?.status).toBe('passed');
});

test('drops and evictions before the run show nothing', () => {
  const { check } = judged((run) => {
    unnoticed(run);
    for (const sample of [run.server.before!, ...run.server.samples]) {
      Object.assign(sample, { dropped: 5, evictions: 5 });
    }
  });
  expect(check('slowness')?.status).toBe('void');
});

/** 100 messages a second to each of 90, of 16 KiB: 1.6 MB a second, so that 10 s are 16 MiB. */
const LARGE = { size: 16_800 };
test.each<[string, Partial<Cohort>, 'passed' | 'void']>([
  ['stalled for as long as it takes', { kind: 'stalled' }, 'passed'],
  ['late by 20 s of 15', { kind: 'late', after: 20_000 }, 'passed'],
  ['late by 9 s', { kind: 'late', after: 9000 }, 'void'],
  ['pausing for 20 s', { kind: 'sawtooth', pause: 20_000 }, 'passed'],
  ['pausing for 9 s', { kind: 'sawtooth', pause: 9000 }, 'void'],
  ['throttled to a hundredth', { kind: 'throttled', rate: 16_800 }, 'passed'],
  ['throttled to a half', { kind: 'throttled', rate: 840_000 }, 'void'],
  ['behind a narrow link', { kind: 'healthy', bandwidth: 16_800 }, 'passed'],
  ['behind half a link', { kind: 'healthy', bandwidth: 840_000 }, 'void'],
])('a server without metrics must notice who is %j behind', (_, cohort, status) => {
  const { check } = judged(
    (run) => {
      unnoticed(run);
      run.server = { before: null, after: null, samples: [], missing: 'none' };
    },
    { ...withCohort(cohort), ...LARGE },
  );
  expect(check('slowness')?.status).toBe(status);
});

test('churning members must have rejoined, or nothing was tested', () => {
  const vanishing = (joins: number) =>
    judged(
      (run) => {
        unnoticed(run);
        run.cohorts[1]!.joins = distributionOf(1, joins);
      },
      withCohort({ kind: 'vanishing' }),
    ).check('slowness')?.status;
  expect(vanishing(10)).toBe('void');
  expect(vanishing(11)).toBe('passed');
});

test('slow cohorts that were not tested are named', () => {
  const plan = withCohort({});
  const late: Cohort = { ...plan.cohorts[1]!, kind: 'late', name: 'late', after: 1 };
  const slowness = (change: (run: Run) => void) =>
    judged(
      (run) => {
        const counters = { ...structuredClone(run.cohorts[1]!.counters), announced: 0 };
        run.cohorts.push({ ...run.cohorts[1]!, name: 'late', kind: 'late', counters });
        change(run);
      },
      { ...plan, cohorts: [...plan.cohorts, late] },
    ).check('slowness');
  // Queues have filled, which may be due to the other cohort.
  expect(slowness(() => {})).toMatchObject({
    status: 'passed',
    text: expect.stringMatching(/^the server had to notice some; not tested: late: /),
  });
  const neither = (run: Run): void => {
    run.cohorts[1]!.counters.announced = 0;
  };
  expect(slowness(neither)).toMatchObject({
    status: 'passed',
    text: 'the server had to notice some of stalled, late; its metrics do not tell which',
  });
  expect(slowness((run) => [neither(run), unnoticed(run)])?.status).toBe('void');
});

test('a run that ended before members were slow tests no slowness', () => {
  const { check } = judged((run) => {
    run.phases = run.phases.slice(0, 1);
    run.interrupted = true;
  });
  expect(check('slowness')?.status).toBe('skipped');
});

test('the typical turn is the median', () => {
  const isolation = (...pairs: [calm: number, slow: number][]) =>
    judged((run) => {
      run.isolation = isolationOf(pairs.map(([calm, slow]) => ({ calm, slow })));
    }).check('isolation')?.status;
  // Two of three added more than 10 ms.
  expect(isolation([1000, 10_000], [2000, 20_000], [2000, 20_000])).toBe('failed');
});

test('queued bytes that remain count as held, and missing metrics leave it unknown', () => {
  const bytes = judged((run) => {
    run.server.after!.queueBytes = 1;
  });
  expect(bytes.check('released')?.status).toBe('failed');
  const gone = judged((run) => {
    run.server.after = null;
  });
  expect(gone.check('released')?.status).toBe('unknown');
  expect(gone.verdict).toMatchObject({ outcome: 'incomplete', exit: 4 });
});

const EVICTING: Plan = { ...FIXTURE_PLAN, evictWithinMs: 5000 };

test('in each turn every stalled member must be evicted, in time', () => {
  const evictions = (seen: number, change: (run: Run) => void = () => {}) =>
    judged((run) => {
      const [calm, fill, slow] = run.phases;
      run.phases = [
        calm!,
        fill!,
        { ...slow!, to: 20 },
        { ...calm!, turn: 2, from: 20, to: 21 },
        { ...slow!, turn: 2, from: 21, to: 30 },
      ];
      run.cohorts[1]!.evictions = { ...distributionOf(1, seen), max: 4_000_000 };
      change(run);
    }, EVICTING).check('evictions')?.status;
  expect(evictions(20)).toBe('passed');
  expect(evictions(10)).toBe('failed');
  const late = (run: Run): void => {
    run.cohorts[1]!.evictions.max = 5_100_000;
  };
  expect(evictions(20, late)).toBe('failed');
  // The generator was blocked, and may have detected the last one late.
  const blocked = (micros: number) =>
    evictions(20, (run) => {
      late(run);
      run.phases[2]!.loopDelayMax = micros;
    });
  expect(blocked(99_000)).toBe('failed');
  expect(blocked(101_000)).toBe('void');
});

test('evictions in the metrics count for this run only, and not if a socket saw them late', () => {
  const told = (change: (run: Run) => void) =>
    judged((run) => {
      for (const sample of [run.server.before!, ...run.server.samples]) sample.evictions = 100;
      change(run);
    }, EVICTING).check('evictions')?.status;
  expect(told(() => {})).toBe('failed');
  const counted = (run: Run): void => {
    for (const sample of run.server.samples) if (sample.at >= 13) sample.evictions = 110;
  };
  expect(told(counted)).toBe('passed');
  const seenLate = (run: Run): void => {
    counted(run);
    run.cohorts[1]!.evictions = { ...distributionOf(1, 1), max: 9_000_000 };
  };
  expect(told(seenLate)).toBe('failed');
});

test('members found to have been disconnected are unknown without metrics, and late with them', () => {
  const unread = (run: Run): void => {
    run.cohorts[1]!.counters.endedUnread = 10;
  };
  expect(judged(unread, EVICTING).check('evictions')?.status).toBe('failed');
  const blind = judged((run) => {
    unread(run);
    run.server = { before: null, after: null, samples: [], missing: 'none' };
  }, EVICTING);
  expect(blind.check('evictions')?.status).toBe('unknown');
});

test('a silence that the publishers’ own lateness explains is not blamed on the server', () => {
  const { check } = judged((run) => {
    Object.assign(run.cohorts[0]!.counters, { silence: [0, 0, 4e6], silentMembers: [0, 0, 90] });
    run.publishing.lateness = { ...distributionOf(1), max: 3e6 };
  });
  expect(check('flow')?.status).toBe('void');
});

test('a generator or a machine that was busy while nothing was judged spoils nothing', () => {
  const { verdict } = judged((run) => {
    Object.assign(run.phases[1]!, { utilization: 0.99, cpuWait: 0.9, generatorCpuWait: 0.9 });
  });
  expect(verdict).toMatchObject({ outcome: 'passed', unfit: null });
});

test('due messages that the generator did not get to void the run', () => {
  const sent = (publishing: Partial<Run['publishing']>) =>
    judged((run) => void Object.assign(run.publishing, publishing)).verdict.unfit;
  expect(sent({ sent: 2401, accepted: 2401 })).toContain(
    'of 2500 messages due it got to only 2400',
  );
  // It got to messages that the connection did not take.
  expect(sent({ sent: 2401, accepted: 2401, blocked: 100 })).toBeNull();
});

test('an interrupted run whose times are void is void', () => {
  const { verdict } = judged((run) => {
    run.interrupted = true;
    run.phases[2]!.utilization = 0.95;
  });
  expect(verdict).toMatchObject({ outcome: 'void', exit: 3 });
});

test('a figure of the server is the worst of its turns, and growth is their sum', () => {
  const run = fixtureRun();
  const [calm, , slow] = run.phases;
  run.phases = [
    { ...calm!, cpuCores: 0.2, rssGrowthBytes: 10 },
    { ...slow!, cpuCores: 0.3, rssGrowthBytes: 1 },
    { ...calm!, turn: 2, cpuCores: 0.5, rssGrowthBytes: 30 },
  ];
  const value = (text: string) => parseThreshold(text, FIXTURE_PLAN).value(run);
  expect(value('server.cpu@calm>1')).toBe(0.5);
  expect(value('server.rssGrowth@calm>1MB')).toBe(40);
  run.server.samples[0]!.rssBytes = 1;
  run.server.samples[24]!.rssBytes = 1;
  expect(value('server.rss>1GB')).toBe(80_024_000);
});

test('a limit that is reached is exceeded only for >= and <=', () => {
  const exceeded = (operator: string) =>
    parseThreshold(`refused ${operator} 5`, FIXTURE_PLAN).exceeded(5);
  expect(['>', '>=', '<', '<='].map(exceeded)).toEqual([false, true, false, true]);
});

test('without a phase a figure is of the slow phase, even if another follows', () => {
  const phases = [...FIXTURE_PLAN.phases, { name: 'recover', ms: 1000, turn: 0 } as const];
  expect(parseThreshold('healthy.p99>1s', { ...FIXTURE_PLAN, phases }).phase).toBe('slow');
});

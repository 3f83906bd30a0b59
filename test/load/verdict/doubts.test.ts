/**
 * What a verdict must not claim: failures that the generator's machine may have caused are void, and
 * anything that was not observed is unknown and does not pass (V24).
 */
import { expect, test } from 'vitest';
import type { Cohort } from '../../../src/load/cohort.js';
import { isolationOf } from '../../../src/load/measure/isolation.js';
import { type Plan, resolvePlan } from '../../../src/load/plan.js';
import { judge } from '../../../src/load/verdict/verdict.js';
import { distributionOf, FIXTURE_PLAN, fixtureRun } from '../../support/load-report.js';

type Run = ReturnType<typeof fixtureRun>;

function judged(change: (run: Run) => void, plan: Plan = FIXTURE_PLAN) {
  const run = fixtureRun();
  change(run);
  const verdict = judge(run, plan);
  const check = (wanted: string) => verdict.checks.find(({ name }) => name === wanted);
  return { verdict, check };
}

const busy = (run: Run): void => {
  run.phases[2]!.utilization = 0.95;
};

test.each<[name: string, what: string, change: (run: Run) => void, stands: boolean]>([
  ['joined', 'a member', (run) => (run.cohorts[0]!.counters.failures = { late: 1 }), false],
  ['joined', 'a publisher', (run) => (run.publishing.failures = { late: 1 }), false],
  ['kept', 'a disconnect', (run) => (run.cohorts[0]!.counters.closes = { ECONNRESET: 1 }), false],
  [
    'confirmed',
    'a late answer',
    (run) => {
      Object.assign(run.publishing, { accepted: null, confirmations: { asked: 1, got: 0 } });
    },
    false,
  ],
  ['accounting', 'an owed message', (run) => (run.cohorts[1]!.counters.owed = 1), false],
  ['accounting', 'a hole', (run) => (run.cohorts[1]!.counters.faults.unannounced = 1), true],
  ['accounting', 'a gap', (run) => (run.cohorts[1]!.counters.faults.wrongGaps = 1), true],
  [
    'offered',
    'unsent messages',
    (run) => Object.assign(run.publishing, { sent: 2401, accepted: 2401, blocked: 100 }),
    false,
  ],
  [
    'offered',
    'refused messages',
    (run) => Object.assign(run.publishing, { accepted: 2401, refused: { no: 100 } }),
    false,
  ],
  ['order', 'a repetition', (run) => (run.cohorts[1]!.counters.faults.duplicated = 1), true],
  ['memory', 'a queue', (run) => (run.server.samples[3]!.queueBytes = 269_000_000), true],
  ['released', 'a member', (run) => (run.server.after!.members = 2), true],
])(
  'with a busy generator wrong messages still fail, and late ones are void: %s, %s',
  (name, _, change, stands) => {
    expect(judged(change).check(name)?.status).toBe('failed');
    const both = judged((run) => {
      busy(run);
      change(run);
    });
    expect(both.check(name)?.status).toBe(stands ? 'failed' : 'void');
    expect(both.verdict.outcome).toBe(stands ? 'failed' : 'void');
  },
);

test.each(['EMFILE', 'EADDRNOTAVAIL', 'ENOBUFS'])(
  'what this machine has too little of is told as that, and voids the run: %s',
  (code) => {
    const { verdict, check } = judged((run) => {
      run.cohorts[0]!.counters.failures = { [code]: 3 };
    });
    expect(verdict.outcome).toBe('void');
    expect(verdict.unfit).toContain(`let it open no more connections (${code} (3))`);
    expect(check('joined')?.status).toBe('void');
  },
);

test('a publisher that was given up was not disconnected by the server', () => {
  const { check } = judged((run) => {
    run.publishing.failures = { 'not ready within 10 s': 1 };
  });
  expect(check('kept')?.status).toBe('passed');
  expect(check('joined')?.text).toBe('1 publisher could not join: not ready within 10 s (1)');
});

test('members that leave and return must be kept while connected; members that do not read need not', () => {
  const kept = (cohort: Partial<Cohort>) =>
    judged(
      (run) => {
        run.cohorts[1]!.counters.closes = { '4101 slow': 1 };
        run.cohorts[1]!.joins = distributionOf(1, 20);
      },
      {
        ...FIXTURE_PLAN,
        cohorts: FIXTURE_PLAN.cohorts.map((each, i) => (i === 1 ? { ...each, ...cohort } : each)),
      },
    ).check('kept')?.status;
  expect(kept({ kind: 'churning' })).toBe('failed');
  expect(kept({ kind: 'vanishing' })).toBe('failed');
  expect(kept({ kind: 'vanishing', bandwidth: 1000 })).toBe('passed');
  expect(kept({ kind: 'stalled' })).toBe('passed');
});

test('refusals of members count as refused publishes only if members publish', () => {
  const offered = (publishFrom: Plan['publishFrom']) =>
    judged(
      (run) => {
        run.cohorts[0]!.counters.refused = { rate_limited: 100 };
        run.publishing.accepted = publishFrom === 'members' ? 2401 : 2501;
      },
      { ...FIXTURE_PLAN, publishFrom },
    );
  expect(offered('own').check('offered')?.status).toBe('passed');
  expect(offered('own').check('accounting')?.status).toBe('passed');
  expect(offered('members').check('offered')?.status).toBe('failed');
  expect(offered('members').check('accounting')?.status).toBe('passed');
});

test('refusals of members that publish nothing are no refused publishes', () => {
  const { check } = judged(
    (run) => {
      run.cohorts[1]!.counters.refused = { rate_limited: 1 };
      run.publishing.accepted = 2500;
    },
    { ...FIXTURE_PLAN, publishFrom: 'members', failIf: ['refused>0'] },
  );
  expect(check('accounting')).toMatchObject({
    status: 'failed',
    text: '1 publish neither numbered nor refused',
  });
  expect(check('fail-if refused>0')?.status).toBe('passed');
});

test('a threshold of refused publishes includes those of members', () => {
  const limit = (publishFrom: Plan['publishFrom']) =>
    judged(
      (run) => {
        run.cohorts[0]!.counters.refused = { rate_limited: 10 };
      },
      { ...FIXTURE_PLAN, publishFrom, failIf: ['refused>5'] },
    ).check('fail-if refused>5')?.status;
  expect(limit('members')).toBe('failed');
  expect(limit('own')).toBe('passed');
});

test('later metrics do not reveal what the server held before the run', () => {
  const before = (change: (run: Run) => void) =>
    judged((run) => {
      run.server.before = null;
      run.server.missing = 'http://x/metrics: late';
      change(run);
    });
  const once = before(() => {});
  expect(once.check('released')?.status).toBe('unknown');
  expect(once.verdict.outcome).toBe('incomplete');
  expect(once.verdict.notes).toContain('some server metrics are missing: http://x/metrics: late');
  const never = before((run) => {
    run.server.after = null;
    run.server.samples = [];
  });
  expect(never.check('released')?.status).toBe('skipped');
  expect(never.verdict.notes).toContain('no server metrics: http://x/metrics: late');
});

test('the clock offsets of agents must be exact enough for times between them', () => {
  const plan = {
    ...FIXTURE_PLAN,
    failIf: ['healthy.p99>250ms', 'stalled.joins.p99>1s', 'refused>5'],
  };
  // The healthy p99 is 1.5 ms: a quarter of it is below 1 ms, which is always enough.
  const within = (clockError: number, scale = 1) =>
    judged((run) => {
      run.clockError = clockError;
      run.cohorts[1]!.joins = distributionOf(1);
      for (const phase of ['calm', 'slow'] as const) {
        run.cohorts[0]!.phases[phase]!.latency = distributionOf(scale);
      }
    }, plan);
  expect(within(1000).verdict.outcome).toBe('passed');
  expect(within(1100)).toMatchObject({ verdict: { outcome: 'void', exit: 3 } });
  expect(within(7000, 20).verdict.outcome).toBe('passed');
  expect(within(8000, 20).verdict.outcome).toBe('void');
  expect(within(10_100, 100).verdict.outcome).toBe('void');
  const { check, verdict } = within(20_000);
  expect(verdict.unfit).toContain('a time between two of them may be wrong by 20.0 ms');
  expect(check('isolation')?.status).toBe('void');
  expect(check('fail-if healthy.p99>250ms')?.status).toBe('void');
  for (const name of ['fail-if stalled.joins.p99>1s', 'fail-if refused>5', 'order', 'flow']) {
    expect(check(name)?.status, name).toBe('passed');
  }
  // A clock does not end connections.
  const ended = judged((run) => {
    run.clockError = 20_000;
    run.cohorts[0]!.counters.closes = { ECONNRESET: 1 };
  });
  expect(ended.check('kept')?.status).toBe('failed');
});

test('a ratio above the limit passes as too small to matter only if that holds in every turn', () => {
  const isolation = (...pairs: [calm: number, slow: number][]) =>
    judged((run) => {
      run.isolation = isolationOf(pairs.map(([calm, slow]) => ({ calm, slow })));
    }).check('isolation')?.status;
  expect(isolation([1000, 9000], [1000, 9100], [1000, 9200])).toBe('passed');
  expect(isolation([1000, 9000], [1000, 9100], [1000, 900_000])).toBe('void');
  expect(isolation([1000, 9000], [1000, 900_000], [1000, 900_000])).toBe('failed');
});

test('without slow members for most of the slow phase nothing was compared', () => {
  const there = (seconds: number, plan: Plan = FIXTURE_PLAN, joins = 10) =>
    judged((run) => {
      run.cohorts[1]!.joins = distributionOf(1, joins);
      const slow = run.timeline.filter(({ phase }) => phase === 'slow');
      for (const [i, row] of slow.entries()) row.cohorts[1]!.present = i < seconds ? 1 : 0;
    }, plan);
  expect(there(6).check('isolation')?.status).toBe('passed');
  expect(there(5).check('isolation')).toMatchObject({
    status: 'void',
    text: expect.stringMatching(/^slow members were connected in 5 of 10 seconds of slow/),
  });
  // With --evict-within the check is skipped as there was nothing to compare, and the run may pass.
  const evicting = { ...FIXTURE_PLAN, evictWithinMs: 5000 };
  expect(there(5, evicting).check('isolation')?.status).toBe('skipped');
  const [healthy, slow] = FIXTURE_PLAN.cohorts;
  const churning = {
    ...FIXTURE_PLAN,
    cohorts: [healthy!, { ...slow!, kind: 'churning' as const }],
  };
  expect(there(0, churning, 11).check('isolation')?.status).toBe('passed');
  expect(there(0, churning, 10).check('isolation')?.status).toBe('void');
});

test('evictions of other members are not those of stalled ones', () => {
  const late: Cohort = { ...FIXTURE_PLAN.cohorts[1]!, kind: 'late', name: 'late', members: 5 };
  const plan = { ...FIXTURE_PLAN, evictWithinMs: 5000 };
  const told = (others: boolean, count: number, change: (run: Run) => void = () => {}) =>
    judged(
      (run) => {
        const counters = structuredClone(run.cohorts[1]!.counters);
        if (others) run.cohorts.push({ ...run.cohorts[1]!, name: 'late', kind: 'late', counters });
        for (const sample of run.server.samples) {
          if (sample.at >= 13) sample.evictions = count;
        }
        change(run);
      },
      others ? { ...plan, cohorts: [...plan.cohorts, late] } : plan,
    ).check('evictions')?.status;
  expect(told(false, 10)).toBe('passed');
  const ended = (run: Run): void => {
    run.cohorts[0]!.counters.closes = { '4101 slow': 1 };
  };
  expect(told(false, 10, ended)).toBe('failed');
  expect(told(false, 11, ended)).toBe('passed');
  // Sockets may not show the evictions of the others either.
  expect(told(true, 10)).toBe('unknown');
  expect(told(true, 9)).toBe('failed');
});

test('the release that an interrupted run did not wait for is unknown', () => {
  const { check } = judged((run) => {
    run.interrupted = true;
    run.server.after!.members = 2;
  });
  expect(check('released')).toMatchObject({
    status: 'unknown',
    text: expect.stringContaining('interrupted and did not wait'),
  });
});

test('rooms that a closed loop leaves out are named', () => {
  const plan = resolvePlan(
    { members: '4', rooms: '4', window: '1', cohorts: ['stalled=2'] },
    FIXTURE_PLAN.target,
    1,
    'abcd',
  );
  const { notes } = judge(fixtureRun(), plan);
  expect(notes).toEqual([
    expect.stringMatching(
      /^in 2 of 4 rooms only a last message was published, .*: load:abcd-000\d, load:abcd-000\d$/,
    ),
  ]);
});

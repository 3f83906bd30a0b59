import { decodeFromCompressedBase64 } from 'hdr-histogram-js';
import { expect, test } from 'vitest';
import { asBaseline, compareFigures } from '../../../src/load/report/compare.js';
import { keyFigures } from '../../../src/load/report/figures.js';
import { buildReport } from '../../../src/load/report/report.js';
import { summary } from '../../../src/load/report/summary.js';
import { judge } from '../../../src/load/verdict/verdict.js';
import { FIXTURE_PLAN, fixtureReport, fixtureRun } from '../../support/load-report.js';

test('the JSON names its format, and its histograms are HDR', () => {
  const report = JSON.parse(JSON.stringify(fixtureReport()));
  expect(report).toMatchObject({ format: 'roomcast-load', version: 2, roomcast: '0.0.0' });
  const { latency } = report.runs[0].cohorts[0].phases.slow;
  const decoded = decodeFromCompressedBase64(latency.hdr);
  expect(decoded.totalCount).toBe(latency.count);
  expect(decoded.getValueAtPercentile(99)).toBe(latency.p99);
});

test('it contains no secret of the command line', () => {
  const text = JSON.stringify(fixtureReport());
  expect(text).not.toContain('secret');
  expect(text).toContain('"authorization":"(not shown)"');
});

test('of several runs the median one is shown, and failures of the others are listed', () => {
  const runs = [fixtureRun(3), fixtureRun(1), fixtureRun(2)];
  runs[0]!.cohorts[0]!.counters.faults.duplicated = 1;
  const report = fixtureReport(...runs);
  expect(report.shown).toBe(2);
  expect(report.figures['isolation']).toEqual({ median: 2, min: 1, max: 3 });
  expect(report.verdict.exit).toBe(1);
  expect(report.verdict.checks.at(-1)?.name).toBe('order (run 1)');
});

test('the median of an even number of runs lies between the middle two', () => {
  const report = fixtureReport(fixtureRun(1), fixtureRun(10));
  const { median, min, max } = report.figures['healthy.p99@slow']!;
  expect(median).toBe((min + max) / 2);
  expect(report.shown).toBe(1);
});

test('a figure is worse if it exceeds the tolerance and the spread of the baseline', () => {
  const figures = (...slow: number[]) =>
    keyFigures(
      slow.map((s) => fixtureRun(s)),
      FIXTURE_PLAN,
    );
  const failed = (now: number, ...before: number[]) =>
    compareFigures(figures(now), figures(...before), 0.15, FIXTURE_PLAN)
      .filter(({ status }) => status === 'failed')
      .map(({ name }) => name);
  expect(failed(1, 1)).toEqual([]);
  expect(failed(1.1, 1)).toEqual([]);
  expect(failed(0.5, 1)).toEqual([]);
  expect(failed(2, 1)).toContain('compare healthy.p99@slow');
  expect(failed(2, 1)).not.toContain('compare healthy.p99@calm');
  expect(failed(2, 0.9, 1, 2.1)).toEqual([]);
});

test('fewer deliveries are worse, more are not', () => {
  const figures = keyFigures([fixtureRun()], FIXTURE_PLAN);
  const name = 'healthy.rate@slow';
  const at = (rate: number) => ({ ...figures, [name]: { median: rate, min: rate, max: rate } });
  const check = (now: number) =>
    compareFigures(at(now), at(9000), 0.15, FIXTURE_PLAN).find((c) => c.name === `compare ${name}`);
  expect(check(4000)).toMatchObject({ status: 'failed', text: expect.stringContaining('−56 %') });
  expect(check(20_000)?.status).toBe('passed');
});

test('a figure that only one report has cannot be compared, and 0 is a figure', () => {
  const spread = (median: number) => ({ median, min: median, max: median });
  const compared = (now: object, before: object) => {
    const named = (of: object) =>
      Object.fromEntries(Object.entries(of).map(([name, value]) => [name, spread(value)]));
    const checks = compareFigures(named(now), named(before), 0.15, FIXTURE_PLAN);
    return checks.map(({ name, status, text }) => `${name}: ${status}: ${text}`);
  };
  expect(compared({ isolation: 2 }, { 'server.rss': 1000 })).toEqual([
    'compare isolation: unknown: 2, which the baseline does not have',
    'compare server.rss: unknown: not known, was 1.00 kB',
  ]);
  expect(compared({ isolation: 2 }, { isolation: 0 })).toEqual([
    'compare isolation: failed: 2, was 0 (tolerance 15 %)',
  ]);
  expect(compared({ isolation: 0 }, { isolation: 0 })).toEqual([
    'compare isolation: passed: 0, was 0 (tolerance 15 %)',
  ]);
  const rate = 'healthy.rate@calm';
  expect(compared({ [rate]: 5 }, { [rate]: 0 })[0]).toContain('passed');
});

test('a comparison with something unknown does not pass', () => {
  const check = { name: 'compare isolation', status: 'unknown', text: 'not known' } as const;
  const report = buildReport(
    'test',
    FIXTURE_PLAN,
    [fixtureRun()],
    [judge(fixtureRun(), FIXTURE_PLAN)],
    () => [check],
  );
  expect(report.verdict).toMatchObject({ outcome: 'incomplete', exit: 4 });
});

test.each([
  ['void', { verdict: { outcome: 'void' } }],
  ['failed', { verdict: { outcome: 'failed' } }],
  ['incomplete', { verdict: { outcome: 'incomplete' } }],
  ['interrupted', { runs: [{ ...fixtureRun(), interrupted: true }] }],
])('a baseline that was %s is refused', (was, differing) => {
  const report = fixtureReport();
  const { verdict = {}, ...rest } = differing as { verdict?: object };
  const text = JSON.stringify({ ...report, ...rest, verdict: { ...report.verdict, ...verdict } });
  expect(() => asBaseline(text, 'b.json', FIXTURE_PLAN)).toThrow(
    `b.json cannot be the baseline: it was ${was}: expected a report that passed`,
  );
});

test('a server on this machine may have another port, one on another machine may not', () => {
  const at = (url: string) => ({ ...FIXTURE_PLAN, target: { ...FIXTURE_PLAN.target, url } });
  const baseline = (there: string, here: string) => {
    const report = fixtureReport();
    return asBaseline(JSON.stringify({ ...report, plan: at(there) }), 'b.json', at(here));
  };
  expect(() => baseline('ws://127.0.0.1:5', 'ws://localhost:6')).not.toThrow();
  expect(() => baseline('ws://127.0.0.1:5', 'wss://127.0.0.1:5')).toThrow(
    'server ws://this machine there, wss://this machine here',
  );
  expect(() => baseline('ws://a:5', 'ws://a:6')).toThrow('server ws://a:5 there, ws://a:6 here');
});

test('a baseline of something else is refused', () => {
  const report = fixtureReport();
  const text = JSON.stringify(report);
  expect(asBaseline(text, 'b.json', FIXTURE_PLAN).figures).toEqual(report.figures);
  expect(() => asBaseline('{', 'b.json', FIXTURE_PLAN)).toThrow('b.json is not JSON');
  expect(() => asBaseline('{}', 'b.json', FIXTURE_PLAN)).toThrow('b.json is not a report');
  expect(() => asBaseline(text, 'b.json', { ...FIXTURE_PLAN, members: 7, size: 99 })).toThrow(
    'b.json cannot be the baseline for this test: members 100 there, 7 here; size 128 B there, 99 B here: expected a report of the same',
  );
});

test('the summary has the figures, the checks and the outcome', () => {
  const text = summary(fixtureReport());
  expect(text).toContain('stalled-10: 10 % of the members <stop> reading');
  expect(text).toMatch(/healthy\s+90\s+calm\s+999 µs\s+1\.49 ms/);
  expect(text).toContain('stalled: 12,345 announced as dropped');
  expect(text).toContain('isolation 1.00');
  expect(text).toMatch(/ok\s+accounting\s+received/);
  expect(text.trimEnd().endsWith('PASSED (not judged: evictions)')).toBe(true);
  expect(text).not.toContain('NaN');

  const run = fixtureRun();
  run.cohorts[0]!.counters.faults.duplicated = 1;
  const failed = summary(fixtureReport(run));
  expect(failed).toMatch(/FAIL\s+order/);
  expect(failed.trimEnd().endsWith('FAILED: order')).toBe(true);
});

test.each([
  [
    'target',
    { target: { ...FIXTURE_PLAN.target, name: 'nats' } },
    'target nats there, roomcast here',
  ],
  [
    'transport',
    { target: { ...FIXTURE_PLAN.target, transport: 'xhr-polling' as const } },
    'transport xhr-polling there, websocket here',
  ],
  [
    'protocol file',
    { target: { ...FIXTURE_PLAN.target, protocol: { file: '/a.mjs', sha256: 'abc' } } },
    'protocol file abc there, none here',
  ],
  [
    'template',
    { target: { ...FIXTURE_PLAN.target, templates: { publish: 'x{data}' } } },
    'templates {"publish":"x{data}"} there, {} here',
  ],
  ['number of workers', { workers: 2 }, 'workers 2 there, 1 here'],
  ['publishers', { publishersPerRoom: 8 }, 'publishers a room 8 there, 1 here'],
  ['who publishes', { publishFrom: 'members' as const }, 'publishing from members there, own here'],
])('a baseline of another %s is refused with a reason', (_, differing, words) => {
  const report = fixtureReport();
  const text = JSON.stringify({ ...report, plan: { ...report.plan, ...differing } });
  expect(() => asBaseline(text, 'b.json', FIXTURE_PLAN)).toThrow(words);
});

test('a baseline of another machine is refused with a reason', () => {
  const report = fixtureReport();
  const text = JSON.stringify({
    ...report,
    machine: { ...report.machine, cpu: 'Abacus', cores: 3, node: 'v9' },
  });
  expect(() => asBaseline(text, 'b.json', FIXTURE_PLAN)).toThrow(
    'machine Abacus with 3 cores, Node v9 there,',
  );
});

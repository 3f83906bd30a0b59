/** A made-up load report with every part filled in, with the same figures every time. */
import { expect } from 'vitest';
import { Latency } from '../../src/load/measure/latency.js';
import {
  CURVE,
  type Distribution,
  type RunResult,
  type Second,
} from '../../src/load/measure/result.js';
import { emptyCounters } from '../../src/load/measure/tally.js';
import { type Plan, resolvePlan } from '../../src/load/plan.js';
import { buildReport, type LoadReport } from '../../src/load/report/report.js';
import { judge } from '../../src/load/verdict/verdict.js';

export const FIXTURE_PLAN: Plan = resolvePlan(
  {
    name: 'stalled-10',
    title: '10 % of the members <stop> reading',
    members: '100',
    warmup: '0',
    calm: '10s',
    fill: '5s',
    slow: '10s',
    turns: '1',
    cohorts: ['stalled=10%'],
    failIf: ['healthy.p99>250ms'],
  },
  {
    name: 'roomcast',
    url: 'ws://127.0.0.1:9/ws',
    transport: 'websocket',
    headers: { authorization: 'Bearer secret' },
    templates: {},
  },
  1,
  'abcd',
);

/** @param scale of the latency: 1 is around 1 ms */
export function distributionOf(scale: number, count = 10_000): Distribution {
  const latency = new Latency();
  for (let i = 0; i < count; i++) latency.record(scale * (500 + ((i * 7919) % 1000)));
  return { ...latency.quantiles(), curve: latency.at(CURVE), hdr: latency.encode() };
}

/** @param slow scale of healthy latency while others are slow */
export function fixtureRun(slow = 1): RunResult {
  const none = distributionOf(1, 0);
  const phase = (scale: number) => ({
    latency: distributionOf(scale),
    service: distributionOf(scale * 0.8),
    perSecond: 9000,
  });
  const seconds = Array.from({ length: 25 }, (_, i): Second => {
    const name = i < 10 ? 'calm' : i < 15 ? 'fill' : 'slow';
    const p99 = 1400 * (name === 'calm' ? 1 : slow);
    const row = { announced: 0, p50: 900, p99 };
    return {
      at: i + 1,
      phase: name,
      sent: 100,
      utilization: 0.3,
      loopDelayP99: 800,
      loopDelayMax: 2000,
      cpuWait: 0.01,
      cohorts: [
        { ...row, delivered: 9000, present: 90 },
        { ...row, delivered: i < 10 ? 1000 : 0, present: 10, p99: i < 10 ? p99 : null },
      ],
    };
  });
  const generator = {
    utilization: 0.3,
    loopDelayP99: 800,
    loopDelayMax: 2000,
    generatorCpuWait: 0.01,
  };
  const server = {
    cpuCores: 0.4,
    cpuWait: 0.01,
    cpuMicrosPerDelivery: 4.1,
    lockHoldP99: 12,
    loopDelayServerP99: 900,
    rssGrowthBytes: 2_000_000,
  };
  const sample = (at: number) => ({
    at,
    cpuSeconds: at * 0.4,
    cpuCores: 0.4,
    cpuWaitSeconds: at * 0.01,
    rssBytes: 80_000_000 + at * 1000,
    loopDelayP99: 900,
    lockHoldP99: 12,
    deliveryP99: 1200,
    queueBytes: at < 15 ? 0 : 10_000_000,
    queueLimitBytes: 268_000_000,
    members: 100,
    dropped: 0,
    evictions: 0,
  });
  return {
    startedAt: '2026-01-02T03:04:05.000Z',
    interrupted: false,
    lost: null,
    clockError: null,
    phases: [
      { name: 'calm', turn: 1, from: 0, to: 10, ...generator, ...server },
      { name: 'fill', turn: 1, from: 10, to: 15, ...generator, ...server },
      { name: 'slow', turn: 1, from: 15, to: 25, ...generator, ...server },
    ],
    cohorts: [
      {
        name: 'healthy',
        kind: 'healthy',
        members: 90,
        phases: { calm: phase(1), fill: phase(slow), slow: phase(slow) },
        joins: none,
        recoveries: none,
        evictions: none,
        backfills: none,
        counters: { ...emptyCounters(3), connects: 90, present: 90, received: 225_090 },
      },
      {
        name: 'stalled',
        kind: 'stalled',
        members: 10,
        phases: { calm: phase(1), fill: phase(400), slow: phase(400) },
        joins: none,
        recoveries: none,
        evictions: none,
        backfills: none,
        counters: {
          ...emptyCounters(3),
          connects: 10,
          present: 10,
          received: 12_665,
          announced: 12_345,
        },
      },
    ],
    publishing: {
      sent: 2501,
      last: 1,
      blocked: 0,
      stuck: 0,
      closes: {},
      failures: {},
      refused: {},
      offered: 2500,
      accepted: 2501,
      confirmations: { asked: 1, got: 1 },
      lateness: distributionOf(1),
    },
    timeline: seconds,
    server: {
      before: { ...sample(0), members: 0 },
      after: { ...sample(0), members: 0, queueBytes: 0 },
      samples: seconds.map(({ at }) => sample(at)),
      missing: null,
    },
    isolation: { ratio: slow, interval: null, turns: [{ calm: 1400, slow: 1400 * slow }] },
  };
}

export function fixtureReport(...runs: RunResult[]): LoadReport {
  const all = runs.length > 0 ? runs : [fixtureRun()];
  const verdicts = all.map((run) => judge(run, FIXTURE_PLAN));
  return buildReport('0.0.0', FIXTURE_PLAN, all, verdicts, () => []);
}

/** Expects checks to have passed. A generator that was too busy leaves void what it may have caused. */
export function expectPassed({ verdict }: LoadReport, ...names: string[]): void {
  const allowed = verdict.unfit === null ? ['passed'] : ['passed', 'void'];
  for (const name of names) {
    const check = verdict.checks.find((each) => each.name === name);
    expect(allowed, `${name} in ${JSON.stringify(verdict)}`).toContain(check?.status);
  }
}

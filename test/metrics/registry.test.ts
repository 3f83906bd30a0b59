import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { COLLECTORS } from '../../src/metrics/catalogue/collectors.js';
import { CATALOGUE, OWNERS } from '../../src/metrics/catalogue/index.js';
import { LAG_BOUNDS, TOP } from '../../src/metrics/catalogue/members.js';
import type { Metric } from '../../src/metrics/catalogue/metric.js';
import { createMetrics, type Metrics, type MetricsOptions } from '../../src/metrics/registry.js';
import { DROP_REASONS } from '../../src/room/observer.js';
import { FakeMember, parse, sources, sum, unaccounted } from './support.js';

let opened: Metrics[] = [];
afterEach(() => {
  for (const metrics of opened) metrics.close();
  opened = [];
});

function create(overrides: Partial<MetricsOptions> = {}) {
  const given = sources();
  const metrics = createMetrics({ ...given, ...overrides });
  opened.push(metrics);
  return { ...given, metrics };
}

/** A server whose every second member is behind. */
function withMembers(count: number) {
  const server = create();
  server.gauges.connect(0, count);
  for (let i = 0; i < count; i += 2) {
    const member = new FakeMember();
    Object.assign(member, { lag: i, queuedMessages: 2, queuedBytes: i * 10, health: 'lagging' });
    server.gauges.behind.add(member);
    server.recorder.opened(0);
    server.recorder.delivered(0, i % 4 === 0, i / 1000, 1);
  }
  return server;
}

describe('a scrape', () => {
  it('has exactly the metrics of the catalogue', async () => {
    const text = await create().metrics.scrape();
    const found = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [
      name,
      type,
    ]);
    const known = Object.values(CATALOGUE).map(({ name, type }) => [name, type]);
    expect(found).toEqual(known);
  });

  it('has every combination of labels from the start', async () => {
    const series = parse(await create().metrics.scrape());
    for (const metric of Object.values<Metric>(CATALOGUE)) {
      const combinations = Object.values(metric.labels).reduce((n, v) => n * (v?.length ?? 1), 1);
      const names = metric.type === 'histogram' ? [`${metric.name}_count`] : [metric.name];
      for (const name of names) {
        const found = [...series.keys()].filter((k) => k === name || k.startsWith(`${name}{`));
        expect([name, found.length]).toEqual([name, combinations]);
      }
    }
    const build = `roomcast_build_info{version="1.2.3",node="${process.version}"}`;
    expect(series.get(build)).toBe(1);
    expect(sum(series, 'roomcast_connections_closed_total')).toBe(0);
  });

  it('has as many series for 10 members as for 10,000, under 2,000 (V9)', async () => {
    const few = parse(await withMembers(10).metrics.scrape());
    const many = parse(await withMembers(10_000).metrics.scrape());
    expect([...many.keys()]).toEqual([...few.keys()]);
    expect(few.size).toBeLessThan(2000);
  });

  it('counts members by lag', async () => {
    const { gauges, metrics } = create();
    gauges.connect(0, 5);
    gauges.connect(3, 2);
    gauges.rooms = new Set(['a', 'b', 'c', 'd']);
    const lags = [0, 25, 26, 60_000];
    for (const lag of lags) gauges.behind.add(Object.assign(new FakeMember(), { lag }));
    for (const member of gauges.behind) if (member.lag > 25) member.health = 'shedding';
    const series = parse(await metrics.scrape());
    const atMost = (bound: string) => series.get(`roomcast_members_lag_at_most{bound="${bound}"}`);
    expect(atMost('0.005')).toBe(4);
    expect(atMost('0.025')).toBe(5);
    expect(atMost('0.05')).toBe(6);
    expect(atMost('30')).toBe(6);
    expect(atMost('+Inf')).toBe(7);
    expect(series.get('roomcast_slow_members')).toBe(2);
    expect(series.get('roomcast_rooms')).toBe(4);
    expect(series.get('roomcast_members{transport="eventsource"}')).toBe(2);
  });

  it('agrees with a sort, whichever members are behind', async () => {
    const member = fc.record({
      lag: fc.integer({ min: 0, max: 40_000 }),
      queuedMessages: fc.nat(100),
      queuedBytes: fc.nat(10_000),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(member, { maxLength: 40 }), fc.nat(5), async (all, others) => {
        const { gauges, metrics } = create();
        gauges.connect(1, all.length + others);
        for (const each of all) gauges.behind.add(Object.assign(new FakeMember(), each));
        const series = parse(await metrics.scrape());
        for (const [name, values] of [
          ['roomcast_top_member_lag_seconds', all.map(({ lag }) => lag / 1000)],
          ['roomcast_top_member_queue_bytes', all.map(({ queuedBytes }) => queuedBytes)],
        ] as const) {
          const sorted = [...values].sort((a, b) => b - a);
          const ranks = Array.from({ length: TOP }, (_, i) =>
            series.get(`${name}{rank="${i + 1}"}`),
          );
          expect(ranks).toEqual(Array.from({ length: TOP }, (_, i) => sorted[i] ?? 0));
        }
        for (const bound of LAG_BOUNDS) {
          const label = Number.isFinite(bound) ? bound : '+Inf';
          expect(series.get(`roomcast_members_lag_at_most{bound="${label}"}`)).toBe(
            others + all.filter(({ lag }) => lag / 1000 <= bound).length,
          );
        }
        const queued = all.reduce((sum, { queuedMessages }) => sum + queuedMessages, 0);
        expect(series.get('roomcast_queue_messages')).toBe(queued);
      }),
      { numRuns: 25 },
    );
  });

  it('accounts for every message, at any time (V10)', async () => {
    const step = fc.record({
      member: fc.nat(3),
      what: fc.constantFrom('offer', 'deliver', 'drop', 'abandon', 'scrape', 'turn'),
      count: fc.integer({ min: 1, max: 5 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60 }), async (steps) => {
        const { recorder, gauges, metrics } = create();
        const members = Array.from({ length: 4 }, () => new FakeMember());
        for (const member of members) gauges.behind.add(member);
        const scrapes: Promise<string>[] = [];
        for (const { member: index, what, count } of steps) {
          const member = members[index]!;
          const taken = Math.min(count, member.queuedMessages);
          // Not awaited: the next steps run while the text is being made.
          if (what === 'scrape') scrapes.push(metrics.scrape());
          else if (what === 'turn') await null;
          else if (what === 'offer') {
            recorder.fannedOut(count);
            member.queuedMessages += count;
          } else {
            member.queuedMessages -= taken;
            if (what === 'deliver') recorder.delivered(0, false, 0.1, taken);
            else if (what === 'drop') recorder.dropped(DROP_REASONS[index]!, taken);
            else recorder.abandoned(taken);
          }
        }
        scrapes.push(metrics.scrape());
        const texts = await Promise.all(scrapes);
        for (const text of texts) expect(unaccounted(parse(text))).toBe(0);
        const last = parse(texts.at(-1)!);
        expect(sum(last, 'roomcast_queue_messages')).toBe(
          members.reduce((sum, { queuedMessages }) => sum + queuedMessages, 0),
        );
      }),
      { numRuns: 30 },
    );
  });

  it('would show a lost message', async () => {
    const { recorder, metrics } = create();
    recorder.fannedOut(3);
    recorder.delivered(2, true, 0.1, 2);
    expect(unaccounted(parse(await metrics.scrape()))).toBe(1);
  });
});

describe('a part that cannot be read', () => {
  const broken = () => {
    throw new Error('broken');
  };
  /** A throwing getter stands for any failure in a part. */
  const cases: [collector: string, metric: string, overrides: () => Partial<MetricsOptions>][] = [
    ['locks', 'roomcast_lock_waiters', () => ({ detector: { metrics: broken } })],
    ['identity', 'roomcast_users', () => ({ people: throwing('size') })],
    ['presence', 'roomcast_presence_rooms', () => ({ hub: throwing('presence') })],
    ['history', 'roomcast_history_bytes', () => ({ hub: throwing('replays') })],
    ['broker', 'roomcast_broker_state', () => ({ hub: throwing('brokerState') })],
    ['members', 'roomcast_rooms_max', () => ({ config: throwing('maxRooms') })],
    ['redis', 'roomcast_redis_links_total', () => ({ brokers: throwing('redis') })],
  ];

  /** Like `sources`, with a property that throws. */
  function throwing<Part extends object>(name: string): Part {
    const found = Object.values(sources()).find((part) => Object.hasOwn(Object(part), name));
    return Object.defineProperty({ ...(found as Part) }, name, { get: broken });
  }

  it.each(cases)(
    '%s: only its own metrics are missing, and the error is counted and logged',
    async (name, metric, make) => {
      const lines: object[] = [];
      const log = { error: (line: object) => void lines.push(line) };
      const { recorder, metrics } = create({ ...make(), log });
      recorder.published();
      const series = parse(await metrics.scrape());
      const untouched = parse(await create().metrics.scrape());
      expect([...series.keys()]).toEqual([...untouched.keys()]);
      const mine = [...series].filter(([key]) => key === metric || key.startsWith(`${metric}{`));
      expect(mine.length).toBeGreaterThan(0);
      for (const [, value] of mine) expect(value).toBeNaN();
      expect(series.get('roomcast_published_total')).toBe(1);
      expect(series.get(`roomcast_collector_errors_total{collector="${name}"}`)).toBe(1);
      expect(sum(series, 'roomcast_collector_errors_total')).toBe(1);
      expect(lines).toMatchObject([{ collector: name, err: { message: 'broken' } }]);
    },
  );

  it('has a label for each part', () => {
    expect([...COLLECTORS, 'collectors']).toEqual(Object.keys(OWNERS));
  });
});

it('shows the limits, infinite without one', async () => {
  const series = parse(await create().metrics.scrape());
  expect(series.get('roomcast_connections_max')).toBe(10_000);
  expect(series.get('roomcast_rooms_max')).toBe(Number.POSITIVE_INFINITY);
});

const promtool = spawnSync('promtool', ['--version']);
const isMissing = promtool.error !== undefined;
if (isMissing && process.env['CI'] !== 'true') {
  console.warn('skipped: promtool check metrics. Install it with: apt-get install prometheus');
}

describe.skipIf(isMissing && process.env['CI'] !== 'true')('promtool', () => {
  it('reports no problem with a scrape', async () => {
    const input = await withMembers(20).metrics.scrape();
    const { error, status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
      input,
    });
    expect(error).toBeUndefined();
    expect(`${stdout}${stderr}`).toBe('');
    expect(status).toBe(0);
  });
});

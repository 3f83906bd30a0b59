/** Metrics of roomcast in the registry of an app: together with its own, for two servers, on its terms. */
import fc from 'fast-check';
import { Counter, collectDefaultMetrics, type OpenMetricsContentType, Registry } from 'prom-client';
import { afterEach, expect, it, onTestFinished } from 'vitest';
import { createRoomcast, type Roomcast } from '../../src/index.js';
import type { AppRegistry } from '../../src/metrics/app-registry.js';
import { CATALOGUE } from '../../src/metrics/catalogue/index.js';
import { LAG_BOUNDS, TOP } from '../../src/metrics/catalogue/members.js';
import { createMetrics } from '../../src/metrics/registry.js';
import { FakeMember, parse, sources, sum, unaccounted } from './support.js';

let opened: { close(): unknown }[] = [];
afterEach(() => {
  for (const each of opened) each.close();
  opened = [];
});

function create(registry: AppRegistry) {
  const given = sources();
  const metrics = createMetrics({ ...given, registry });
  opened.push(metrics);
  return { ...given, metrics };
}

it('exposes the counts of the app and the sum of two roomcasts', async () => {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  onTestFinished(() => registry.clear());
  new Counter({ name: 'orders_total', help: 'Orders.', registers: [registry] }).inc(3);
  const roomcasts: Roomcast[] = [createRoomcast({ registry }), createRoomcast({ registry })];
  opened.push(...roomcasts);
  await roomcasts[0]!.publish('news', 1);
  await Promise.all(roomcasts.map((each) => each.publish('news', 2)));
  const series = parse(await registry.metrics());
  expect(series.get('orders_total')).toBe(3);
  expect(series.get('process_start_time_seconds')).toBeGreaterThan(1e9);
  expect(sum(series, 'roomcast_build_info')).toBe(1);
  // The room is empty: the broker delivers no message to this process.
  expect(series.get('roomcast_queue_limit_bytes')).toBe(2 * 268_435_456);
  expect(unaccounted(series)).toBe(0);
  await Promise.all(roomcasts.map((each) => each.close()));
  const left = parse(await registry.metrics());
  expect([...left.keys()].filter((name) => name.startsWith('roomcast_'))).toEqual([]);
  expect(left.get('orders_total')).toBe(3);
});

it('exposes the series of a scrape, except those of the process', async () => {
  const registry = new Registry();
  const { metrics, recorder } = create(registry);
  recorder.delivered(1, true, 0.3, 7);
  const own = parse(await metrics.scrape());
  const ofProcess = /^(process|nodejs)_/;
  const expected = [...own].filter(([name]) => !ofProcess.test(name));
  expect([...parse(await registry.metrics())]).toEqual(expected);
});

it('uses the default labels and the format of the registry', async () => {
  const registry = new Registry<OpenMetricsContentType>();
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  registry.setDefaultLabels({ app: 'shop' });
  create(registry).recorder.published();
  const text = await registry.metrics();
  expect(text).toContain('\n# TYPE roomcast_published counter\n');
  expect(text).toContain('\nroomcast_published_total{app="shop"} 1\n');
  expect(text).toContain('\nroomcast_members{transport="websocket",app="shop"} 0\n');
  const all = await registry.getMetricsAsJSON();
  expect(all.find(({ name }) => name === 'roomcast_members')).toMatchObject({
    values: expect.arrayContaining([
      { labels: { transport: 'xhr-polling', app: 'shop' }, value: 0 },
    ]),
  });
});

it('keeps the counters of a closed roomcast, and none of its gauges', async () => {
  const registry = new Registry();
  const [one, other] = [create(registry), create(registry)];
  one.gauges.connect(0, 2);
  one.recorder.fannedOut(5);
  one.recorder.delivered(0, false, 0.1, 5);
  other.recorder.fannedOut(2);
  other.recorder.delivered(0, false, 0.1, 2);
  const count = async () => {
    const series = parse(await registry.metrics());
    return [
      sum(series, 'roomcast_fanout_total'),
      sum(series, 'roomcast_delivery_seconds_count'),
      sum(series, 'roomcast_members'),
    ];
  };
  expect(await count()).toEqual([7, 7, 2]);
  one.metrics.close();
  one.metrics.close();
  expect(await count()).toEqual([7, 7, 0]);
  other.metrics.close();
  expect(registry.getMetricsAsArray()).toEqual([]);
});

it('shows for several roomcasts what one would show for all their members', async () => {
  const member = fc.record({
    lag: fc.integer({ min: 0, max: 40_000 }),
    queuedBytes: fc.nat(10_000),
    queuedMessages: fc.nat(100),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(member, { maxLength: 15 }), { minLength: 1, maxLength: 3 }),
      async (servers) => {
        const registry = new Registry();
        const created = servers.map((members) => {
          const { gauges, metrics } = create(registry);
          gauges.connect(0, members.length);
          for (const each of members) gauges.behind.add(Object.assign(new FakeMember(), each));
          return metrics;
        });
        const series = parse(await registry.metrics());
        const all = servers.flat();
        const sorted = all.map(({ lag }) => lag / 1000).sort((a, b) => b - a);
        for (let i = 0; i < TOP; i += 1) {
          expect(series.get(`roomcast_top_member_lag_seconds{rank="${i + 1}"}`)).toBe(
            sorted[i] ?? 0,
          );
        }
        for (const bound of LAG_BOUNDS.slice(0, -1)) {
          const name = `roomcast_members_lag_at_most{bound="${bound}"}`;
          expect(series.get(name)).toBe(sorted.filter((lag) => lag <= bound).length);
        }
        expect(series.get('roomcast_queue_messages')).toBe(
          all.reduce((total, { queuedMessages }) => total + queuedMessages, 0),
        );
        for (const metrics of created) metrics.close();
      },
    ),
    { numRuns: 25 },
  );
});

it('reads everything at one instant, whatever happens while the text is built (V10)', async () => {
  const registry = new Registry();
  const { recorder, gauges } = create(registry);
  create(registry).recorder.fannedOut(0);
  const member = new FakeMember();
  gauges.behind.add(member);
  const texts: Promise<string>[] = [];
  for (let i = 1; i <= 20; i += 1) {
    texts.push(registry.metrics());
    recorder.fannedOut(i);
    member.queuedMessages += i;
    await null;
    recorder.delivered(0, false, 0.1, 1);
    member.queuedMessages -= 1;
  }
  for (const text of await Promise.all(texts)) expect(unaccounted(parse(text))).toBe(0);
});

it('rejects a registry with other metrics of these names, and anything that is not a registry', () => {
  const registry = new Registry();
  const { name } = CATALOGUE.rooms;
  new Counter({ name, help: 'Of another kind.', registers: [registry] });
  const refused = (given: unknown) => {
    try {
      opened.push(createRoomcast({ registry: given as Registry }));
    } catch (error) {
      return error;
    }
    return undefined;
  };
  expect(refused(registry)).toMatchObject({
    code: 'bad_option',
    option: 'registry',
    message: `registry is not allowed: it already has a metric ${name}; give one without metrics of these names`,
  });
  expect(registry.getMetricsAsArray()).toHaveLength(1);
  expect(refused({ registerMetric() {} })).toMatchObject({
    code: 'bad_option',
    option: 'registry',
  });
});

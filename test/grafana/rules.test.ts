/** The alert rules, judged by Prometheus' own tool: each fires when it should, and only then. */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { ALERTS, expressionOf } from '../../grafana/src/alerts.js';
import { runbookOfInstance } from '../../grafana/src/links.js';
import { hasPrometheus, promtool, temporary } from '../support/prometheus.js';
import { selectors, syntaxError } from './promql.js';
import { seriesNames } from './support.js';

const CONFIG = fileURLToPath(new URL('../../grafana/prometheus/', import.meta.url));
const RULES = join(CONFIG, 'rules/roomcast.yml');

/** Values every 30 seconds, as promtool writes them: `7x60` stays, `0+30x60` grows by one a second. */
type Input = Readonly<Record<string, string>>;

interface Case {
  /** Series by name and labels, job and instance apart, with which it fires. */
  readonly fires: Input;
  /** What it then says. */
  readonly says: string;
  /** Labels of what fires beside job and instance. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Series with which it does not fire, though nearly. */
  readonly quiet: readonly Input[];
}

/** Buckets of a histogram into which all of a hundred observations a step fall. */
const observed = (name: string, labels: string, bounds: readonly string[], bound: string): Input =>
  Object.fromEntries(
    bounds.map((le, i) => {
      const has = i >= bounds.indexOf(bound);
      return [`${name}_bucket{${labels}, le="${le}"}`, has ? '0+100x60' : '0x60'];
    }),
  );

const delivered = (consumer: string, bound: string) =>
  observed(
    'roomcast_delivery_seconds',
    `transport="websocket", consumer="${consumer}"`,
    ['0.05', '0.1', '0.25', '+Inf'],
    bound,
  );

const held = (bound: string, lock = 'room.members') =>
  observed(
    'roomcast_lock_hold_seconds',
    `lock="${lock}", mode="read"`,
    ['0.001', '0.0025', '0.01', '+Inf'],
    bound,
  );

const members = (count: number) => ({ 'roomcast_members{transport="websocket"}': `${count}x60` });

const accounts = (queued: number) => ({
  roomcast_fanout_total: '0+100x60',
  roomcast_delivered_total: '0+90x60',
  'roomcast_dropped_total{reason="drop-oldest"}': '0+6x60',
  'roomcast_dropped_total{reason="conflated"}': '0+1x60',
  roomcast_abandoned_total: '0+3x60',
  roomcast_queue_messages: `${queued}x60`,
});

const CASES: Record<string, Case> = {
  RoomcastDown: {
    fires: { up: '0x60' },
    says: 'server:8080 has not answered a scrape for a minute.',
    quiet: [{ up: '1x60' }, { up: '0 1x60' }],
  },
  RoomcastGone: {
    fires: { roomcast_rooms: '0x60' },
    says: 'No target of the job roomcast is left: nothing is watched.',
    quiet: [{ up: '0x60' }, { up: '1x60' }],
  },
  RoomcastRestarting: {
    fires: { process_start_time_seconds: '1x30 2x2 3x2 4x30' },
    says: 'server:8080 has started 3 times anew in 15 minutes.',
    quiet: [
      { process_start_time_seconds: '1x60' },
      { process_start_time_seconds: '1x10 2x10 3x60' },
    ],
  },
  RoomcastFull: {
    fires: {
      'roomcast_connections_closed_total{transport="websocket", reason="over_capacity"}': '0+60x60',
    },
    says: 'server:8080 turns 2 connections a second away: --max-connections, or --max-connections-per-address.',
    quiet: [
      {
        'roomcast_connections_closed_total{transport="websocket", reason="over_capacity"}': '5x60',
      },
      { 'roomcast_connections_closed_total{transport="websocket", reason="lost"}': '0+60x60' },
    ],
  },
  RoomcastDescriptorsHigh: {
    fires: { process_open_fds: '900x60', process_max_fds: '1000x60' },
    says: 'server:8080 has 90% of the file descriptors open that it may have; each connection is one.',
    quiet: [{ process_open_fds: '790x60', process_max_fds: '1000x60' }],
  },
  RoomcastBrokerUnavailable: {
    fires: { 'roomcast_refusals_total{code="broker_unavailable"}': '0+30x60' },
    says: 'server:8080 refuses 1 commands a second because the broker fails or is late.',
    quiet: [
      { 'roomcast_refusals_total{code="broker_unavailable"}': '7x60' },
      { 'roomcast_refusals_total{code="rate_limited"}': '0+30x60' },
    ],
  },
  RoomcastRoomBusy: {
    fires: { 'roomcast_refusals_total{code="room_busy"}': '0+30x60' },
    says: 'server:8080 refuses 1 publishes a second: too much waits to be fanned out.',
    quiet: [{ 'roomcast_refusals_total{code="room_busy"}': '7x60' }],
  },
  RoomcastIsolationBroken: {
    fires: { ...delivered('healthy', '0.25'), roomcast_slow_members: '3x60' },
    says: 'While members are slow, 99 % of deliveries to healthy members of server:8080 take up to 248.5ms.',
    quiet: [
      { ...delivered('healthy', '0.25'), roomcast_slow_members: '0x60' },
      { ...delivered('healthy', '0.1'), roomcast_slow_members: '3x60' },
      { ...delivered('slow', '0.25'), roomcast_slow_members: '3x60' },
    ],
  },
  RoomcastDeadlock: {
    fires: { roomcast_lock_deadlocked_tasks: '2x60' },
    says: '2 tasks of server:8080 are deadlocked; roomcast locks, or GET /v1/locks, says which.',
    quiet: [{ roomcast_lock_deadlocked_tasks: '0x60' }],
  },
  RoomcastLockHeldTooLong: {
    fires: held('0.01'),
    says: '99 % of the holds of room.members on server:8080 last up to 9.925ms.',
    labels: { lock: 'room.members' },
    // room.lifecycle is held while the broker is asked, which takes what it takes.
    quiet: [held('0.0025'), held('0.01', 'room.lifecycle')],
  },
  RoomcastLockSaturated: {
    fires: {
      'roomcast_lock_blocked_seconds_total{lock="room.lifecycle", site="Hub.firstJoin"}': '0+18x60',
    },
    says: 'Others lose 600m seconds a second to whoever holds room.lifecycle on server:8080.',
    labels: { lock: 'room.lifecycle' },
    quiet: [
      {
        'roomcast_lock_blocked_seconds_total{lock="room.lifecycle", site="Hub.firstJoin"}':
          '0+12x60',
      },
      // A hundred rooms a second, each held for 15 ms, and nobody waits.
      {
        'roomcast_lock_hold_seconds_sum{lock="room.lifecycle", mode="write"}': '0+45x60',
        'roomcast_lock_blocked_seconds_total{lock="room.lifecycle", site="Hub.firstJoin"}': '0x60',
      },
    ],
  },
  RoomcastQueueMemoryHigh: {
    fires: { roomcast_queue_bytes: '90x60', roomcast_queue_limit_bytes: '100x60' },
    says: 'The queues of server:8080 hold 90% of --queue-bytes-total; at 100 % the longest stalled members are evicted.',
    quiet: [{ roomcast_queue_bytes: '79x60', roomcast_queue_limit_bytes: '100x60' }],
  },
  RoomcastSlowMemberRatioHigh: {
    // Also in a room of 80.
    fires: { ...members(80), roomcast_slow_members: '8x60' },
    says: '10% of the members of server:8080 lag or lose messages.',
    quiet: [
      { ...members(200), roomcast_slow_members: '9x60' },
      { ...members(8), roomcast_slow_members: '4x60' },
    ],
  },
  RoomcastEvictionsHigh: {
    fires: { ...members(200), 'roomcast_evictions_total{reason="slow_consumer"}': '0+15x60' },
    says: 'server:8080 evicts 0.25% of its members a second.',
    quiet: [
      { ...members(200), 'roomcast_evictions_total{reason="slow_consumer"}': '0+3x60' },
      // One in five minutes, of three.
      {
        ...members(3),
        'roomcast_evictions_total{reason="slow_consumer"}': '0x9 1x9 2x9 3x9 4x9 5x9',
      },
    ],
  },
  RoomcastDropsHigh: {
    fires: {
      roomcast_fanout_total: '0+3000x60',
      'roomcast_dropped_total{reason="drop-oldest"}': '0+45x60',
      'roomcast_dropped_total{reason="drop-newest"}': '0+15x60',
    },
    says: 'server:8080 drops 2% of what it fans out; the members concerned are told with gaps.',
    quiet: [
      {
        roomcast_fanout_total: '0+3000x60',
        'roomcast_dropped_total{reason="drop-oldest"}': '0+15x60',
      },
      { roomcast_fanout_total: '0x60', 'roomcast_dropped_total{reason="drop-oldest"}': '0x60' },
      {
        roomcast_fanout_total: '0+3000x60',
        'roomcast_dropped_total{reason="conflated"}': '0+900x60',
      },
    ],
  },
  RoomcastEventLoopLag: {
    fires: { nodejs_eventloop_lag_p99_seconds: '0.2x60' },
    says: 'The event loop of server:8080 is up to 200ms late: everything waits that long.',
    quiet: [
      { nodejs_eventloop_lag_p99_seconds: '0.05x60' },
      { nodejs_eventloop_lag_p99_seconds: '0.2x4 0.01x6 0.2x4 0.01x50' },
    ],
  },
  RoomcastConnectionChurn: {
    fires: {
      ...members(200),
      'roomcast_connections_opened_total{transport="websocket"}': '0+600x60',
      'roomcast_connections_closed_total{transport="websocket", reason="lost"}': '0+600x60',
    },
    says: 'Connections opened and closed a second on server:8080: 20% of the members.',
    quiet: [
      {
        ...members(200),
        'roomcast_connections_opened_total{transport="websocket"}': '0+150x60',
        'roomcast_connections_closed_total{transport="websocket", reason="lost"}': '0+150x60',
      },
      {
        ...members(5),
        'roomcast_connections_opened_total{transport="websocket"}': '0+12x60',
        'roomcast_connections_closed_total{transport="websocket", reason="lost"}': '0+12x60',
      },
    ],
  },
  RoomcastAccountingBroken: {
    fires: accounts(1),
    says: 'The accounts of server:8080 differ by 1 messages: a mistake of roomcast.',
    quiet: [accounts(0)],
  },
};

const INSTANCE = { job: 'roomcast', instance: 'server:8080' };

function series(input: Input): { series: string; values: string }[] {
  const own = Object.entries(INSTANCE).map(([label, value]) => `${label}="${value}"`);
  return Object.entries(input).map(([name, values]) => {
    const [, metric, labels] = /^(\w+)(?:\{(.*)\})?$/.exec(name) ?? [];
    const all = [...(labels === undefined ? [] : [labels]), ...own];
    return { series: `${metric}{${all.join(', ')}}`, values };
  });
}

it('has a case for every alert', () => {
  expect(Object.keys(CASES).sort()).toEqual(ALERTS.map(({ name }) => name).sort());
  for (const { quiet } of Object.values(CASES)) expect(quiet.length).toBeGreaterThan(0);
});

describe.each(ALERTS.map((alert) => [alert.name, alert] as const))('%s', (name, alert) => {
  it('is PromQL about metrics and labels of the catalogue', () => {
    expect(syntaxError(expressionOf(alert))).toBeUndefined();
    for (const { metric, matchers } of selectors(expressionOf(alert))) {
      if (metric === 'up') continue;
      expect([...seriesNames.keys()]).toContain(metric);
      for (const matcher of matchers) {
        const label = matcher.split(/!?=/)[0] as string;
        expect(Object.keys(seriesNames.get(metric)!.labels)).toContain(label);
      }
    }
  });

  it('says what it is in fixed words, and how bad in words with numbers', () => {
    expect(alert.summary).toMatch(/^[A-Z].+\.$/);
    expect(alert.summary).not.toContain('{{');
    // What is not there has no instance.
    const who = name === 'RoomcastGone' ? 'job' : 'instance';
    expect(alert.description).toContain(`{{ $labels.${who} }}`);
    expect(['critical', 'warning']).toContain(alert.severity);
  });

  it('is tested with series that a server has', () => {
    const { fires, quiet } = CASES[name]!;
    for (const each of [fires, ...quiet].flatMap(series)) {
      const [{ metric, matchers } = { metric: '', matchers: [] }] = selectors(each.series);
      if (metric === 'up') continue;
      expect([...seriesNames.keys()]).toContain(metric);
      const labels = matchers.map((matcher) => matcher.split('=')[0]);
      const known = [...Object.keys(seriesNames.get(metric)!.labels), 'le', 'job', 'instance'];
      for (const label of labels) expect(known).toContain(label);
    }
  });
});

describe.runIf(hasPrometheus)('promtool', () => {
  let directory: ReturnType<typeof temporary>;
  beforeEach(() => {
    directory = temporary();
  });
  afterEach(() => directory.remove());

  it('finds the configuration and the rules clean', () => {
    for (const args of [
      ['check', 'config', join(CONFIG, 'prometheus.yml')],
      ['check', 'rules', RULES],
    ]) {
      const { status, output } = promtool(args);
      expect(output).not.toMatch(/fail|warn|duplicate/i);
      expect(status, output).toBe(0);
    }
  });

  it.each(ALERTS.map((alert) => [alert.name, alert] as const))(
    'sees %s fire, and not',
    (name, alert) => {
      const { fires, says, labels = {}, quiet } = CASES[name]!;
      const firing = {
        exp_labels: {
          ...(name === 'RoomcastGone' ? { job: INSTANCE.job } : INSTANCE),
          ...labels,
          severity: alert.severity,
        },
        exp_annotations: {
          summary: alert.summary,
          description: says,
          runbook_url: runbookOfInstance(name).replace(
            '{{ $labels.instance }}',
            name === 'RoomcastGone' ? '' : INSTANCE.instance,
          ),
        },
      };
      const tests = [
        {
          interval: '30s',
          input_series: series(fires),
          alert_rule_test: [
            // Not before its time.
            ...(alert.for === '0m' ? [] : [{ eval_time: '30s', alertname: name, exp_alerts: [] }]),
            { eval_time: '20m', alertname: name, exp_alerts: [firing] },
          ],
        },
        ...quiet.map((input) => ({
          interval: '30s',
          input_series: series(input),
          alert_rule_test: [5, 10, 15, 20].map((minute) => ({
            eval_time: `${minute}m`,
            alertname: name,
            exp_alerts: [],
          })),
        })),
      ];
      mkdirSync(join(directory.path, 'rules'));
      copyFileSync(RULES, join(directory.path, 'rules/roomcast.yml'));
      const file = join(directory.path, 'test.yml');
      writeFileSync(
        file,
        stringify({ rule_files: ['rules/roomcast.yml'], evaluation_interval: '15s', tests }),
      );
      const { status, output } = promtool(['test', 'rules', file]);
      expect(status, output).toBe(0);
    },
  );
});

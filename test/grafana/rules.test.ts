/** The alert rules, evaluated by promtool: each fires when it should, and only then. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { ALERTS, type Alert, expressionOf } from '../../grafana/src/alerts.js';
import { runbookOfInstance } from '../../grafana/src/links.js';
import { hasPrometheus, promtool, temporary } from '../support/prometheus.js';
import { selectors, syntaxError } from './promql.js';
import { seriesNames } from './support.js';

const CONFIG = fileURLToPath(new URL('../../grafana/prometheus/', import.meta.url));
const RULES = join(CONFIG, 'rules/roomcast.yml');

/**
 * Values every 30 seconds in promtool's notation: `7x60` is constant, `0+30x60` grows by one per second.
 */
type Input = Readonly<Record<string, string>>;

interface Case {
  /** Series that make it fire, by name and labels without job and instance. */
  readonly fires: Input;
  /** The resulting description. */
  readonly says: string;
  /** Labels of the alert besides job and instance. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Series that nearly make it fire. */
  readonly quiet: readonly Input[];
}

/** Histogram buckets in which all of a hundred observations per step fall into one. */
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

/** Written out, since promtool can repeat numbers only. */
const NO_LIMIT = Array.from({ length: 61 }, () => 'Inf').join(' ');

/** Ratios of the Redis limits; the limits are 0 with another broker. */
const backlog = (messages: number, bytes: number, there = 1): Input => ({
  roomcast_redis_unsettled_messages: `${messages * 4096}x60`,
  roomcast_redis_unsettled_messages_max: `${there * 4096}x60`,
  roomcast_redis_unsettled_bytes: `${bytes * 8192}x60`,
  roomcast_redis_unsettled_limit_bytes: `${there * 8192}x60`,
});

const recovered = (partial: number, complete: number, kept: number): Input => ({
  'roomcast_recoveries_total{result="partial"}': `0+${partial}x60`,
  'roomcast_recoveries_total{result="complete"}': `0+${complete}x60`,
  roomcast_history_messages: `${kept}x60`,
});

const authenticated = (invalid: number, ok: number): Input => ({
  'roomcast_authentications_total{result="token_invalid"}': `0+${invalid}x60`,
  'roomcast_authentications_total{result="ok"}': `0+${ok}x60`,
});

const CASES: Record<string, Case> = {
  RoomcastDown: {
    fires: { up: '0x60' },
    says: 'server:8080 has not answered a scrape for a minute.',
    quiet: [{ up: '1x60' }, { up: '0 1x60' }],
  },
  RoomcastGone: {
    fires: { roomcast_rooms: '0x60' },
    says: 'The job roomcast has no targets left: nothing is monitored.',
    quiet: [{ up: '0x60' }, { up: '1x60' }],
  },
  RoomcastRestarting: {
    fires: { process_start_time_seconds: '1x30 2x2 3x2 4x30' },
    says: 'server:8080 has restarted 3 times in 15 minutes.',
    quiet: [
      { process_start_time_seconds: '1x60' },
      { process_start_time_seconds: '1x10 2x10 3x60' },
    ],
  },
  RoomcastFull: {
    fires: {
      'roomcast_connections_closed_total{transport="websocket", reason="over_capacity"}': '0+60x60',
    },
    says: 'server:8080 rejects 2 connections per second because of --max-connections or --max-connections-per-address.',
    quiet: [
      {
        'roomcast_connections_closed_total{transport="websocket", reason="over_capacity"}': '5x60',
      },
      { 'roomcast_connections_closed_total{transport="websocket", reason="lost"}': '0+60x60' },
    ],
  },
  RoomcastDescriptorsHigh: {
    fires: { process_open_fds: '900x60', process_max_fds: '1000x60' },
    says: 'server:8080 has 90% of its file descriptors open; each connection uses one.',
    quiet: [{ process_open_fds: '790x60', process_max_fds: '1000x60' }],
  },
  RoomcastBrokerUnavailable: {
    fires: { 'roomcast_refusals_total{code="broker_unavailable"}': '0+30x60' },
    says: 'server:8080 refuses 1 commands per second because the broker fails or is late.',
    quiet: [
      { 'roomcast_refusals_total{code="broker_unavailable"}': '7x60' },
      { 'roomcast_refusals_total{code="rate_limited"}': '0+30x60' },
    ],
  },
  RoomcastRoomBusy: {
    fires: { 'roomcast_refusals_total{code="room_busy"}': '0+30x60' },
    says: 'server:8080 refuses 1 publishes per second: too many messages await fan-out.',
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
    says: '2 tasks of server:8080 wait for each other; roomcast locks or GET /v1/locks lists them.',
    quiet: [{ roomcast_lock_deadlocked_tasks: '0x60' }],
  },
  RoomcastLockHeldTooLong: {
    fires: held('0.01'),
    says: '99 % of the holds of room.members on server:8080 last up to 9.925ms.',
    labels: { lock: 'room.members' },
    // room.lifecycle is held during broker calls.
    quiet: [held('0.0025'), held('0.01', 'room.lifecycle')],
  },
  RoomcastLockSaturated: {
    fires: {
      'roomcast_lock_blocked_seconds_total{lock="room.lifecycle", site="Rooms.subscribe"}':
        '0+18x60',
    },
    says: 'Tasks wait 600m seconds per second for holders of room.lifecycle on server:8080.',
    labels: { lock: 'room.lifecycle' },
    quiet: [
      {
        'roomcast_lock_blocked_seconds_total{lock="room.lifecycle", site="Rooms.subscribe"}':
          '0+12x60',
      },
      // A hundred rooms per second, each held for 15 ms, without waiting tasks.
      {
        'roomcast_lock_hold_seconds_sum{lock="room.lifecycle", mode="write"}': '0+45x60',
        'roomcast_lock_blocked_seconds_total{lock="room.lifecycle", site="Rooms.subscribe"}':
          '0x60',
      },
    ],
  },
  RoomcastQueueMemoryHigh: {
    fires: { roomcast_queue_bytes: '90x60', roomcast_queue_limit_bytes: '100x60' },
    says: 'The queues of server:8080 hold 90% of --queue-bytes-total; at 100 % the members stalled longest are evicted.',
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
    says: 'server:8080 evicts 0.25% of its members per second.',
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
    says: 'server:8080 drops 2% of the messages it fans out; the members concerned get gaps.',
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
    says: 'The event loop of server:8080 is up to 200ms late: everything is delayed by that time.',
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
    says: 'Connections opened and closed per second on server:8080: 20% of the members.',
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
  RoomcastAlmostFull: {
    fires: { ...members(900), roomcast_connections_max: '1000x60' },
    says: 'server:8080 has 90% of the members that --max-connections allows.',
    quiet: [
      { ...members(790), roomcast_connections_max: '1000x60' },
      { ...members(900), roomcast_connections_max: NO_LIMIT },
    ],
  },
  RoomcastRoomsAlmostFull: {
    fires: { roomcast_rooms: '900x60', roomcast_rooms_max: '1000x60' },
    says: 'server:8080 has 90% of the rooms that --max-rooms allows.',
    quiet: [
      { roomcast_rooms: '790x60', roomcast_rooms_max: '1000x60' },
      { roomcast_rooms: '900x60', roomcast_rooms_max: NO_LIMIT },
    ],
  },
  RoomcastBrokerSuspended: {
    fires: {
      'roomcast_broker_state{state="up"}': '0x60',
      'roomcast_broker_state{state="suspended"}': '1x60',
    },
    says: '1 processes of server:8080 cannot reach the broker: members stay connected but receive nothing new.',
    quiet: [
      {
        'roomcast_broker_state{state="up"}': '1x60',
        'roomcast_broker_state{state="suspended"}': '0x60',
      },
      {
        'roomcast_broker_state{state="up"}': '1x9 0 1x60',
        'roomcast_broker_state{state="suspended"}': '0x9 1 0x60',
      },
    ],
  },
  RoomcastBrokerLag: {
    fires: { roomcast_redis_tick_lag_seconds: '2x60' },
    says: 'The round trip from server:8080 through Redis takes 2s.',
    quiet: [
      { roomcast_redis_tick_lag_seconds: '0.9x60' },
      { roomcast_redis_tick_lag_seconds: '0.1x9 2 0.1x60' },
    ],
  },
  RoomcastBrokerBacklog: {
    // The fuller of the two limits counts.
    fires: backlog(0.1, 0.75),
    says: 'server:8080 uses 75% of the limit of messages that await Redis; at 100 % publishes are refused.',
    quiet: [backlog(0.4, 0.4), backlog(0, 0, 0)],
  },
  RoomcastBrokerLost: {
    fires: { roomcast_broker_lost_total: '0+30x60' },
    says: 'server:8080 misses 1 messages per second that the broker had; members got a gap for them.',
    quiet: [{ roomcast_broker_lost_total: '7x60' }],
  },
  RoomcastBrokerUncertain: {
    fires: { roomcast_broker_uncertain_total: '0+30x60' },
    says: 'server:8080 answers 1 publishes per second with broker_uncertain.',
    quiet: [{ roomcast_broker_uncertain_total: '7x60' }],
  },
  RoomcastBrokerReset: {
    fires: { roomcast_broker_resets_total: '0+30x60' },
    says: '1 rooms per second of server:8080 were reset: the broker, or a worker, has lost their positions.',
    quiet: [{ roomcast_broker_resets_total: '7x60' }],
  },
  RoomcastWorkerStale: {
    fires: { roomcast_workers_stale: '1x60' },
    says: '1 workers of server:8080 have not answered for a minute.',
    quiet: [{ roomcast_workers_stale: '0x60' }, { roomcast_workers_stale: '0x9 1 0x60' }],
  },
  RoomcastWorkerMissing: {
    fires: { roomcast_workers_missing: '1x60' },
    says: '1 workers of server:8080 are missing: the rooms they own are unavailable.',
    // One worker is being replaced.
    quiet: [{ roomcast_workers_missing: '0x60' }, { roomcast_workers_missing: '0x9 1 0x60' }],
  },
  RoomcastWorkerRestarting: {
    fires: { roomcast_worker_restarts_total: '0+1x60' },
    says: '30 workers of server:8080 were replaced in 15 minutes.',
    quiet: [
      { roomcast_worker_restarts_total: '7x60' },
      { roomcast_worker_restarts_total: '0x20 1x60' },
    ],
  },
  RoomcastMeshBacklog: {
    fires: { roomcast_mesh_queue_bytes: '5242880x60' },
    says: '5MiB are queued for workers of server:8080; a link with 8 MiB queued loses further messages.',
    quiet: [
      { roomcast_mesh_queue_bytes: '4000000x60' },
      { roomcast_mesh_queue_bytes: '0x9 5242880 0x60' },
    ],
  },
  RoomcastMeshLosing: {
    fires: { roomcast_mesh_lost_total: '0+30x60' },
    says: 'A worker of server:8080 misses 1 messages per second; its members got a gap for them.',
    quiet: [{ roomcast_mesh_lost_total: '7x60' }],
  },
  RoomcastHistoryMemoryHigh: {
    fires: { roomcast_history_bytes: '95x60', roomcast_history_limit_bytes: '100x60' },
    says: 'server:8080 keeps 95% of --history-bytes-total; at 100 % the rooms idle longest lose their history.',
    quiet: [
      { roomcast_history_bytes: '89x60', roomcast_history_limit_bytes: '100x60' },
      { roomcast_history_bytes: '0x60', roomcast_history_limit_bytes: '0x60' },
    ],
  },
  RoomcastRecoveriesPartial: {
    fires: recovered(10, 90, 100),
    says: '10% of the recoveries of server:8080 were partial.',
    // Without history, partial recoveries are normal.
    quiet: [recovered(2, 90, 100), recovered(10, 90, 0), recovered(0, 0, 100)],
  },
  RoomcastKeySourceDown: {
    fires: { roomcast_key_sources_down: '1x60' },
    says: 'server:8080 has no usable keys from --jwks-url: nobody can connect or refresh a token.',
    quiet: [{ roomcast_key_sources_down: '0x60' }, { roomcast_key_sources_down: '1 0x60' }],
  },
  RoomcastKeyFetchesFail: {
    fires: {
      'roomcast_key_fetches_total{result="failed"}': '0+1x60',
      'roomcast_key_fetches_total{result="ok"}': '1x60',
    },
    says: 'server:8080 cannot reach --jwks-url; it uses its current keys until --jwks-stale-ms has passed.',
    quiet: [
      {
        'roomcast_key_fetches_total{result="failed"}': '3x60',
        'roomcast_key_fetches_total{result="ok"}': '0+1x60',
      },
    ],
  },
  RoomcastTokensInvalid: {
    fires: authenticated(20, 80),
    says: '20% of the tokens that server:8080 receives are invalid.',
    quiet: [authenticated(5, 95), authenticated(2, 4), authenticated(0, 0)],
  },
  RoomcastExpiriesHigh: {
    fires: { ...members(200), roomcast_tokens_expired_total: '0+15x60' },
    says: 'server:8080 closes 0.25% of its members per second with 4105: no new token came in time.',
    quiet: [
      { ...members(200), roomcast_tokens_expired_total: '0+3x60' },
      { ...members(3), roomcast_tokens_expired_total: '0+1x60' },
    ],
  },
  RoomcastAppChecksFail: {
    fires: { 'roomcast_app_checks_failed_total{question="join"}': '0+30x60' },
    says: 'server:8080 has refused 1 requests per second with check_failed.',
    quiet: [{ 'roomcast_app_checks_failed_total{question="join"}': '7x60' }],
  },
  RoomcastCollectorFailed: {
    fires: { 'roomcast_collector_errors_total{collector="locks"}': '0+1x60' },
    says: 'Metrics of locks at server:8080 are NaN, and alerts on them cannot fire: a bug in roomcast.',
    labels: { collector: 'locks' },
    quiet: [{ 'roomcast_collector_errors_total{collector="locks"}': '1x60' }],
  },
  RoomcastAccountingBroken: {
    fires: accounts(1),
    says: 'The message accounting of server:8080 is off by 1 messages: a bug in roomcast.',
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
  it('uses metrics and labels of the catalogue in valid PromQL', () => {
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

  it('has a fixed summary and a description with values', () => {
    expect(alert.summary).toMatch(/^[A-Z].+\.$/);
    expect(alert.summary).not.toContain('{{');
    // An absent target has no instance.
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

  it('accepts the configuration and the rules', () => {
    for (const args of [
      ['check', 'config', join(CONFIG, 'prometheus.yml')],
      ['check', 'rules', RULES],
    ]) {
      const { status, output } = promtool(args);
      expect(output).not.toMatch(/fail|warn|duplicate/i);
      expect(status, output).toBe(0);
    }
  });

  // One run for all alerts, each with its own rule file: seconds instead of a minute.
  it('sees each alert fire, and stay silent', () => {
    const [{ name, rules }] = parse(readFileSync(RULES, 'utf8')).groups;
    const files = ALERTS.map((alert) => {
      const own = rules.filter((rule: { alert: string }) => rule.alert === alert.name);
      const [ruleFile, testFile] = [`${alert.name}.rules.yml`, `${alert.name}.test.yml`];
      const test = { rule_files: [ruleFile], evaluation_interval: '15s', tests: testsOf(alert) };
      writeFileSync(join(directory.path, ruleFile), stringify({ groups: [{ name, rules: own }] }));
      writeFileSync(join(directory.path, testFile), stringify(test));
      return join(directory.path, testFile);
    });
    const { status, output } = promtool(['test', 'rules', ...files]);
    expect(status, output).toBe(0);
  }, 60_000);
});

function testsOf({ name, severity, summary, for: after }: Alert): object[] {
  const { fires, says, labels = {}, quiet } = CASES[name]!;
  const isGone = name === 'RoomcastGone';
  const firing = {
    exp_labels: { ...(isGone ? { job: INSTANCE.job } : INSTANCE), ...labels, severity },
    exp_annotations: {
      summary,
      description: says,
      runbook_url: runbookOfInstance(name).replace(
        '{{ $labels.instance }}',
        isGone ? '' : INSTANCE.instance,
      ),
    },
  };
  return [
    {
      interval: '30s',
      input_series: series(fires),
      alert_rule_test: [
        // Not before its `for` time.
        ...(after === '0m' ? [] : [{ eval_time: '30s', alertname: name, exp_alerts: [] }]),
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
}

/**
 * The shape of the JSON report as a JSON Schema (draft 2020-12), which the package ships as
 * `roomcast/load-report.schema.json`. Its test compiles only if it matches the types of the report.
 * Within a version fields are only added, so readers must ignore unknown fields.
 */
import { Type } from 'typebox';
import Value from 'typebox/value';
import { COHORT_KINDS } from '../cohort.js';
import { CHECKS, PHASES } from '../plan.js';
import { TRANSPORTS } from '../targets/index.js';

const one = <const Values extends readonly string[]>(values: Values) =>
  Type.Unsafe<Values[number]>(Type.Enum([...values]));
const known = <Of extends Parameters<typeof Type.Union>[0][number]>(of: Of) =>
  Type.Union([of, Type.Null()]);

const number = Type.Number();
const text = Type.String();
const counts = Type.Record(Type.String(), number);
const phaseName = one(PHASES);
const cohortKind = one(Object.keys(COHORT_KINDS) as (keyof typeof COHORT_KINDS)[]);

const distribution = Type.Object({
  count: number,
  mean: known(number),
  p50: known(number),
  p90: known(number),
  p99: known(number),
  p999: known(number),
  p9999: known(number),
  max: known(number),
  curve: Type.Array(known(number)),
  hdr: known(text),
});

const cohortPhase = Type.Object({
  latency: distribution,
  service: distribution,
  perSecond: number,
});

const counters = Type.Object({
  present: number,
  connects: number,
  failures: counts,
  closes: counts,
  refused: counts,
  bytes: number,
  received: number,
  announced: number,
  owed: number,
  owedMembers: number,
  resumed: number,
  restarted: number,
  endedUnread: number,
  faults: Type.Object({
    duplicated: number,
    reordered: number,
    unannounced: number,
    wrongGaps: number,
    foreign: number,
    changed: number,
  }),
  backfill: Type.Object({
    came: number,
    expired: number,
    lost: number,
    wrong: number,
    unanswered: number,
    cutOff: number,
    refused: counts,
  }),
  silence: Type.Array(number),
  silentMembers: Type.Array(number),
});

const sample = Type.Object({
  at: number,
  cpuSeconds: known(number),
  cpuCores: known(number),
  cpuWaitSeconds: known(number),
  rssBytes: known(number),
  loopDelayP99: known(number),
  lockHoldP99: known(number),
  deliveryP99: known(number),
  queueBytes: known(number),
  queueLimitBytes: known(number),
  members: known(number),
  dropped: known(number),
  evictions: known(number),
});

const run = Type.Object({
  startedAt: text,
  interrupted: Type.Boolean(),
  lost: known(text),
  clockError: known(number),
  phases: Type.Array(
    Type.Object({
      name: phaseName,
      turn: number,
      from: number,
      to: number,
      utilization: number,
      loopDelayP99: number,
      loopDelayMax: number,
      generatorCpuWait: known(number),
      cpuCores: known(number),
      cpuWait: known(number),
      cpuMicrosPerDelivery: known(number),
      lockHoldP99: known(number),
      loopDelayServerP99: known(number),
      rssGrowthBytes: known(number),
    }),
  ),
  cohorts: Type.Array(
    Type.Object({
      name: text,
      kind: cohortKind,
      members: number,
      phases: Type.Partial(Type.Record(phaseName, cohortPhase)),
      joins: distribution,
      recoveries: distribution,
      evictions: distribution,
      backfills: distribution,
      counters,
    }),
  ),
  publishing: Type.Object({
    sent: number,
    last: number,
    blocked: number,
    stuck: number,
    closes: counts,
    failures: counts,
    refused: counts,
    offered: known(number),
    accepted: known(number),
    confirmations: known(Type.Object({ asked: number, got: number })),
    lateness: distribution,
  }),
  timeline: Type.Array(
    Type.Object({
      at: number,
      phase: phaseName,
      sent: number,
      utilization: number,
      loopDelayP99: number,
      loopDelayMax: number,
      cpuWait: known(number),
      cohorts: Type.Array(
        Type.Object({
          delivered: number,
          announced: number,
          present: number,
          p50: known(number),
          p99: known(number),
        }),
      ),
    }),
  ),
  server: Type.Object({
    before: known(sample),
    after: known(sample),
    samples: Type.Array(sample),
    missing: known(text),
  }),
  isolation: known(
    Type.Object({
      ratio: number,
      interval: known(Type.Tuple([number, number])),
      turns: Type.Array(Type.Object({ calm: number, slow: number })),
    }),
  ),
});

const machine = Type.Object({
  os: text,
  cpu: text,
  cores: number,
  memoryBytes: number,
  node: text,
});

const cohort = Type.Object({
  name: text,
  kind: cohortKind,
  members: number,
  rate: number,
  read: number,
  pause: number,
  after: number,
  stay: number,
  how: Type.Enum(['reset', 'silent']),
  back: number,
  away: number,
  since: Type.Boolean(),
  together: Type.Boolean(),
  backfill: Type.Boolean(),
  delay: number,
  jitter: number,
  bandwidth: number,
});

const plan = Type.Object({
  scenario: text,
  title: text,
  target: Type.Object({
    name: text,
    protocol: Type.Optional(Type.Object({ file: text, sha256: text })),
    url: text,
    transport: one(TRANSPORTS),
    headers: Type.Record(Type.String(), text),
    templates: Type.Object({
      join: Type.Optional(text),
      leave: Type.Optional(text),
      publish: Type.Optional(text),
    }),
  }),
  members: number,
  rooms: number,
  roomPrefix: text,
  roomsPerMember: number,
  publishersPerRoom: number,
  publishFrom: Type.Enum(['own', 'members']),
  size: number,
  rate: known(number),
  window: known(number),
  rampMs: number,
  settleMs: number,
  phases: Type.Array(Type.Object({ name: phaseName, ms: number, turn: number })),
  drainMs: number,
  silenceMs: number,
  evictWithinMs: known(number),
  cohorts: Type.Array(cohort),
  failIf: Type.Array(text),
  skip: Type.Array(one(CHECKS)),
  seed: number,
  workers: number,
  tag: text,
});

export const REPORT_SCHEMA = Type.Object(
  {
    format: Type.Literal('roomcast-load'),
    version: Type.Literal(2),
    roomcast: text,
    machine,
    agents: Type.Array(
      Type.Object({ address: text, machine, clockOffset: number, clockError: number }),
    ),
    plan,
    runs: Type.Array(run),
    shown: number,
    figures: Type.Record(Type.String(), Type.Object({ median: number, min: number, max: number })),
    verdict: Type.Object({
      outcome: Type.Enum(['failed', 'void', 'incomplete', 'passed']),
      checks: Type.Array(
        Type.Object({
          name: text,
          status: Type.Enum(['passed', 'failed', 'void', 'unknown', 'skipped']),
          text,
        }),
      ),
      unfit: known(text),
      notes: Type.Array(text),
      exit: number,
    }),
  },
  {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Report of roomcast load',
    description:
      'Latencies in µs, times in seconds since the phases began, sizes in bytes, CPU in cores; null is unknown.',
  },
);

/** The first deviation of a value from this version's schema, in words; undefined if there is none. */
export function reportFault(value: unknown): string | undefined {
  const [first] = Value.Errors(REPORT_SCHEMA, value);
  return first && `${first.instancePath || 'it'} ${first.message}`;
}

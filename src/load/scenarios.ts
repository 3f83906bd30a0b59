/**
 * The built-in scenarios, S0 to S15: data only. They suit a server with default limits on two cores (at
 * most 100,000 deliveries a second, 50 publishes a second and publisher). Each has a descriptive name;
 * `stalled-10`, `throttled-25` and so on are S2 with that share of that kind.
 */
import { COHORT_KINDS, type CohortKind } from './cohort.js';
import { LoadError } from './error.js';
import { DEFAULTS, type Scenario } from './plan.js';

export type NamedScenario = Scenario & { readonly name: string; readonly title: string };

/** Members and rate of the slow-member scenarios: 50,000 deliveries and 200 MB a second. */
const CROWD = { members: '200', publishers: '5', rate: '250/s', size: '4KiB' } as const;
/**
 * Long enough to fill 4 MB of kernel buffers and a queue of 1 MiB of a stalled member. The warmup is
 * long enough for the server's code to be compiled: otherwise the calm phase is slow and the isolation
 * ratio looks too good.
 */
const TWO_PHASES = { warmup: '10s', calm: '10s', fill: '8s', slow: '12s' } as const;
/** For slow members whose slowness no kernel buffer hides. */
const SHORT_PHASES = { warmup: '5s', calm: '8s', slow: '12s' } as const;
const ROOM_OF_1000 = { members: '1000', publishers: '2', rate: '50/s', size: '512' } as const;
const ISOLATED = ['healthy.p99>250ms'];

export const SCENARIOS: Readonly<Record<string, NamedScenario>> = {
  S0: {
    name: 'baseline',
    title: 'One room of 1,000 healthy members at a fixed rate: the scenario to compare targets by',
    members: '1000',
    publishers: '4',
    rate: '100/s',
    size: '128',
    warmup: '5s',
    calm: '15s',
  },
  S1: {
    name: 'all-healthy',
    title:
      'The members of S2 to S6 with nobody slow: how far from 1 the isolation ratio is by chance',
    ...CROWD,
    ...TWO_PHASES,
    failIf: ISOLATED,
  },
  S2: {
    name: 'stalled-1',
    title: '1 % of the members stop reading',
    ...CROWD,
    ...TWO_PHASES,
    cohorts: ['stalled=1%'],
    failIf: ISOLATED,
  },
  S3: {
    name: 'throttled-10',
    title: '10 % of the members read 64 KiB a second of the 1 MB they are sent',
    ...CROWD,
    ...TWO_PHASES,
    cohorts: ['throttled=10%,rate=64KiB/s'],
    failIf: ISOLATED,
  },
  S4: {
    name: 'stalled-50',
    title: 'Half of the members stop reading',
    ...CROWD,
    ...TWO_PHASES,
    cohorts: ['stalled=50%'],
    failIf: ISOLATED,
  },
  S5: {
    name: 'stall-recover',
    title: '10 % of the members stop reading, then read on: how soon they are up to date',
    ...CROWD,
    ...TWO_PHASES,
    recover: '8s',
    cohorts: ['stalled=10%'],
    failIf: [...ISOLATED, 'stalled.recoveries.max>5s'],
  },
  S6: {
    name: 'sawtooth',
    title: '20 % of the members pause for 6 s after every 2 s of reading',
    ...CROWD,
    ...TWO_PHASES,
    slow: '16s',
    cohorts: ['sawtooth=20%,read=2s,pause=6s'],
    failIf: ISOLATED,
  },
  S7: {
    name: 'reconnect-storm',
    title: 'Half of 1,000 members vanish and connect again all at once, every 3 s',
    ...ROOM_OF_1000,
    ...SHORT_PHASES,
    cohorts: ['vanishing=50%,together=true,stay=3s,back=0'],
    failIf: ['healthy.p99>500ms'],
  },
  S8: {
    name: 'churn',
    title: '20 % of 1,000 members leave and join the room every second or so',
    ...ROOM_OF_1000,
    ...SHORT_PHASES,
    cohorts: ['churning=20%,stay=1s,away=200ms'],
    failIf: ISOLATED,
  },
  S9: {
    name: 'many-rooms',
    title: '2,000 members in 500 rooms of their own, 4 rooms a member, some coming and going',
    members: '2000',
    rooms: '500',
    roomsPerMember: '4',
    rate: '2000/s',
    size: '256',
    ...SHORT_PHASES,
    cohorts: ['churning=10%,stay=1s,away=200ms'],
    failIf: ISOLATED,
  },
  S10: {
    name: 'huge-room',
    title: 'One room of 5,000 members, some coming and going',
    members: '5000',
    rate: '10/s',
    size: '256',
    ...SHORT_PHASES,
    cohorts: ['churning=5%,stay=2s,away=500ms'],
    failIf: ISOLATED,
  },
  S11: {
    name: 'large-messages',
    title: 'Messages of 48 KiB to 100 members of whom 10 % stop reading',
    members: '100',
    rate: '20/s',
    size: '48KiB',
    ...TWO_PHASES,
    cohorts: ['stalled=10%'],
    failIf: ISOLATED,
  },
  S12: {
    name: 'vanishing',
    title:
      '10 % of the members are reset every 2 s or so, 10 % fall silent with the connection open',
    ...CROWD,
    ...TWO_PHASES,
    cohorts: [
      'vanishing=10%,stay=2s,back=500ms',
      'vanishing=10%,name=black-hole,how=silent,stay=4s,back=500ms',
    ],
    failIf: ISOLATED,
  },
  S13: {
    name: 'soak',
    title: 'Ten minutes with some of each, to see whether memory grows',
    ...CROWD,
    rate: '100/s',
    size: '1KiB',
    warmup: '20s',
    calm: '60s',
    slow: '10m',
    recover: '20s',
    cohorts: [
      'stalled=5%',
      'throttled=5%,rate=16KiB/s',
      'sawtooth=5%',
      'vanishing=5%',
      'churning=5%',
    ],
    failIf: [...ISOLATED, 'server.rssGrowth>128MB'],
  },
  S14: {
    name: 'resume-storm',
    title:
      'As S7, but all come back with their position: every message they missed is sent or announced',
    ...ROOM_OF_1000,
    ...SHORT_PHASES,
    cohorts: ['vanishing=50%,together=true,stay=3s,back=500ms,since=true'],
    failIf: ['healthy.p99>500ms'],
  },
  S15: {
    name: 'backfill',
    title:
      'As S6, but members that paused request what gaps name while publishing goes on (the server keeps 10 s: --history-messages 5000 --history-bytes 33554432)',
    ...CROWD,
    ...TWO_PHASES,
    slow: '20s',
    cohorts: ['sawtooth=20%,read=3s,pause=7s,backfill=true'],
    failIf: ISOLATED,
  },
};

/**
 * A scenario by its number (`S4`), its name (`stalled-50`), or a kind of cohort and a percentage
 * (`throttled-25`).
 * @throws LoadError `bad_scenario` that lists the scenarios
 */
export function findScenario(wanted: string): NamedScenario {
  const known = Object.entries(SCENARIOS).find(
    ([number, { name }]) => number === wanted.toUpperCase() || name === wanted,
  );
  if (known) return known[1];
  const share = /^([a-z]+)-(\d+)$/.exec(wanted);
  const [, kind = '', percent = ''] = share ?? [];
  if (isSlowKind(kind) && Number(percent) >= 1 && Number(percent) < 100) {
    return {
      ...SCENARIOS['S2']!,
      name: wanted,
      title: `${percent} % of the members: ${COHORT_KINDS[kind]}`,
      cohorts: [`${kind}=${percent}%${kind === 'throttled' ? ',rate=64KiB/s' : ''}`],
    };
  }
  const names = Object.entries(SCENARIOS).map(([number, { name }]) => `${number} ${name}`);
  throw new LoadError(
    'bad_scenario',
    `scenario is ${JSON.stringify(wanted)}: expected one of ${names.join(', ')}, <kind>-<percent> such as stalled-10, or a .json file`,
  );
}

/** Checks that a parsed JSON file is a scenario. @throws LoadError `bad_scenario` */
export function asScenario(value: unknown, from: string): Scenario {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new LoadError('bad_scenario', `${from}: expected an object of scenario keys`);
  }
  for (const [key, setting] of Object.entries(value)) {
    const isList = LISTS.has(key);
    if (!isList && !KEYS.has(key)) {
      throw new LoadError('bad_scenario', `${from}: no such key ${key}; keys are ${[...KEYS]}`);
    }
    const isText = (item: unknown): boolean => typeof item === 'string';
    const fits = isList ? Array.isArray(setting) && setting.every(isText) : isText(setting);
    if (!fits) {
      const expected = isList ? 'a list of texts' : 'a text with its unit, such as "250/s"';
      throw new LoadError('bad_scenario', `${from}: ${key} should be ${expected}`);
    }
  }
  return value as Scenario;
}

const LISTS: ReadonlySet<string> = new Set(['cohorts', 'failIf', 'skip']);
const KEYS: ReadonlySet<string> = new Set([
  ...Object.keys(DEFAULTS),
  'name',
  'title',
  'window',
  'duration',
  'rampUp',
  'evictWithin',
  ...LISTS,
]);

function isSlowKind(kind: string): kind is CohortKind {
  return Object.hasOwn(COHORT_KINDS, kind) && kind !== 'healthy';
}

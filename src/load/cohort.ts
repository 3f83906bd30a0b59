/**
 * The cohorts: groups of members that read normally until the disturbance begins and are then slow in
 * the way of their kind. Owns the names, parameters and syntax of cohorts.
 * Not here: how a member behaves (member.ts).
 */
import { badOption } from './error.js';
import { parseByteRate, parseDuration, parseShare } from './units.js';

/** Each way to be slow, in one line; the source of `--help`. */
export const COHORT_KINDS = {
  healthy: 'reads everything at once',
  throttled: 'reads at `rate` bytes a second (16KiB/s)',
  sawtooth: 'reads for `read` (1s), pauses for `pause` (2s), again and again',
  stalled: 'never reads: its receive window closes and stays closed',
  late: 'does not read for `after` (5s), then reads on',
  vanishing:
    'vanishes after about `stay` (3s) by `how`=reset or silent, is back `back` (500ms) later',
  churning: 'leaves its rooms after about `stay` (2s) and joins again `away` (500ms) later',
} as const;
export type CohortKind = keyof typeof COHORT_KINDS;

/** A group of members. Plain data that is sent to workers and written into reports. Times in ms. */
export interface Cohort {
  readonly name: string;
  readonly kind: CohortKind;
  readonly members: number;
  /** throttled: bytes a second. */
  readonly rate: number;
  /** sawtooth: for how long it reads, then for how long it does not. */
  readonly read: number;
  readonly pause: number;
  /** late: for how long it does not read. */
  readonly after: number;
  /** vanishing, churning: mean time between two departures. */
  readonly stay: number;
  /** vanishing: disconnects with a TCP reset, or goes silent with the connection open. */
  readonly how: 'reset' | 'silent';
  /** vanishing: time until it reconnects. */
  readonly back: number;
  /** churning: time until it joins again. */
  readonly away: number;
  /** vanishing, churning: rejoins with its position, and the server owes it every message after that. */
  readonly since: boolean;
  /** vanishing, churning: all members depart at the same moment instead of at times of their own. */
  readonly together: boolean;
  /** Cohorts that read slowly: requests what gaps name, and is owed what the server still keeps. */
  readonly backfill: boolean;
  /** Any: one-way latency added by an in-process proxy; 0 for none. */
  readonly delay: number;
  readonly jitter: number;
  /** Any: bandwidth of that proxy in bytes a second; 0 for no limit. */
  readonly bandwidth: number;
}

const DEFAULTS = {
  rate: 16 * 1024,
  read: 1000,
  pause: 2000,
  after: 5000,
  stay: 0,
  how: 'reset',
  back: 500,
  away: 500,
  since: false,
  together: false,
  backfill: false,
  delay: 0,
  jitter: 0,
  bandwidth: 0,
} as const;

/** The parameters of each kind, besides the common ones. */
const PARAMETERS: Record<CohortKind, readonly string[]> = {
  healthy: [],
  throttled: ['rate', 'backfill'],
  sawtooth: ['read', 'pause', 'backfill'],
  stalled: ['backfill'],
  late: ['after', 'backfill'],
  vanishing: ['stay', 'how', 'back', 'since', 'together'],
  churning: ['stay', 'away', 'since', 'together'],
};
const COMMON = ['name', 'delay', 'jitter', 'bandwidth'];

/**
 * Parses `stalled=10%` or `throttled=50,rate=8KiB/s,name=phones`.
 * @param total members of the run; percentages are of this number
 * @throws LoadError `bad_option`
 */
export function parseCohort(text: string, total: number): Cohort {
  const [head = '', ...settings] = text.split(',').map((part) => part.trim());
  const [kind = '', share = ''] = head.split('=');
  if (!isKind(kind)) {
    throw badOption('cohort', text, `<kind>=<count or share>, kind ${Object.keys(COHORT_KINDS)}`);
  }
  const values = { ...DEFAULTS, stay: kind === 'vanishing' ? 3000 : 2000 };
  const cohort: Record<string, unknown> = { ...values, kind, name: kind };
  const members = parseShare(`cohort ${kind}`, share, total);
  if (members === 0) throw badOption(`cohort ${kind}`, share, 'one member or more');
  cohort['members'] = members;
  for (const setting of settings) {
    const [key = '', value = ''] = setting.split('=');
    const known = [...PARAMETERS[kind], ...COMMON];
    if (!known.includes(key)) throw badOption(`cohort ${kind}`, setting, `one of ${known}`);
    cohort[key] = parseParameter(`${kind}.${key}`, key, value);
  }
  return cohort as unknown as Cohort;
}

function parseParameter(name: string, key: string, value: string): string | number | boolean {
  switch (key) {
    case 'name':
      if (!/^[a-z][a-z0-9-]*$/.test(value)) throw badOption(name, value, 'lower-case letters');
      return value;
    case 'how':
      if (value !== 'reset' && value !== 'silent') throw badOption(name, value, 'reset or silent');
      return value;
    case 'since':
    case 'together':
    case 'backfill':
      if (value !== 'true' && value !== 'false') throw badOption(name, value, 'true or false');
      return value === 'true';
    case 'rate':
    case 'bandwidth':
      return parseByteRate(name, value);
    default:
      return parseDuration(name, value);
  }
}

function isKind(text: string): text is CohortKind {
  return Object.hasOwn(COHORT_KINDS, text);
}

/**
 * The plan of a run: a scenario with its overrides, checked and resolved to numbers. Plain data that is
 * sent to workers and written into the report; together with its seed it determines every choice of the
 * generator. Owns the defaults and the order of phases. Not here: the scenarios themselves.
 */
import { unreadRooms } from './assign.js';
import { type Cohort, parseCohort } from './cohort.js';
import { badOption } from './error.js';
import { STAMP_LENGTH } from './stamp.js';
import type { TargetSpec } from './targets/index.js';
import { parseCount, parseDuration, parseRate, parseSize } from './units.js';

/**
 * Phases in order; calm to rest repeat in turns. `warmup`, `fill` and `rest` are measured but not
 * judged: the server warms up, the slow members' kernel buffers and queues fill, and between two
 * turns slow members catch up. Slow members are slow in `fill` and `slow`.
 */
export const PHASES = ['warmup', 'calm', 'fill', 'slow', 'rest', 'recover'] as const;
export type PhaseName = (typeof PHASES)[number];

/** The checks of every run, unless skipped by name; verdict/ implements them. */
export const CHECKS = [
  'joined',
  'kept',
  'order',
  'accounting',
  'losses',
  'backfill',
  'confirmed',
  'offered',
  'flow',
  'slowness',
  'isolation',
  'evictions',
  'memory',
  'released',
] as const;
export type CheckName = (typeof CHECKS)[number];

/** The phases whose figures are shown and judged. */
export const JUDGED: readonly PhaseName[] = ['calm', 'slow', 'recover'];

/**
 * A scenario as flags and files give it. Every key is also a flag of `roomcast load` (camelCase here,
 * kebab-case there), and every value is text with its unit.
 */
export interface Scenario {
  name?: string;
  title?: string;
  members?: string;
  rooms?: string;
  /** Prefix of room names: the namespace, for servers that have them. */
  roomPrefix?: string;
  roomsPerMember?: string;
  /** Publishing connections per room. */
  publishers?: string;
  /** `own`: connections that only publish; `members`: members of the room publish. */
  publishFrom?: string;
  /** Payload bytes of a message. */
  size?: string;
  /** Open loop: messages a second, all publishers together. */
  rate?: string;
  /** Closed loop: messages in flight per room. Replaces `rate`. */
  window?: string;
  /** All phases together: each is scaled in proportion. */
  duration?: string;
  rampUp?: string;
  settle?: string;
  warmup?: string;
  calm?: string;
  fill?: string;
  slow?: string;
  /** Pause between two turns. */
  rest?: string;
  /** Number of turns that calm and slow are split into. */
  turns?: string;
  recover?: string;
  /** Longest wait, after publishing has stopped, for messages that are still owed. */
  drain?: string;
  /** A healthy member that receives nothing for longer counts as blocked. */
  silence?: string;
  /** Stalled members must be disconnected by the server within this. */
  evictWithin?: string;
  cohorts?: string[];
  failIf?: string[];
  /** Names of checks to skip. */
  skip?: string[];
  seed?: string;
}

export const DEFAULTS = {
  members: '1000',
  rooms: '1',
  roomPrefix: 'load:',
  roomsPerMember: '1',
  publishers: '1',
  publishFrom: 'own',
  size: '128',
  rate: '100/s',
  settle: '1s',
  warmup: '2s',
  calm: '10s',
  fill: '0',
  slow: '0',
  rest: '0',
  turns: '1',
  recover: '0',
  drain: '10s',
  silence: '2s',
  seed: '1',
} as const satisfies Scenario;

/** Above this size the generator mostly copies, and few servers accept such messages. */
const SIZE_MAX = 64 * 1024 * 1024;

/** Defaults of a scenario with cohorts, which needs phases in which they are slow. */
const WITH_COHORTS = {
  fill: '5s',
  slow: '10s',
  rest: '2s',
  turns: '3',
} as const satisfies Scenario;

interface Phase {
  readonly name: PhaseName;
  readonly ms: number;
  /** The turn of calm and slow that it belongs to, from 1; 0 outside of turns. */
  readonly turn: number;
}

/** Times in ms, sizes in bytes. */
export interface Plan {
  readonly scenario: string;
  readonly title: string;
  readonly target: TargetSpec;
  readonly members: number;
  readonly rooms: number;
  readonly roomPrefix: string;
  readonly roomsPerMember: number;
  readonly publishersPerRoom: number;
  readonly publishFrom: 'own' | 'members';
  readonly size: number;
  /** Messages a second over all publishers, or null for a closed loop. */
  readonly rate: number | null;
  /** Messages in flight per room, or null for an open loop. */
  readonly window: number | null;
  readonly rampMs: number;
  readonly settleMs: number;
  /** Phases with a length above 0, in order. */
  readonly phases: readonly Phase[];
  readonly drainMs: number;
  readonly silenceMs: number;
  readonly evictWithinMs: number | null;
  /** `healthy` first: all members that are in no other cohort. */
  readonly cohorts: readonly Cohort[];
  readonly failIf: readonly string[];
  readonly skip: readonly CheckName[];
  readonly seed: number;
  readonly workers: number;
  /** Four hex digits that distinguish this run's messages and rooms from those of other runs. */
  readonly tag: string;
}

/** @throws LoadError `bad_option` that names the key and what it should be */
export function resolvePlan(
  scenario: Scenario,
  target: TargetSpec,
  workers: number,
  tag: string,
): Plan {
  const s = withDefaults(scenario);
  const members = parseCount('members', s.members, 1, 1_000_000);
  const echo = target.protocol === undefined && target.name === 'echo';
  const rooms = echo ? members : parseCount('rooms', s.rooms, 1, 65_536);
  const publishFrom = echo ? 'members' : s.publishFrom;
  if (publishFrom !== 'own' && publishFrom !== 'members') {
    throw badOption('publishFrom', publishFrom, 'own or members');
  }
  const plan: Plan = {
    scenario: s.name ?? 'custom',
    title: s.title ?? '',
    target,
    members,
    rooms,
    roomPrefix: s.roomPrefix,
    roomsPerMember: parseCount('roomsPerMember', s.roomsPerMember, 1, rooms),
    publishersPerRoom: parseCount('publishers', s.publishers, 1, 1024),
    publishFrom,
    size: parseSize('size', s.size),
    rate: s.window === undefined ? parseRate('rate', s.rate) : null,
    window: s.window === undefined ? null : parseCount('window', s.window, 1, 1_000_000),
    rampMs: s.rampUp === undefined ? members : parseDuration('rampUp', s.rampUp),
    settleMs: parseDuration('settle', s.settle),
    phases: lasting(s.duration, resolvePhases(s)),
    drainMs: parseDuration('drain', s.drain),
    silenceMs: parseDuration('silence', s.silence),
    evictWithinMs: s.evictWithin === undefined ? null : parseDuration('evictWithin', s.evictWithin),
    cohorts: resolveCohorts(s.cohorts ?? [], members),
    failIf: s.failIf ?? [],
    skip: (s.skip ?? []).map(checkNamed),
    seed: parseCount('seed', s.seed, 0, 2 ** 31 - 1),
    workers,
    tag,
  };
  check(plan, scenario);
  return plan;
}

/** Scales the phases to the given total duration. */
function lasting(duration: string | undefined, phases: readonly Phase[]): readonly Phase[] {
  if (duration === undefined) return phases;
  const wanted = parseDuration('duration', duration);
  if (wanted === 0) throw badOption('duration', duration, 'a duration longer than 0');
  const planned = phases.reduce((sum, { ms }) => sum + ms, 0);
  // Whole ms, for readability; rounding removes no phase.
  return phases.map((phase) => ({
    ...phase,
    ms: Math.max(1, Math.round((phase.ms / planned) * wanted)),
  }));
}

/** Fills in every default. With `evictWithin` that is one turn: an eviction needs all the slow time. */
export function withDefaults(scenario: Scenario): Scenario & typeof DEFAULTS {
  const { cohorts, evictWithin } = scenario;
  const slow = cohorts?.length ? WITH_COHORTS : {};
  const turns = evictWithin === undefined ? {} : { turns: '1' };
  return { ...DEFAULTS, ...slow, ...turns, ...scenario } as Scenario & typeof DEFAULTS;
}

/** Calm and slow are split into turns; fill and rest have their full length in each turn. */
function resolvePhases(scenario: Record<PhaseName | 'turns', string>): Phase[] {
  const ms = (name: PhaseName): number => parseDuration(name, scenario[name]);
  const asked = parseCount('turns', scenario.turns, 1, 10);
  // Turns compare the two phases: if one is missing, there is one turn.
  const turns = ms('calm') > 0 && ms('slow') > 0 ? asked : 1;
  const inTurns = Array.from({ length: turns }, (_, i): Phase[] => [
    { name: 'calm', ms: ms('calm') / turns, turn: i + 1 },
    { name: 'fill', ms: ms('fill'), turn: i + 1 },
    { name: 'slow', ms: ms('slow') / turns, turn: i + 1 },
    { name: 'rest', ms: i + 1 < turns ? ms('rest') : 0, turn: i + 1 },
  ]);
  return [
    { name: 'warmup', ms: ms('warmup'), turn: 0 } as const,
    ...inTurns.flat(),
    { name: 'recover', ms: ms('recover'), turn: 0 } as const,
  ].filter((phase) => phase.ms > 0);
}

function checkNamed(name: string): CheckName {
  const known = CHECKS.find((each) => each === name);
  if (known === undefined) throw badOption('skip', name, `one of ${CHECKS.join(', ')}`);
  return known;
}

function check(plan: Plan, scenario: Scenario): void {
  if (scenario.rate !== undefined && scenario.window !== undefined) {
    throw badOption('window', scenario.window, 'either a rate (open loop) or a window (closed)');
  }
  if (plan.size < STAMP_LENGTH) {
    throw badOption('size', plan.size, `at least ${STAMP_LENGTH} bytes: the stamp of a message`);
  }
  if (plan.size > SIZE_MAX) {
    throw badOption('size', scenario.size, `at most ${SIZE_MAX} bytes`);
  }
  if (!/^[\x21-\x7e]*$/.test(plan.roomPrefix)) {
    throw badOption('roomPrefix', plan.roomPrefix, 'printable ASCII without blanks');
  }
  if (plan.rooms * plan.publishersPerRoom > 65_536) {
    throw badOption('publishers', plan.publishersPerRoom, 'at most 65536 publishers in all');
  }
  if (plan.rooms > plan.members) {
    throw badOption('rooms', plan.rooms, `at most as many as members (${plan.members})`);
  }
  const { name, protocol, templates } = plan.target;
  if (!protocol && name === 'ws' && plan.rooms > 1 && templates.join === undefined) {
    throw badOption('rooms', plan.rooms, '1 room, or --join with the text that joins a room');
  }
  const { evictWithinMs: within, phases } = plan;
  if (within !== null) {
    const stall = Math.max(...phases.map(({ turn }) => slowMs(phases, turn)));
    if (!plan.cohorts.some(({ kind }) => kind === 'stalled')) {
      throw badOption('evictWithin', scenario.evictWithin, 'a cohort of stalled members with it');
    }
    if (stall < within) {
      throw badOption(
        'evictWithin',
        scenario.evictWithin,
        `at most fill + slow of a turn: ${stall} ms`,
      );
    }
  }
  if (plan.window !== null && unreadRooms(plan).length === plan.rooms) {
    throw badOption(
      'window',
      scenario.window,
      'a room with a healthy member, which paces the loop',
    );
  }
  if (plan.phases.length === 0) throw badOption('calm', '0', 'a phase longer than 0');
  if (plan.workers > plan.members) {
    throw badOption('workers', plan.workers, `at most as many as members (${plan.members})`);
  }
}

/** How long members are slow in one turn, in ms. */
function slowMs(phases: readonly Phase[], turn: number): number {
  const slow = phases.filter(({ name }) => name === 'fill' || name === 'slow');
  return slow.reduce((sum, phase) => (phase.turn === turn ? sum + phase.ms : sum), 0);
}

function resolveCohorts(texts: readonly string[], members: number): Cohort[] {
  const others = texts.map((text) => parseCohort(text, members));
  const taken = others.reduce((sum, cohort) => sum + cohort.members, 0);
  if (taken >= members) {
    throw badOption('cohorts', texts, `fewer than ${members} members, so that some stay healthy`);
  }
  const cohorts = [parseCohort(`healthy=${members - taken}`, members), ...others];
  for (const [i, { name }] of cohorts.entries()) {
    if (cohorts.findIndex((cohort) => cohort.name === name) !== i) {
      throw badOption('cohorts', texts, `one name each: add name=… to the second ${name}`);
    }
  }
  return cohorts;
}

/** Name of a room on the server. */
export function roomName(plan: Plan, room: number): string {
  return `${plan.roomPrefix}${plan.tag}-${String(room).padStart(4, '0')}`;
}

/** Longest allowed silence of a healthy member, in µs: the plan's, plus the time of three messages. */
export function silenceLimit(plan: Plan): number {
  const perRoom = plan.rate === null ? Number.POSITIVE_INFINITY : plan.rate / plan.rooms;
  return plan.silenceMs * 1000 + 3e6 / perRoom;
}

/** How long the server may take to release members that left; SockJS over HTTP waits longer. */
export function releaseMs({ target }: Plan): number {
  return HTTP_TRANSPORTS.has(target.transport) ? 15_000 : 5000;
}

const HTTP_TRANSPORTS: ReadonlySet<string> = new Set([
  'xhr-streaming',
  'eventsource',
  'xhr-polling',
]);

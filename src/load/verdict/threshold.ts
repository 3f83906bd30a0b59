/**
 * `--fail-if` expressions: a figure of the result, a comparison and a limit with its unit, such as
 * `healthy.p99>250ms` or `server.rssGrowth@slow>64MB`. The run fails if the expression is true. Owns the
 * names of figures, which `--compare` uses too.
 */
import type { Cohort } from '../cohort.js';
import { badOption } from '../error.js';
import type { Quantiles } from '../measure/latency.js';
import type { CohortPhase, PhaseResult, RunResult } from '../measure/result.js';
import { PHASES, type PhaseName, type Plan } from '../plan.js';
import { formatBytes, formatCount, formatMicros, parseDuration, parseSize } from '../units.js';
import { refusals, total } from './check.js';

/** The parts of a plan that figures use. */
type Planned = Pick<Plan, 'cohorts' | 'phases' | 'publishFrom'>;

type Kind = 'duration' | 'size' | 'number';

interface Figure {
  readonly kind: Kind;
  /** Whether `@phase` picks one of the phases. */
  readonly phased: boolean;
  /** True if it uses times between connections, which may be on two machines with different clocks. */
  readonly between?: true;
  of(result: RunResult, phase: PhaseName, plan: Planned): number | null | undefined;
}

export interface Threshold {
  readonly text: string;
  readonly figure: string;
  readonly phase: PhaseName;
  /** Units as in results: µs, bytes, or a plain number. */
  readonly limit: number;
  /** As in `Figure`. */
  readonly between: boolean;
  /** The figure's value, or null if the run has none. */
  value(result: RunResult): number | null;
  exceeded(value: number): boolean;
  format(value: number): string;
}

const QUANTILES: Record<string, keyof Quantiles> = {
  p50: 'p50',
  p90: 'p90',
  p99: 'p99',
  'p99.9': 'p999',
  'p99.99': 'p9999',
  max: 'max',
  mean: 'mean',
};

/** A figure of the server or the generator in a phase: the worst of its turns; for growth, their sum. */
const ofPhase = (kind: Kind, key: keyof Omit<PhaseResult, 'name'>): Figure => ({
  kind,
  phased: true,
  of: (result, phase) => {
    const turns = result.phases.filter(({ name }) => name === phase).map((turn) => turn[key]);
    const known = turns.filter((value) => value !== null);
    if (known.length === 0) return null;
    return key === 'rssGrowthBytes'
      ? known.reduce((sum, value) => sum + value, 0)
      : Math.max(...known);
  },
});

/** Figures of the whole run or of the server. */
const FIGURES: Record<string, Figure> = {
  isolation: {
    kind: 'number',
    phased: false,
    between: true,
    of: (result) => result.isolation?.ratio,
  },
  refused: {
    kind: 'number',
    phased: false,
    of: (result, _phase, plan) => total(refusals(result, plan)),
  },
  blocked: { kind: 'number', phased: false, of: ({ publishing }) => publishing.blocked },
  'server.cpu': ofPhase('number', 'cpuCores'),
  'server.cpuPerDelivery': ofPhase('duration', 'cpuMicrosPerDelivery'),
  'server.lockHold': ofPhase('duration', 'lockHoldP99'),
  'server.loopDelay': ofPhase('duration', 'loopDelayServerP99'),
  'server.rssGrowth': ofPhase('size', 'rssGrowthBytes'),
  'server.rss': {
    kind: 'size',
    phased: false,
    of: ({ server }) => {
      const sizes = server.samples.map(({ rssBytes }) => rssBytes).filter((size) => size !== null);
      return sizes.length === 0 ? null : Math.max(...sizes);
    },
  },
};

/** Times of a cohort that are measured over the whole run, not per phase. */
const OF_RUN = ['joins', 'recoveries', 'evictions', 'backfills'] as const;

/** Figures of a cohort, after `<cohort>.`. */
function cohortFigure(cohort: string, rest: string): Figure | undefined {
  const find = (result: RunResult) => result.cohorts.find(({ name }) => name === cohort);
  const [head = '', ...tail] = rest.split('.');
  const isOfRun = (name: string): name is (typeof OF_RUN)[number] =>
    OF_RUN.some((each) => each === name);
  if (isOfRun(head)) {
    const key = QUANTILES[tail.join('.')];
    return key && { kind: 'duration', phased: false, of: (result) => find(result)?.[head][key] };
  }
  const phase = (result: RunResult, name: PhaseName): CohortPhase | undefined =>
    find(result)?.phases[name];
  if (rest === 'rate') {
    return { kind: 'number', phased: true, of: (r, name) => phase(r, name)?.perSecond };
  }
  if (rest === 'gaps') {
    return { kind: 'number', phased: false, of: (r) => find(r)?.counters.announced };
  }
  const service = rest.startsWith('service.');
  const key = QUANTILES[service ? rest.slice('service.'.length) : rest];
  return (
    key && {
      kind: 'duration',
      phased: true,
      between: true,
      of: (r, name) => phase(r, name)?.[service ? 'service' : 'latency'][key],
    }
  );
}

/**
 * Parses `<figure>[@phase] (>|>=|<|<=) <limit>`. The default phase is `slow` if the plan has it, else its
 * last phase.
 * @throws LoadError `bad_option` if the plan has no such figure or phase, or the unit is wrong
 */
export function parseThreshold(text: string, plan: Planned): Threshold {
  const match = /^([\w.-]+)(?:@(\w+))?\s*(>=|<=|>|<)\s*(\S+)$/.exec(text.trim());
  if (!match) throw badOption('failIf', text, 'a form such as healthy.p99>250ms');
  const [, name = '', at, operator = '>', limitText = ''] = match;
  const cohort = plan.cohorts.find((each) => name.startsWith(`${each.name}.`));
  const figure =
    FIGURES[name] ?? (cohort && cohortFigure(cohort.name, name.slice(cohort.name.length + 1)));
  if (!figure) throw badOption('failIf', text, figuresOf(plan.cohorts));
  const phases = plan.phases.map((phase) => phase.name);
  const usual = phases.includes('slow') ? 'slow' : (phases.at(-1) ?? 'calm');
  const phase = at ?? usual;
  if (!isPhase(phase) || !phases.includes(phase)) {
    throw badOption('failIf', text, `a phase of the run: ${phases.join(', ')}`);
  }
  const limit = parseLimit(figure.kind, text, limitText);
  return {
    text,
    figure: name,
    phase,
    limit,
    between: figure.between === true,
    value: (result) => figure.of(result, phase, plan) ?? null,
    exceeded: (value) => compare(value, operator, limit),
    format: (value) => formatFigure(figure.kind, value),
  };
}

function parseLimit(kind: Kind, text: string, limit: string): number {
  if (kind === 'duration') return parseDuration(`failIf ${text}`, limit) * 1000;
  if (kind === 'size') return parseSize(`failIf ${text}`, limit);
  if (!/^\d+(\.\d+)?$/.test(limit)) throw badOption('failIf', text, 'a plain number as the limit');
  return Number(limit);
}

function formatFigure(kind: Kind, value: number): string {
  if (kind === 'duration') return formatMicros(value);
  return kind === 'size' ? formatBytes(value) : formatCount(Math.round(value * 100) / 100);
}

function compare(value: number, operator: string, limit: number): boolean {
  if (operator === '>') return value > limit;
  if (operator === '>=') return value >= limit;
  return operator === '<' ? value < limit : value <= limit;
}

function isPhase(name: string): name is PhaseName {
  return (PHASES as readonly string[]).includes(name);
}

function figuresOf(cohorts: readonly Cohort[]): string {
  const names = cohorts.map(({ name }) => name).join('|');
  return `a figure: (${names}).(p50…p99.99|max|mean|rate|gaps|service.…|${OF_RUN.map((name) => `${name}.…`).join('|')}), ${Object.keys(FIGURES).join(', ')}`;
}

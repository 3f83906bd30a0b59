/**
 * Compares a report with a baseline. A figure fails if its median is worse than the baseline's by more
 * than the tolerance and lies outside the range of the baseline's own runs.
 */

import type { Cohort } from '../cohort.js';
import { LoadError } from '../error.js';
import type { Plan } from '../plan.js';
import { formatCount } from '../units.js';
import type { Check } from '../verdict/check.js';
import { type Figures, formatFigure, moreIsBetter } from './figures.js';
import { isReport, type LoadReport, type Machine, thisMachine } from './report.js';
import { reportFault } from './schema.js';

/**
 * Makes one check per figure of either report; a figure that only one of them has is `unknown`.
 * @param tolerance share that is accepted, such as 0.15
 */
export function compareFigures(
  figures: Figures,
  baseline: Figures,
  tolerance: number,
  plan: Plan,
): Check[] {
  return [...new Set([...Object.keys(figures), ...Object.keys(baseline)])].map((name): Check => {
    const [now, before] = [figures[name], baseline[name]];
    const said = ({ median }: Figures[string]): string => formatFigure(name, median, plan);
    const named = `compare ${name}`;
    if (!now) return { name: named, status: 'unknown', text: `not known, was ${said(before!)}` };
    if (!before) {
      return {
        name: named,
        status: 'unknown',
        text: `${said(now)}, which the baseline does not have`,
      };
    }
    const worse = moreIsBetter(name) ? -changeOf(now, before) : changeOf(now, before);
    const outside = moreIsBetter(name) ? now.median < before.min : now.median > before.max;
    const change = before.median === 0 ? '' : `${signed(changeOf(now, before))}, `;
    const text = `${said(now)}, was ${said(before)} (${change}tolerance ${Math.round(tolerance * 100)} %)`;
    return { name: named, status: worse > tolerance && outside ? 'failed' : 'passed', text };
  });
}

/** Relative change of a figure; infinite from 0 to anything above. */
function changeOf(now: Figures[string], before: Figures[string]): number {
  if (before.median === 0) return now.median === 0 ? 0 : Number.POSITIVE_INFINITY;
  return now.median / before.median - 1;
}

/**
 * Reads a baseline.
 * @throws LoadError `bad_report` if it is no report, did not pass, or is of another load, target or machine
 */
export function asBaseline(
  text: string,
  from: string,
  plan: Plan,
  agents: LoadReport['agents'] = [],
): LoadReport {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new LoadError('bad_report', `${from} is not JSON: expected a report of --json`);
  }
  if (!isReport(value)) {
    throw new LoadError('bad_report', `${from} is not a report of this version of roomcast load`);
  }
  const fault = reportFault(value);
  if (fault !== undefined) throw new LoadError('bad_report', `${from} is damaged: ${fault}`);
  const { verdict, runs } = value;
  if (verdict.outcome !== 'passed' || runs.some(({ interrupted }) => interrupted)) {
    const was = runs.some(({ interrupted }) => interrupted) ? 'interrupted' : verdict.outcome;
    throw new LoadError(
      'bad_report',
      `${from} cannot be the baseline: it was ${was}: expected a report that passed`,
    );
  }
  const differing = COMPARED.flatMap(([what, of]) => {
    const [there, here] = [of(value), of({ plan, machine: thisMachine(), agents })];
    return there === here ? [] : [`${what} ${there} there, ${here} here`];
  });
  if (differing.length > 0) {
    throw new LoadError(
      'bad_report',
      `${from} cannot be the baseline for this test: ${differing.join('; ')}: expected a report of the same`,
    );
  }
  return value;
}

type Compared = Pick<LoadReport, 'plan' | 'machine' | 'agents'>;

/** Properties that must be equal for figures to be comparable, in words. */
const COMPARED: readonly (readonly [what: string, of: (report: Compared) => string])[] = [
  ['target', ({ plan }) => plan.target.name],
  ['protocol file', ({ plan }) => plan.target.protocol?.sha256 ?? 'none'],
  ['templates', ({ plan }) => JSON.stringify(plan.target.templates)],
  ['transport', ({ plan }) => plan.target.transport],
  ['server', ({ plan }) => serverOf(plan.target.url)],
  ['workers', ({ plan }) => formatCount(plan.workers)],
  ['machine', ({ machine }) => inWords(machine)],
  ['agents', ({ agents }) => agents.map((each) => inWords(each.machine)).join(' + ') || 'none'],
  ['members', ({ plan }) => formatCount(plan.members)],
  ['rooms', ({ plan }) => formatCount(plan.rooms)],
  ['rooms a member', ({ plan }) => formatCount(plan.roomsPerMember)],
  ['publishers a room', ({ plan }) => formatCount(plan.publishersPerRoom)],
  ['publishing from', ({ plan }) => plan.publishFrom],
  ['size', ({ plan }) => `${plan.size} B`],
  ['rate', ({ plan }) => (plan.rate === null ? 'none' : `${plan.rate}/s`)],
  ['window', ({ plan }) => (plan.window === null ? 'none' : formatCount(plan.window))],
  ['phases', ({ plan }) => plan.phases.map(({ name, ms }) => `${name} ${ms} ms`).join(' + ')],
  ['cohorts', ({ plan }) => plan.cohorts.map(cohortInWords).join(' + ')],
];

/** A server on this machine may have another port every time. */
function serverOf(url: string): string {
  const { protocol, hostname, host } = new URL(url);
  const isHere = /^(localhost|127\.[\d.]+|\[::1\])$/.test(hostname);
  return `${protocol}//${isHere ? 'this machine' : host}`;
}

function inWords({ cpu, cores, node }: Machine): string {
  return `${cpu} with ${cores} cores, Node ${node}`;
}

/** The cohort's settings that are set, such as `throttled members=5 rate=8192`. */
function cohortInWords({ name, ...settings }: Cohort): string {
  const given = Object.entries(settings).filter(([, value]) => value !== 0 && value !== false);
  return [name, ...given.map(([key, value]) => `${key}=${value}`)].join(' ');
}

function signed(change: number): string {
  return `${change < 0 ? '−' : '+'}${Math.abs(change * 100).toFixed(0)} %`;
}

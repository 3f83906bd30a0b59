/**
 * Builds PromQL from the keys of the catalogue, so that no name of a metric is written twice. An
 * expression that a panel draws and an alert judges is one function of the scope it is asked in.
 *
 * Panels select by the variables of the dashboard; alerts judge every instance of every job.
 */
import { CATALOGUE, type MetricKey } from '../../src/metrics/catalogue/index.js';

export interface Scope {
  /** Label matchers that every selector has. */
  readonly matchers: readonly string[];
  /** Over which time rates are taken. */
  readonly range: string;
  /** What an aggregation keeps beside its own labels. */
  readonly by: readonly string[];
}

/** All selected instances together. */
export const PANEL: Scope = {
  matchers: ['job=~"$job"', 'instance=~"$instance"'],
  range: '$__rate_interval',
  by: [],
};

/** Each selected instance on its own. */
export const PANEL_BY_INSTANCE: Scope = { ...PANEL, by: ['instance'] };

export const ALERT: Scope = { matchers: [], range: '5m', by: ['job', 'instance'] };

/** A selector; `suffix` is `_bucket`, `_sum` or `_count` of a histogram. */
export function select(
  scope: Scope,
  key: MetricKey,
  { suffix = '', where = [] }: { suffix?: string; where?: readonly string[] } = {},
): string {
  const matchers = [...scope.matchers, ...where];
  const braces = matchers.length > 0 ? `{${matchers.join(', ')}}` : '';
  return `${CATALOGUE[key].name}${suffix}${braces}`;
}

/** `what` by the scope's labels and `labels`. */
export function sum(scope: Scope, labels: readonly string[], what: string): string {
  return aggregate('sum', scope, labels, what);
}

/** The worst of each. */
export function max(scope: Scope, labels: readonly string[], what: string): string {
  return aggregate('max', scope, labels, what);
}

function aggregate(
  operator: string,
  scope: Scope,
  labels: readonly string[],
  what: string,
): string {
  const by = [...scope.by, ...labels];
  return by.length > 0 ? `${operator} by (${by.join(', ')}) (${what})` : `${operator}(${what})`;
}

/** Of a counter, or of a part of a histogram: how much a second. */
export function rate(
  scope: Scope,
  key: MetricKey,
  options?: { suffix?: string; where?: readonly string[] },
): string {
  return `rate(${select(scope, key, options)}[${scope.range}])`;
}

/** A quantile of a histogram by the scope's labels and `labels`: quantiles are never averaged. */
export function quantile(
  scope: Scope,
  q: number,
  key: MetricKey,
  { by = [], where = [] }: { by?: readonly string[]; where?: readonly string[] } = {},
): string {
  const buckets = rate(scope, key, { suffix: '_bucket', where });
  return `histogram_quantile(${q}, ${sum(scope, [...by, 'le'], buckets)})`;
}

/** Buckets of a histogram over time, for a heatmap: how many observations fell into each. */
export function heat(
  scope: Scope,
  key: MetricKey,
  options: { where?: readonly string[] } = {},
): string {
  const buckets = select(scope, key, { suffix: '_bucket', ...options });
  return sum(scope, ['le'], `increase(${buckets}[${scope.range}])`);
}

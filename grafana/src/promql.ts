/**
 * Builds PromQL from the keys of the metrics catalogue, so that each metric name is written only once.
 * An expression used by both a panel and an alert is one function of a scope.
 *
 * Panels select by the dashboard variables; alerts evaluate every instance of every job.
 */
import { CATALOGUE, type MetricKey } from '../../src/metrics/catalogue/index.js';

export interface Scope {
  /** Label matchers added to every selector. */
  readonly matchers: readonly string[];
  /** Range over which rates are computed. */
  readonly range: string;
  /** Labels that every aggregation keeps. */
  readonly by: readonly string[];
}

/** All selected instances combined. */
export const PANEL: Scope = {
  matchers: ['job=~"$job"', 'instance=~"$instance"'],
  range: '$__rate_interval',
  by: [],
};

/** Each selected instance separately. */
export const PANEL_BY_INSTANCE: Scope = { ...PANEL, by: ['instance'] };

export const ALERT: Scope = { matchers: [], range: '5m', by: ['job', 'instance'] };

/** A selector. `suffix` is `_bucket`, `_sum` or `_count` of a histogram. */
export function select(
  scope: Scope,
  key: MetricKey,
  { suffix = '', where = [] }: { suffix?: string; where?: readonly string[] } = {},
): string {
  const matchers = [...scope.matchers, ...where];
  const braces = matchers.length > 0 ? `{${matchers.join(', ')}}` : '';
  return `${CATALOGUE[key].name}${suffix}${braces}`;
}

/** Sum of `what` by the scope's labels and `labels`. */
export function sum(scope: Scope, labels: readonly string[], what: string): string {
  return aggregate('sum', scope, labels, what);
}

/** Maximum of `what` by the scope's labels and `labels`. */
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

/** Rate per second of a counter or of a part of a histogram. */
export function rate(
  scope: Scope,
  key: MetricKey,
  options?: { suffix?: string; where?: readonly string[] },
): string {
  return `rate(${select(scope, key, options)}[${scope.range}])`;
}

/**
 * A quantile of a histogram by the scope's labels and `labels`. Computed from buckets, since quantiles
 * cannot be averaged.
 */
export function quantile(
  scope: Scope,
  q: number,
  key: MetricKey,
  { by = [], where = [] }: { by?: readonly string[]; where?: readonly string[] } = {},
): string {
  const buckets = rate(scope, key, { suffix: '_bucket', where });
  return `histogram_quantile(${q}, ${sum(scope, [...by, 'le'], buckets)})`;
}

/** Histogram buckets over time, for a heatmap. */
export function heat(
  scope: Scope,
  key: MetricKey,
  options: { where?: readonly string[] } = {},
): string {
  const buckets = select(scope, key, { suffix: '_bucket', ...options });
  return sum(scope, ['le'], `increase(${buckets}[${scope.range}])`);
}

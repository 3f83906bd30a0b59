/** Shared by the dashboard tests: panels, queries, and values for variables. */
import { readFileSync } from 'node:fs';
import { CATALOGUE } from '../../src/metrics/catalogue/index.js';
import type { Metric } from '../../src/metrics/catalogue/metric.js';

interface Target {
  readonly refId: string;
  readonly expr: string;
  readonly legendFormat: string;
  readonly instant?: boolean;
  readonly format: 'time_series' | 'heatmap' | 'table';
  readonly datasource: { readonly uid: string };
}

interface Panel {
  readonly id: number;
  readonly type: 'row' | 'stat' | 'timeseries' | 'heatmap' | 'table';
  readonly title: string;
  readonly description: string;
  readonly gridPos: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
  readonly datasource: { readonly type: string; readonly uid: string };
  readonly targets: readonly Target[];
  readonly links?: readonly { readonly url: string }[];
  readonly options: { readonly calculate?: boolean; readonly yAxis?: { readonly unit?: string } };
  readonly fieldConfig: {
    readonly defaults: {
      readonly unit: string;
      readonly thresholds?: { readonly steps: readonly { readonly value: number | null }[] };
      readonly custom?: Readonly<Record<string, unknown>>;
    };
    readonly overrides: readonly {
      readonly matcher: { readonly options: string };
      readonly properties: readonly { readonly id: string; readonly value: unknown }[];
    }[];
  };
}

interface Variable {
  readonly name: string;
  readonly label: string;
  readonly type: string;
  readonly query: string | { readonly query: string };
  readonly datasource?: { readonly uid: string };
  readonly multi: boolean;
  readonly includeAll: boolean;
  readonly allValue?: string;
  readonly refresh?: number;
}

interface Dashboard {
  readonly uid: string;
  readonly editable: boolean;
  readonly panels: readonly Panel[];
  readonly links: readonly { readonly url: string }[];
  readonly templating: { readonly list: readonly Variable[] };
  readonly annotations: { readonly list: readonly { readonly expr: string }[] };
}

const COMMITTED = new URL('../../grafana/dashboards/roomcast.json', import.meta.url);

/** The committed dashboard. */
export const dashboard = JSON.parse(readFileSync(COMMITTED, 'utf8')) as Dashboard;

/** All panels without the row headings. */
export const panels = dashboard.panels.filter(({ type }) => type !== 'row');

/** Every query of every panel, with a unique name. */
export const queries = panels.flatMap((panel) =>
  panel.targets.map((target) => ({
    name: `${panel.title} ${target.refId}`,
    panel,
    target,
    expr: target.expr,
  })),
);

/** The query as Grafana sends it with all values selected. */
export function filledIn(expr: string, rateInterval: string): string {
  return expr
    .replaceAll('$__rate_interval', rateInterval)
    .replaceAll(/\$(job|instance|lock)\b/g, '.+');
}

/** Metrics by series name; a histogram has three series. */
export const seriesNames = new Map<string, Metric>(
  Object.values(CATALOGUE).flatMap((metric: Metric): [string, Metric][] =>
    metric.type === 'histogram'
      ? ['_bucket', '_sum', '_count'].map((suffix) => [`${metric.name}${suffix}`, metric])
      : [[metric.name, metric]],
  ),
);

/**
 * Queries and alerts without a value until tokens, positions or a network broker are used. Covered by
 * `features.test.ts`.
 */
export const OF_FEATURES = {
  panels: ['Invalid token ratio', 'Time to authenticate', 'Broker latency p99'],
  alerts: ['RoomcastTokensInvalid', 'RoomcastRecoveriesPartial', 'RoomcastBrokerBacklog'],
};

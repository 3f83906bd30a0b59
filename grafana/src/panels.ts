/**
 * The four kinds of panels, with a shared style. Every panel describes what it shows, what is normal,
 * what to do first, and links to the runbook.
 *
 * Not here: the panels (`rows/`), their positions (`layout.ts`).
 */
import {
  BigValueColorMode,
  BigValueGraphMode,
  type DataSourceRef,
  GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode,
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  ScaleDistribution,
  ScaleDistributionConfigBuilder,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';
import {
  type Panel as BuiltPanel,
  DashboardLinkBuilder,
  DashboardLinkType,
  FieldColorBuilder,
  FieldColorModeId,
  ThresholdsConfigBuilder,
  ThresholdsMode,
} from '@grafana/grafana-foundation-sdk/dashboard';
import {
  PanelBuilder as HeatmapBuilder,
  HeatmapColorMode,
  HeatmapColorOptionsBuilder,
  HeatmapColorScale,
  HeatmapTooltipBuilder,
  YAxisConfigBuilder,
} from '@grafana/grafana-foundation-sdk/heatmap';
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as TableBuilder } from '@grafana/grafana-foundation-sdk/table';
import { PanelBuilder as TimeseriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries';
import { runbook, SERVER } from './links.js';

export const DATASOURCE: DataSourceRef = { type: 'prometheus', uid: '$' + '{datasource}' };

/** Colours have fixed meanings, the same as on the live page. */
export const COLOUR = { healthy: 'blue', slow: 'orange', loss: 'red', good: 'green' } as const;

interface About {
  readonly means: string;
  readonly normal: string;
  /** What to do first if the value is not normal. */
  readonly act: string;
  /** A heading of `docs/runbook.md`. */
  readonly runbook: string;
}

interface Target {
  readonly expr: string;
  readonly legend: string;
}

interface Spec {
  /** Never change an id: links and alerts refer to it. */
  readonly id: number;
  readonly title: string;
  readonly about: About;
  /** A Grafana unit. */
  readonly unit: string;
  /** Width in columns, of 24. */
  readonly width: number;
  readonly targets: readonly Target[];
}

/** A panel without a position. */
export interface Panel {
  readonly width: number;
  readonly height: number;
  readonly build: (place: { x: number; y: number; w: number; h: number }) => BuiltPanel;
}

const GRAPH_HEIGHT = 8;
const STAT_HEIGHT = 4;

type Step = readonly [from: number | null, colour: string];

/** Green below the threshold, red from it on. */
export const badFrom = (threshold: number): Step[] => [
  [null, COLOUR.good],
  [threshold, COLOUR.loss],
];

/** Red below the threshold, green from it on. */
export const goodFrom = (threshold: number): Step[] => [
  [null, COLOUR.loss],
  [threshold, COLOUR.good],
];

function thresholds(steps: readonly Step[]): ThresholdsConfigBuilder {
  return new ThresholdsConfigBuilder()
    .mode(ThresholdsMode.Absolute)
    .steps(steps.map(([value, color]) => ({ value, color })));
}

function describe({ means, normal, act, runbook: heading }: About): string {
  return `${means}\n\n**Normal:** ${normal}\n\n**First:** ${act}\n\n[Runbook: ${heading}](${runbook(heading)})`;
}

function queries(
  targets: readonly Target[],
  format: PromQueryFormat,
  instant: boolean,
): DataqueryBuilder[] {
  return targets.map(({ expr, legend }, i) => {
    const query = new DataqueryBuilder()
      .datasource(DATASOURCE)
      .refId(String.fromCharCode('A'.charCodeAt(0) + i))
      .expr(expr)
      .legendFormat(legend)
      .format(format);
    return instant ? query.instant() : query.range();
  });
}

export interface Stat extends Spec {
  readonly steps?: readonly Step[];
  readonly decimals?: number;
}

export function stat(spec: Stat): Panel {
  const build: Panel['build'] = (gridPos) => {
    const panel = new StatBuilder()
      .id(spec.id)
      .title(spec.title)
      .description(describe(spec.about))
      .datasource(DATASOURCE)
      .gridPos(gridPos)
      .targets(queries(spec.targets, PromQueryFormat.TimeSeries, false))
      .unit(spec.unit)
      .noValue('none')
      .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']))
      .graphMode(BigValueGraphMode.Area)
      .colorMode(spec.steps ? BigValueColorMode.Value : BigValueColorMode.None)
      .thresholds(thresholds(spec.steps ?? [[null, 'text']]));
    if (spec.decimals !== undefined) panel.decimals(spec.decimals);
    return panel.build();
  };
  return { width: spec.width, height: STAT_HEIGHT, build };
}

export interface Graph extends Spec {
  /** Drawn as a line with the area above it shaded. */
  readonly threshold?: number;
  readonly logarithmic?: boolean;
  readonly stacked?: boolean;
  /** Colours by legend; keys are regular expressions. */
  readonly colours?: Readonly<Record<string, string>>;
  /** Line styles for legends that share a colour; regular expressions. */
  readonly strokes?: { readonly bold: string; readonly dashed: string };
  /** A legend that uses the right axis, and its unit. */
  readonly right?: { readonly legend: string; readonly unit: string };
  readonly max?: number;
}

export function graph(spec: Graph): Panel {
  const build: Panel['build'] = (gridPos) => {
    const panel = new TimeseriesBuilder()
      .id(spec.id)
      .title(spec.title)
      .description(describe(spec.about))
      .datasource(DATASOURCE)
      .gridPos(gridPos)
      .targets(queries(spec.targets, PromQueryFormat.TimeSeries, false))
      .unit(spec.unit)
      .lineWidth(1)
      .fillOpacity(spec.stacked ? 30 : 0)
      .legend(
        new VizLegendOptionsBuilder()
          .showLegend(true)
          .displayMode(LegendDisplayMode.Table)
          .placement(LegendPlacement.Bottom)
          .calcs(['lastNotNull', 'max']),
      )
      .tooltip(
        new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending),
      );
    if (spec.max === undefined) panel.axisSoftMin(0);
    else panel.min(0).max(spec.max);
    if (spec.logarithmic) {
      panel.scaleDistribution(
        new ScaleDistributionConfigBuilder().type(ScaleDistribution.Log).log(10),
      );
    }
    if (spec.stacked) panel.stacking(new StackingConfigBuilder().mode(StackingMode.Normal));
    if (spec.threshold !== undefined) {
      panel.thresholds(
        thresholds([
          [null, 'transparent'],
          [spec.threshold, COLOUR.loss],
        ]),
      );
      panel.thresholdsStyle(
        new GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.LineAndArea),
      );
    }
    for (const [legend, fixedColor] of Object.entries(spec.colours ?? {})) {
      panel.overrideByRegexp(`/${legend}/`, [
        { id: 'color', value: { mode: 'fixed', fixedColor } },
      ]);
    }
    if (spec.strokes) {
      panel.overrideByRegexp(`/${spec.strokes.bold}/`, [{ id: 'custom.lineWidth', value: 2 }]);
      panel.overrideByRegexp(`/${spec.strokes.dashed}/`, [
        { id: 'custom.lineStyle', value: { fill: 'dash', dash: [6, 4] } },
      ]);
    }
    if (spec.right) {
      panel.overrideByName(spec.right.legend, [
        { id: 'custom.axisPlacement', value: 'right' },
        { id: 'unit', value: spec.right.unit },
        { id: 'custom.fillOpacity', value: 20 },
        { id: 'custom.lineInterpolation', value: 'stepAfter' },
      ]);
    }
    return panel.build();
  };
  return { width: spec.width, height: GRAPH_HEIGHT, build };
}

/** For a query that returns the buckets of a histogram by `le`. */
export function heatmap(spec: Spec): Panel {
  const build: Panel['build'] = (gridPos) =>
    new HeatmapBuilder()
      .id(spec.id)
      .title(spec.title)
      .description(describe(spec.about))
      .datasource(DATASOURCE)
      .gridPos(gridPos)
      .targets(queries(spec.targets, PromQueryFormat.Heatmap, false))
      .calculate(false)
      .unit(spec.unit)
      .yAxis(new YAxisConfigBuilder().unit(spec.unit))
      .color(
        new HeatmapColorOptionsBuilder()
          .mode(HeatmapColorMode.Scheme)
          .scheme('Blues')
          .scale(HeatmapColorScale.Exponential)
          .exponent(0.5)
          .steps(64),
      )
      .tooltip(new HeatmapTooltipBuilder().mode(TooltipDisplayMode.Single).yHistogram(true))
      .build();
  return { width: spec.width, height: GRAPH_HEIGHT, build };
}

export interface Table extends Spec {
  /** Title of the value column. */
  readonly value: string;
  /** Link to the server's list with the member ids. */
  readonly more: { readonly title: string; readonly path: string };
}

/** For instant queries, sorted by value, highest first. */
export function table(spec: Table): Panel {
  const build: Panel['build'] = (gridPos) =>
    new TableBuilder()
      .id(spec.id)
      .title(spec.title)
      .description(describe(spec.about))
      .datasource(DATASOURCE)
      .gridPos(gridPos)
      .targets(queries(spec.targets, PromQueryFormat.Table, true))
      .unit(spec.unit)
      .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.Thresholds))
      .links([
        new DashboardLinkBuilder(spec.more.title)
          .type(DashboardLinkType.Link)
          .url(`${SERVER}${spec.more.path}`)
          .targetBlank(true),
      ])
      .withTransformation({
        id: 'organize',
        options: {
          excludeByName: { Time: true },
          renameByName: { Value: spec.value },
        },
      })
      .withTransformation({
        id: 'sortBy',
        options: { sort: [{ field: spec.value, desc: true }] },
      })
      .build();
  return { width: spec.width, height: GRAPH_HEIGHT, build };
}

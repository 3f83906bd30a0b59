/**
 * The options of a chart and their translation to uPlot: scales, axes, lines, bands, a limit. Colours
 * are read at each draw, so that a plot follows the colour scheme of the page.
 *
 * Not here: the figure around the plot, its legend and its cursor (`chart.ts`).
 */
import uPlot from 'uplot';
import { decades, type XAxis } from './axes.js';

export interface Line {
  readonly label: string;
  /** Name of a CSS custom property whose value is `#rrggbb`. */
  readonly colour: string;
  readonly format: (value: number) => string;
  /** Allowed distances between axis marks; any round number by default. */
  readonly steps?: readonly number[];
  /** Whether the line uses the right axis. */
  readonly right?: boolean;
  /** Whether the area below the line is filled. */
  readonly area?: boolean;
  readonly dashed?: boolean;
}

export interface ChartOptions {
  readonly title: string;
  /** What the chart shows, in a sentence. */
  readonly means: string;
  readonly lines: readonly Line[];
  readonly x: XAxis;
  /** Charts with the same key share a cursor. */
  readonly sync: string;
  readonly wide?: boolean;
  /** Whether the legend shows the latest values while the cursor is away. */
  readonly latest?: boolean;
  /** Minimum and maximum of a logarithmic axis; true for the decades of the data. */
  readonly logarithmic?: readonly [number, number] | true;
  /** Minimum of the axis' upper end. */
  readonly least?: number;
  /** Whether each line is stacked on those before it. */
  readonly stacked?: boolean;
  /** A horizontal line for a limit, drawn once the values approach it. */
  readonly limit?: { readonly value: number; readonly label: string };
  /** Ranges of x to shade, such as a phase. */
  readonly bands?: readonly {
    readonly from: number;
    readonly to: number;
    readonly label: string;
  }[];
}

export type Column = readonly (number | null)[];

/** Fraction of the limit from which on the axis includes it. */
const NEAR = 0.25;
const FONT_SIZE = 11;
/** Opacity of an area, in hex. */
const AREA = '26';

const property = (name: string) =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const fontOf = (pixels: number) => `${pixels}px ${property('--font')}`;

/** The columns as drawn: stacked, and clamped above zero for a logarithmic axis. */
export function drawable(columns: readonly Column[], options: ChartOptions): Column[] {
  if (options.stacked === true) {
    const sums: number[] = [];
    return columns.map((column) =>
      column.map((value, i) => {
        sums[i] = (sums[i] ?? 0) + (value ?? 0);
        return sums[i];
      }),
    );
  }
  if (options.logarithmic === undefined) return [...columns];
  const lowest =
    options.logarithmic === true
      ? columns
          .flat()
          .reduce<number>((least, v) => (v! > 0 ? Math.min(least, v!) : least), Infinity)
      : options.logarithmic[0];
  return columns.map((column) => column.map((v) => (v === null ? null : Math.max(lowest, v))));
}

/**
 * The uPlot options without the size.
 * @param onCursor called when the cursor has moved
 */
export function plotOptions(
  options: ChartOptions,
  onCursor: () => void,
): Omit<uPlot.Options, 'width' | 'height'> {
  const { lines, logarithmic, limit, bands = [], x } = options;
  const axis = {
    stroke: () => property('--muted'),
    font: fontOf(FONT_SIZE),
    grid: { stroke: () => property('--grid'), width: 1 },
    ticks: { show: false },
  };
  const left = lines.find((line) => line.right !== true) as Line;
  const right = lines.find((line) => line.right === true);
  return {
    legend: { show: false },
    padding: [bands.length > 0 ? 20 : 10, right ? 0 : 16, 0, 0],
    cursor: {
      sync: { key: options.sync, setSeries: false },
      drag: { x: false, y: false },
      points: { size: 5 },
      y: false,
    },
    scales: {
      x: { time: false, range: (plot) => [...x.range(plot.data[0], plot.width)] },
      y: logarithmic
        ? { distr: 3, range: (_, low, high) => decadesAround(logarithmic, low, high) }
        : { range: (_, __, high) => linearRange(options, high) },
      ...(right
        ? { right: { range: (_: uPlot, __: number, high: number) => rightRange(high) } }
        : {}),
    },
    axes: [
      {
        ...axis,
        size: 28,
        gap: 9,
        splits: (plot) => x.marks(plot.data[0], plot.width).map(({ at }) => at),
        values: (plot) => x.marks(plot.data[0], plot.width).map(({ label }) => label),
      },
      {
        ...axis,
        size: 58,
        gap: 6,
        values: (_, splits) => splits.map((value) => mark(left, value)),
        ...(logarithmic
          ? {
              splits: (_: uPlot, __: number, low: number, high: number) => decades([low, high]),
              filter: (_: uPlot, splits: number[]) => splits,
            }
          : {}),
        ...stepsOf(left),
      },
      ...(right
        ? [
            {
              ...axis,
              scale: 'right',
              side: 1 as const,
              size: 44,
              gap: 6,
              grid: { show: false },
              values: (_: uPlot, splits: number[]) => splits.map((value) => mark(right, value)),
              ...stepsOf(right),
            },
          ]
        : []),
    ],
    series: [{}, ...lines.map(seriesOf)],
    hooks: {
      setCursor: [onCursor],
      drawClear: bands.map((band) => (plot: uPlot) => drawBand(plot, band)),
      ...(limit ? { draw: [(plot) => drawLimit(plot, limit)] } : {}),
    },
  };
}

function seriesOf(line: Line): uPlot.Series {
  const stroke = () => property(line.colour);
  const stepped = line.right === true ? uPlot.paths.stepped?.({ align: 1 }) : undefined;
  return {
    stroke,
    width: line.right === true ? 1 : 1.5,
    points: { size: 4, fill: stroke, filter: alone },
    spanGaps: false,
    ...(line.right === true ? { scale: 'right' } : {}),
    ...(line.area === true ? { fill: () => property(line.colour) + AREA } : {}),
    ...(line.dashed === true ? { dash: [5, 4] } : {}),
    ...(stepped ? { paths: stepped } : {}),
  };
}

/** The decades that contain the data. */
function decadesAround(
  given: readonly [number, number] | true,
  low: number | null,
  high: number | null,
): uPlot.Range.MinMax {
  if (given !== true) return [...given];
  if (low === null || high === null || !(low > 0)) return [1, 10];
  const from = Math.floor(Math.log10(low));
  return [10 ** from, 10 ** Math.max(from + 1, Math.ceil(Math.log10(high)))];
}

function linearRange({ least = 0, limit }: ChartOptions, top: number | null): uPlot.Range.MinMax {
  const high = Math.max(least, (top ?? 0) * 1.15) || 1;
  const isNear = limit !== undefined && high > limit.value * NEAR;
  return [0, isNear ? Math.max(high, limit.value * 1.08) : high];
}

const rightRange = (top: number | null): uPlot.Range.MinMax => [0, Math.max(10, (top ?? 0) * 1.1)];

/** Removes trailing zeros: `1.00 ms` becomes `1 ms`, `2.50 MB` becomes `2.5 MB`. */
const mark = (line: Line, value: number): string =>
  line
    .format(value)
    .replace(/(\.\d*?)0+(?= |$)/, '$1')
    .replace(/\.(?= |$)/, '');

const stepsOf = ({ steps }: Line): { incrs?: number[] } => (steps ? { incrs: [...steps] } : {});

/** Indices of isolated points of a series, which no line would show. */
function alone(plot: uPlot, series: number): number[] {
  const column = plot.data[series] ?? [];
  const has = (i: number) => typeof column[i] === 'number';
  return [...column.keys()].filter((i) => has(i) && !has(i - 1) && !has(i + 1));
}

function drawBand(
  plot: uPlot,
  { from, to, label }: { from: number; to: number; label: string },
): void {
  const { ctx, bbox } = plot;
  const within = (value: number) =>
    Math.min(bbox.left + bbox.width, Math.max(bbox.left, plot.valToPos(value, 'x', true)));
  const [start, end] = [within(from), within(to)];
  ctx.save();
  ctx.fillStyle = property('--band');
  ctx.fillRect(start, bbox.top, end - start, bbox.height);
  ctx.fillStyle = property('--band-edge');
  ctx.font = fontOf(FONT_SIZE * devicePixelRatio);
  ctx.textAlign = 'center';
  ctx.textBaseline = 'bottom';
  // A label wider than its band would overlap the next one.
  if (ctx.measureText(label).width <= end - start) {
    ctx.fillText(label, (start + end) / 2, bbox.top - 3 * devicePixelRatio);
  }
  ctx.restore();
}

function drawLimit(plot: uPlot, { value, label }: { value: number; label: string }): void {
  const { ctx, bbox } = plot;
  if (value > (plot.scales['y']?.max ?? 0)) return;
  const y = Math.round(plot.valToPos(value, 'y', true));
  ctx.save();
  ctx.strokeStyle = property('--loss');
  ctx.fillStyle = property('--loss');
  ctx.setLineDash([4, 4]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.font = fontOf(FONT_SIZE * devicePixelRatio);
  ctx.textBaseline = 'bottom';
  ctx.fillText(label, bbox.left + 4, y - 2);
  ctx.restore();
}

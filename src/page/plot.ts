/**
 * What a chart is, and what uPlot has to be told to draw it: scales, axes, lines, bands, a limit.
 * Colours are read whenever something is drawn, so that a plot follows the scheme of the page.
 *
 * Not here: the figure around the plot, its legend and its cursor (`chart.ts`).
 */
import uPlot from 'uplot';
import { decades, type XAxis } from './axes.js';

export interface Line {
  readonly label: string;
  /** The name of a colour: a custom property of the page's style, as `#rrggbb`. */
  readonly colour: string;
  readonly format: (value: number) => string;
  /** Where the axis may have its numbers; any round ones without it. */
  readonly steps?: readonly number[];
  /** On an axis of its own. */
  readonly right?: boolean;
  /** The area below it is filled. */
  readonly area?: boolean;
  readonly dashed?: boolean;
}

export interface ChartOptions {
  readonly title: string;
  /** What it shows, in a sentence. */
  readonly means: string;
  readonly lines: readonly Line[];
  readonly x: XAxis;
  /** Charts with the same have one cursor. */
  readonly sync: string;
  readonly wide?: boolean;
  /** The legend says the latest numbers while nothing is pointed at. */
  readonly latest?: boolean;
  /** The least and the most that a logarithmic axis shows; true for the decades there are. */
  readonly logarithmic?: readonly [number, number] | true;
  /** How far the axis goes at least. */
  readonly least?: number;
  /** Each line is drawn on top of those before it. */
  readonly stacked?: boolean;
  /** A line that should not be reached; drawn where it is near. */
  readonly limit?: { readonly value: number; readonly label: string };
  /** Parts of x to shade, such as a phase. */
  readonly bands?: readonly {
    readonly from: number;
    readonly to: number;
    readonly label: string;
  }[];
}

export type Column = readonly (number | null)[];

/** Of the limit, from which on the axis shows it. */
const NEAR = 0.25;
const FONT_SIZE = 11;
/** How much of a colour an area has, in hex. */
const AREA = '26';

const property = (name: string) =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const fontOf = (pixels: number) => `${pixels}px ${property('--font')}`;

/** The columns as they are drawn: stacked, and above zero where there is a logarithm of them. */
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

/** Everything of a plot but its size. @param onCursor called when the cursor has moved */
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

/** The decades that hold all there is. */
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

/** `1.00 ms` is 1 ms, and `2.50 MB` 2.5 MB. */
const mark = (line: Line, value: number): string =>
  line
    .format(value)
    .replace(/(\.\d*?)0+(?= |$)/, '$1')
    .replace(/\.(?= |$)/, '');

const stepsOf = ({ steps }: Line): { incrs?: number[] } => (steps ? { incrs: [...steps] } : {});

/** Of a series, the points that no line shows, because those beside them have no number. */
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
  // A name wider than its band would run into the next one.
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

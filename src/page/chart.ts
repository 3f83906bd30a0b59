/**
 * One chart: a figure with a title, a legend of text that says the numbers at the cursor, else the
 * latest, and a canvas of uPlot.
 *
 * Not here: which charts there are (`charts.ts`).
 */
import { ago, decades, marksOf, spanOf } from './axes.js';
import { element, setText } from './dom.js';
import * as format from './format.js';
import type { Series } from './frame.js';
import type { History } from './history.js';
import uPlot from './vendor/uplot.js';

export interface Line {
  readonly series: Series;
  readonly label: string;
  /** The name of a colour in `style.css`. */
  readonly colour: string;
  readonly format: (value: number) => string;
  /** On an axis of its own, as an area. */
  readonly right?: boolean;
}

export interface ChartOptions {
  readonly title: string;
  /** What it shows, in a sentence. */
  readonly means: string;
  readonly lines: readonly Line[];
  readonly wide?: boolean;
  /** The least and the most that a logarithmic axis shows. */
  readonly logarithmic?: readonly [number, number];
  /** How far the axis goes at least. */
  readonly least?: number;
  /** A line that should not be reached; drawn where it is near. */
  readonly limit?: { readonly value: number; readonly label: string };
}

const HEIGHT = 168;
const SYNC = 'live';
/** Where a cursor is not seen. */
const AWAY = -10;
/** Of the limit, from which on the axis shows it. */
const NEAR = 0.25;
/** Seconds that an arrow key moves the cursor. */
const STEP = 5;
const WHOLE_STEPS = Array.from({ length: 9 }, (_, i) =>
  [1, 2, 5].map((step) => step * 10 ** i),
).flat();

const colour = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name);
const time = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });

let figures = 0;

export class Chart {
  readonly figure: HTMLElement;
  readonly #options: ChartOptions;
  readonly #canvas = element('div', { class: 'canvas', tabindex: '0', role: 'img' });
  readonly #values: HTMLElement[];
  readonly #time = element('span', { class: 'time' });
  readonly #resized: ResizeObserver;
  #plot: uPlot | undefined;
  /** As they are, not as they can be drawn. */
  #columns: (readonly (number | null)[])[] = [];

  constructor(options: ChartOptions) {
    this.#options = options;
    this.#values = options.lines.map(() => element('b', {}, format.NONE));
    figures += 1;
    const title = `chart-${figures}`;
    this.#canvas.setAttribute('aria-labelledby', title);
    this.#canvas.setAttribute('aria-description', `${options.means} Arrow keys move the cursor.`);
    this.#canvas.addEventListener('keydown', (event) => this.#moved(event));
    this.#canvas.addEventListener('blur', () => pointAt(null));
    this.figure = element(
      'figure',
      options.wide === true ? { class: 'wide' } : {},
      element('figcaption', {}, element('h2', { id: title }, options.title), this.#time),
      element('ul', { class: 'legend' }, ...options.lines.map((line, i) => this.#entry(line, i))),
      this.#canvas,
      element('p', { class: 'means' }, options.means),
    );
    this.#resized = new ResizeObserver(() => {
      const { clientWidth } = this.#canvas;
      if (clientWidth > 0) this.#plot?.setSize({ width: clientWidth, height: HEIGHT });
    });
  }

  /** Draws it for the first time; its figure has to be on the page. */
  mount(): void {
    const width = Math.max(200, this.#canvas.clientWidth);
    this.#plot = new uPlot(
      this.#uplot(width),
      [[], ...this.#options.lines.map(() => [])],
      this.#canvas,
    );
    this.#resized.observe(this.#canvas);
  }

  draw(history: History): void {
    this.#columns = this.#options.lines.map(({ series }) => history.column(series));
    const data = [history.at, ...this.#columns.map((each) => this.#drawable(each))];
    // uPlot only reads what it is given.
    this.#plot?.setData(data as uPlot.AlignedData);
    this.#legend();
  }

  destroy(): void {
    this.#resized.disconnect();
    this.#plot?.destroy();
  }

  /** A logarithm has no zero. */
  #drawable(column: readonly (number | null)[]): readonly (number | null)[] {
    const lowest = this.#options.logarithmic?.[0];
    if (lowest === undefined) return column;
    return column.map((value) => (value === null ? null : Math.max(lowest, value)));
  }

  #entry({ label, colour: name }: Line, i: number): HTMLElement {
    const swatch = element('i', { class: `swatch ${name.slice(2)}` });
    return element('li', {}, swatch, `${label} `, this.#values[i] as HTMLElement);
  }

  /** Numbers at the cursor, else the latest. */
  #legend(): void {
    const plot = this.#plot;
    if (plot === undefined) return;
    const { idx } = plot.cursor;
    const at = idx ?? plot.data[0].length - 1;
    this.#options.lines.forEach((line, i) => {
      const value = this.#columns[i]?.[at];
      setText(this.#values[i] as HTMLElement, format.orNone(value, line.format));
    });
    const seconds = idx === null || idx === undefined ? undefined : plot.data[0][idx];
    setText(this.#time, seconds === undefined ? '' : time.format(seconds * 1000));
  }

  #moved(event: KeyboardEvent): void {
    const plot = this.#plot;
    const steps = { ArrowLeft: -STEP, ArrowRight: STEP }[event.key];
    if (plot === undefined || steps === undefined || plot.data[0].length === 0) return;
    event.preventDefault();
    const last = plot.data[0].length - 1;
    const index = Math.min(last, Math.max(0, (plot.cursor.idx ?? last) + steps));
    pointAt(plot.data[0][index] as number);
  }

  #uplot(width: number): uPlot.Options {
    const { lines, logarithmic, limit } = this.#options;
    const axis = {
      stroke: colour('--muted'),
      font: `11px ${colour('--font')}`,
      grid: { stroke: colour('--grid'), width: 1 },
      ticks: { show: false },
    };
    const left = lines.find((line) => line.right !== true) as Line;
    const right = lines.find((line) => line.right === true);
    return {
      width,
      height: HEIGHT,
      legend: { show: false },
      padding: [10, right ? 0 : 16, 0, 0],
      cursor: {
        sync: { key: SYNC, setSeries: false },
        drag: { x: false, y: false },
        points: { size: 5 },
        y: false,
      },
      scales: {
        x: {
          range: (plot) => {
            const { start, seconds } = spanOf(plot.data[0], plot.width);
            return [start, start + seconds];
          },
        },
        y: logarithmic
          ? { distr: 3, range: () => [...logarithmic] }
          : { range: (_, __, top) => this.#range(top) },
        ...(right
          ? {
              right: {
                range: (_: uPlot, __: number, top: number): uPlot.Range.MinMax => [
                  0,
                  Math.max(10, top * 1.1),
                ],
              },
            }
          : {}),
      },
      axes: [
        {
          ...axis,
          size: 28,
          gap: 9,
          splits: (plot) => marksOf(spanOf(plot.data[0], plot.width)),
          values: (plot, splits) => splits.map((at) => ago((plot.scales['x']?.max ?? 0) - at)),
        },
        {
          ...axis,
          size: 58,
          gap: 6,
          values: (_, splits) => splits.map(left.format),
          ...(logarithmic
            ? { splits: () => decades(logarithmic), filter: (_: uPlot, splits: number[]) => splits }
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
                values: (_: uPlot, splits: number[]) => splits.map(right.format),
                ...stepsOf(right),
              },
            ]
          : []),
      ],
      series: [
        {},
        ...lines.map((line): uPlot.Series => {
          const stroke = colour(line.colour);
          const points = { size: 4, fill: stroke, filter: alone };
          const base = { stroke, width: 1.5, points, spanGaps: false };
          if (line.right !== true) return base;
          const paths = uPlot.paths.stepped?.({ align: 1 });
          return {
            ...base,
            scale: 'right',
            width: 1,
            fill: colour('--slow-area'),
            ...(paths ? { paths } : {}),
          };
        }),
      ],
      hooks: {
        setCursor: [() => this.#legend()],
        ...(limit ? { draw: [(plot) => drawLimit(plot, limit)] } : {}),
      },
    };
  }

  #range(top: number | null): uPlot.Range.MinMax {
    const { least = 0, limit } = this.#options;
    const high = Math.max(least, (top ?? 0) * 1.15);
    return [
      0,
      limit !== undefined && high > limit.value * NEAR ? Math.max(high, limit.value * 1.08) : high,
    ];
  }
}

/** Where an axis may have its numbers: bytes at powers of two, what is counted at whole ones. */
function stepsOf(line: Line): { incrs?: number[] } {
  if (line.format === format.bytes) return { incrs: Array.from({ length: 44 }, (_, i) => 2 ** i) };
  if (line.format === format.count) return { incrs: WHOLE_STEPS };
  return {};
}

/** Of a series, the seconds that no line shows, because those beside them have no number. */
function alone(plot: uPlot, series: number): number[] {
  const column = plot.data[series] ?? [];
  const has = (i: number) => typeof column[i] === 'number';
  return [...column.keys()].filter((i) => has(i) && !has(i - 1) && !has(i + 1));
}

/** Puts the cursor of all charts on a time, in seconds since 1970, or takes it away. */
function pointAt(seconds: number | null): void {
  for (const plot of uPlot.sync(SYNC).plots) {
    const left = seconds === null ? AWAY : plot.valToPos(seconds, 'x');
    plot.setCursor({ left, top: seconds === null ? AWAY : HEIGHT / 2 });
  }
}

function drawLimit(plot: uPlot, { value, label: text }: { value: number; label: string }): void {
  const { ctx, bbox } = plot;
  const top = plot.scales['y']?.max ?? 0;
  if (value > top) return;
  const y = Math.round(plot.valToPos(value, 'y', true));
  ctx.save();
  ctx.strokeStyle = colour('--loss');
  ctx.fillStyle = colour('--loss');
  ctx.setLineDash([4, 4]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.font = `${11 * devicePixelRatio}px ${colour('--font')}`;
  ctx.textBaseline = 'bottom';
  ctx.fillText(text, bbox.left + 4, y - 2);
  ctx.restore();
}

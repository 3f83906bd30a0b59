/**
 * Line charts as HTML and SVG, drawn ahead: no script runs in the report. The SVG holds only shapes
 * and stretches with the page; all text is HTML, so that it keeps its size on any width.
 */

export interface Series {
  readonly name: string;
  /** CSS class of its colour: `c0`, `c1`, … */
  readonly colour: string;
  readonly dashed?: boolean;
  /** One value a point of x; null leaves a gap. */
  readonly values: readonly (number | null)[];
}

export interface Chart {
  readonly title: string;
  /** One sentence: what is shown and how to read it. */
  readonly caption: string;
  readonly x: {
    readonly values: readonly number[];
    readonly ticks: readonly { readonly at: number; readonly label: string }[];
    /** How a point is called in its tooltip. */
    label(index: number): string;
  };
  readonly y: { readonly scale: 'log' | 'linear'; format(value: number): string };
  readonly series: readonly Series[];
  /** Spans of x to shade, such as the slow phase. */
  readonly bands?: readonly {
    readonly from: number;
    readonly to: number;
    readonly label: string;
  }[];
}

const HEIGHT = 100;
const WIDTH = 1000;

/** Text made safe for HTML. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

/** A figure with the chart, or an empty text when no series has a value. */
export function drawChart(chart: Chart): string {
  const series = chart.series.filter(({ values }) => values.some((value) => value !== null));
  const known = series.flatMap(({ values }) => values.filter((value) => value !== null));
  if (known.length === 0) return '';
  const axis = chart.y.scale === 'log' ? logAxis(known) : linearAxis(known);
  const [first, last] = [chart.x.values[0] ?? 0, chart.x.values.at(-1) ?? 1];
  const x = (value: number): number => ((value - first) / (last - first || 1)) * WIDTH;
  const percent = (value: number): string => `${(x(value) / WIDTH) * 100}%`;
  const bands = (chart.bands ?? []).map(({ from, to, label }) => ({
    at: Math.max(0, x(from)),
    end: Math.min(WIDTH, x(to)),
    label,
  }));
  return `<figure class="chart">
<figcaption><strong>${escapeHtml(chart.title)}</strong> <span>${escapeHtml(chart.caption)}</span></figcaption>
<ul class="legend">${series.map(legend).join('')}</ul>
<div class="plot">
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="${escapeHtml(chart.title)}">
${bands.map(({ at, end }) => `<rect class="band" x="${at}" y="0" width="${end - at}" height="${HEIGHT}"/>`).join('')}
${axis.ticks.map((value) => `<line class="grid" x1="0" x2="${WIDTH}" y1="${axis.y(value)}" y2="${axis.y(value)}"/>`).join('')}
${series.map((each) => path(each, chart.x.values, x, axis.y)).join('\n')}
</svg>
${bands.map(({ at, end, label }) => `<span class="band-label" style="left:${at / 10}%;width:${(end - at) / 10}%">${escapeHtml(label)}</span>`).join('')}
${axis.ticks.map((value) => `<span class="y" style="top:${axis.y(value)}%">${escapeHtml(tick(chart.y.format(value)))}</span>`).join('')}
${chart.x.ticks.map(({ at, label }) => `<span class="x" style="left:${percent(at)}">${escapeHtml(label)}</span>`).join('')}
${zones(chart, series, x)}
</div>
</figure>`;
}

/** `1.00 ms` is 1 ms, and `2.50 MB` 2.5 MB. */
const tick = (text: string): string => text.replace(/(\.\d*?)0+(?= )/, '$1').replace('. ', ' ');

function legend({ name, colour, dashed }: Series): string {
  return `<li><i class="${colour}${dashed ? ' dashed' : ''}"></i>${escapeHtml(name)}</li>`;
}

function path(
  { values, colour, dashed }: Series,
  xs: readonly number[],
  x: (value: number) => number,
  y: (value: number) => number,
): string {
  let drawing = false;
  const steps = values.map((value, i) => {
    const step =
      value === null ? '' : `${drawing ? 'L' : 'M'}${round(x(xs[i]!))} ${round(y(value))}`;
    drawing = value !== null;
    return step;
  });
  return `<path class="${colour}${dashed ? ' dashed' : ''}" d="${steps.join('')}"/>`;
}

/** One upright strip a point of x, that shows the values there while pointed at. */
function zones({ x, y }: Chart, series: readonly Series[], at: (value: number) => number): string {
  return x.values
    .map((value, i) => {
      const middle = at(value);
      const left = i === 0 ? 0 : (middle + at(x.values[i - 1]!)) / 2;
      const right = i === x.values.length - 1 ? WIDTH : (middle + at(x.values[i + 1]!)) / 2;
      const rows = series.map(({ name, colour, values }) => {
        const shown = values[i] ?? null;
        return `<b><i class="${colour}"></i>${escapeHtml(name)}</b> ${shown === null ? '–' : escapeHtml(y.format(shown))}`;
      });
      const side = middle > WIDTH / 2 ? ' class="left"' : '';
      return `<div class="zone" style="left:${round(left / 10)}%;width:${round((right - left) / 10)}%"><p${side}>${escapeHtml(x.label(i))}<br>${rows.join('<br>')}</p></div>`;
    })
    .join('');
}

interface Axis {
  readonly ticks: number[];
  /** Place from the top, 0 to 100. */
  y(value: number): number;
}

function logAxis(values: readonly number[]): Axis {
  const positive = values.filter((value) => value > 0);
  const least = Math.min(...positive, 1e12);
  const low = Math.floor(Math.log10(least));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...positive, least))));
  const steps = high - low <= 2 ? [1, 2, 5] : [1];
  const ticks: number[] = [];
  for (let decade = low; decade < high; decade++) {
    for (const step of steps) ticks.push(step * 10 ** decade);
  }
  ticks.push(10 ** high);
  const place = (value: number): number =>
    HEIGHT * (1 - (Math.log10(Math.max(value, 10 ** low)) - low) / (high - low));
  return { ticks, y: place };
}

function linearAxis(values: readonly number[]): Axis {
  const most = Math.max(...values, 0);
  const step = niceStep(most / 4);
  const top = Math.max(step, Math.ceil(most / step) * step);
  const ticks = Array.from({ length: Math.round(top / step) + 1 }, (_, i) => i * step);
  return { ticks, y: (value) => HEIGHT * (1 - Math.max(0, value) / top) };
}

/** The next of 1, 2, 2.5 and 5 times a power of ten. */
export function niceStep(rough: number): number {
  if (rough <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const factor = [1, 2, 2.5, 5, 10].find((f) => f * power >= rough) ?? 10;
  return factor * power;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

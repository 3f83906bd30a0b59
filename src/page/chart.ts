/**
 * One chart, used by the live page, the reports of `roomcast load` and the dashboard preview: a figure
 * with a title, a text legend with the values at the cursor, and a plot.
 *
 * Not here: drawing (`plot.ts`), the definitions of charts (`charts.ts`, the report's own).
 */
import uPlot from 'uplot';
import { element, setText } from './dom.js';
import { NONE, orNone } from './format.js';
import { type ChartOptions, type Column, drawable, type Line, plotOptions } from './plot.js';

/** Cursor position outside the plot, which hides it. */
const AWAY = -10;
const NARROWEST = 200;

let figures = 0;

export class Chart {
  readonly figure: HTMLElement;
  readonly #options: ChartOptions;
  readonly #canvas = element('div', { class: 'canvas', tabindex: '0', role: 'img' });
  readonly #values: HTMLElement[];
  readonly #at = element('span', { class: 'at' });
  readonly #resized: ResizeObserver;
  readonly #scheme = matchMedia('(prefers-color-scheme: dark)');
  readonly #recoloured = (): void => this.#plot?.redraw(false);
  #plot: uPlot | undefined;
  /** The original values, before stacking and clamping. */
  #columns: readonly Column[] = [];

  constructor(options: ChartOptions) {
    this.#options = options;
    this.#values = options.lines.map(() => element('b', {}, options.latest === true ? NONE : ''));
    figures += 1;
    const title = `chart-${figures}`;
    this.#canvas.setAttribute('aria-labelledby', title);
    this.#canvas.setAttribute('aria-description', `${options.means} Arrow keys move the cursor.`);
    this.#canvas.addEventListener('keydown', (event) => this.#moved(event));
    this.#canvas.addEventListener('blur', () => this.#pointAt(null));
    this.figure = element(
      'figure',
      { class: options.wide === true ? 'chart wide' : 'chart' },
      element('figcaption', {}, element('h2', { id: title }, options.title), this.#at),
      element('ul', { class: 'legend' }, ...options.lines.map((line, i) => this.#entry(line, i))),
      this.#canvas,
      element('p', { class: 'means' }, options.means),
    );
    this.#resized = new ResizeObserver(() => {
      if (this.#canvas.clientWidth > 0) this.#plot?.setSize(this.#size());
    });
  }

  /** Creates the plot. The figure must be in the document. */
  mount(): void {
    const nothing: uPlot.AlignedData = [[], ...this.#options.lines.map(() => [])];
    const size = this.#size();
    this.#plot = new uPlot(
      { ...plotOptions(this.#options, () => this.#legend()), ...size },
      nothing,
      this.#canvas,
    );
    this.#resized.observe(this.#canvas);
    this.#scheme.addEventListener('change', this.#recoloured);
  }

  /**
   * @param x rising
   * @param columns one per line, as long as `x`
   */
  draw(x: readonly number[], columns: readonly Column[]): void {
    this.#columns = columns;
    // uPlot does not modify the arrays.
    this.#plot?.setData([x, ...drawable(columns, this.#options)] as uPlot.AlignedData);
    this.#legend();
  }

  destroy(): void {
    this.#resized.disconnect();
    this.#scheme.removeEventListener('change', this.#recoloured);
    this.#plot?.destroy();
  }

  #size(): { width: number; height: number } {
    const { clientWidth, clientHeight } = this.#canvas;
    return { width: Math.max(NARROWEST, clientWidth), height: clientHeight };
  }

  #entry({ label, colour, dashed }: Line, i: number): HTMLElement {
    const swatch = element('i', { class: dashed === true ? 'swatch dashed' : 'swatch' });
    swatch.style.setProperty('--colour', `var(${colour})`);
    return element('li', {}, swatch, `${label} `, this.#values[i] as HTMLElement);
  }

  /** Shows the values at the cursor; otherwise the latest, or none. */
  #legend(): void {
    const plot = this.#plot;
    if (plot === undefined) return;
    const { lines, latest, x } = this.#options;
    const index = plot.cursor.idx ?? undefined;
    const at = index ?? (latest === true ? plot.data[0].length - 1 : undefined);
    lines.forEach((line, i) => {
      const text = at === undefined ? '' : orNone(this.#columns[i]?.[at], line.format);
      setText(this.#values[i] as HTMLElement, text);
    });
    const value = index === undefined ? undefined : plot.data[0][index];
    setText(this.#at, value === undefined ? '' : x.label(value));
  }

  #moved(event: KeyboardEvent): void {
    const plot = this.#plot;
    const { step } = this.#options.x;
    const steps = { ArrowLeft: -step, ArrowRight: step }[event.key];
    if (plot === undefined || steps === undefined || plot.data[0].length === 0) return;
    event.preventDefault();
    const last = plot.data[0].length - 1;
    const { idx } = plot.cursor;
    // The first key press shows the cursor at the end.
    const index = typeof idx === 'number' ? Math.min(last, Math.max(0, idx + steps)) : last;
    this.#pointAt(plot.data[0][index] as number);
  }

  /** Moves the cursor of all charts that share it to a value of x; null hides it. */
  #pointAt(value: number | null): void {
    for (const plot of uPlot.sync(this.#options.sync).plots) {
      const left = value === null ? AWAY : plot.valToPos(value, 'x');
      plot.setCursor({ left, top: value === null ? AWAY : plot.height / 2 });
    }
  }
}

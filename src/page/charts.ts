/**
 * The charts of the live page: their content and colours. Each draws columns of the history over the
 * same 15 minutes. They share one cursor, which arrow keys move.
 *
 * Not here: a single chart (`chart.ts`).
 */
import { BINARY_STEPS, PAST, WHOLE_STEPS } from './axes.js';
import { Chart } from './chart.js';
import * as format from './format.js';
import type { Hello, Series } from './frame.js';
import type { History } from './history.js';
import type { ChartOptions, Line } from './plot.js';
import { TOO_LONG } from './sentence.js';

/** CSS custom properties in `style.css`. */
const COLOURS = ['--a', '--b', '--c', '--d'] as const;

/** Colour of each drop reason. */
const DROPS = [
  ['drop-oldest', '--loss'],
  ['drop-newest', '--d'],
  ['disconnect', '--muted'],
  ['conflated', '--conflated'],
] as const;

interface LiveLine extends Line {
  readonly series: Series;
}

type LiveOptions = Omit<ChartOptions, 'x' | 'sync' | 'lines'> & {
  readonly lines: readonly LiveLine[];
};

/** One line per lock class. */
const lockLines = (what: 'hold' | 'wait', locks: readonly string[]): LiveLine[] =>
  locks.map((lock, i) => ({
    series: `${what} ${lock}`,
    label: lock,
    colour: COLOURS[i % COLOURS.length] as string,
    format: format.duration,
  }));

export class Charts {
  readonly #parent: HTMLElement;
  #charts: { readonly chart: Chart; readonly series: readonly Series[] }[] = [];

  constructor(parent: HTMLElement) {
    this.#parent = parent;
  }

  /** Recreates the charts for a server with these locks and limits. */
  build(hello: Hello): void {
    for (const { chart } of this.#charts) chart.destroy();
    this.#charts = chartsOf(hello).map((options) => ({
      chart: new Chart({ ...options, x: PAST, sync: 'live', latest: true }),
      series: options.lines.map((line) => line.series),
    }));
    this.#parent.replaceChildren(...this.#charts.map(({ chart }) => chart.figure));
    for (const { chart } of this.#charts) chart.mount();
  }

  draw(history: History): void {
    for (const { chart, series } of this.#charts) {
      chart.draw(
        history.at,
        series.map((name) => history.column(name)),
      );
    }
  }
}

function chartsOf({ locks, queueLimitBytes, historyLimitBytes, has }: Hello): LiveOptions[] {
  return [
    ...standing(locks, queueLimitBytes),
    ...(has.history ? [READ_AGAIN] : []),
    ...(has.history && historyLimitBytes > 0 ? [kept(historyLimitBytes)] : []),
  ];
}

/** Shown if the server keeps a history. */
const READ_AGAIN: LiveOptions = {
  title: 'Replays',
  wide: true,
  means:
    'Messages per second that are replayed from the history to members that resume or request them, and the number of such members. Replays only use spare capacity and do not delay live deliveries.',
  lines: [
    {
      series: 'readAgainPerSecond',
      label: 'replayed',
      colour: '--healthy',
      format: format.rate,
    },
    {
      series: 'readingAgain',
      label: 'members in replay',
      colour: '--slow',
      format: format.count,
      steps: WHOLE_STEPS,
      right: true,
      area: true,
    },
  ],
  least: 10,
};

const kept = (limitBytes: number): LiveOptions => ({
  title: 'History',
  means:
    'Bytes of room history. At the limit, the room with the oldest last publish loses its history.',
  lines: [
    {
      series: 'historyBytes',
      label: 'kept',
      colour: '--healthy',
      format: format.bytes,
      steps: BINARY_STEPS,
    },
  ],
  limit: { value: limitBytes, label: `limit ${format.bytes(limitBytes)}` },
  least: 2 ** 20,
});

function standing(locks: readonly string[], queueLimitBytes: number): LiveOptions[] {
  return [
    {
      title: 'Healthy members, while others are slow',
      wide: true,
      means:
        'Blue: 99 of 100 deliveries to healthy members take at most this long. Amber: number of slow members. If the blue line stays flat while the amber one rises, the slow members do not delay the others.',
      lines: [
        {
          series: 'healthyP99',
          label: 'healthy p99',
          colour: '--healthy',
          format: format.duration,
        },
        {
          series: 'slowMembers',
          label: 'slow members',
          colour: '--slow',
          format: format.count,
          steps: WHOLE_STEPS,
          right: true,
          area: true,
        },
      ],
      // Scaled to the limit, so that noise of some milliseconds looks small.
      limit: { value: TOO_LONG, label: `too long: ${format.duration(TOO_LONG)}` },
      least: TOO_LONG,
    },
    {
      title: 'Delivery time, p99',
      means:
        'From the publish until the kernel accepts the write to one member. Logarithmic, up to 10 s.',
      lines: [
        { series: 'healthyP99', label: 'healthy', colour: '--healthy', format: format.duration },
        { series: 'slowP99', label: 'slow', colour: '--slow', format: format.duration },
      ],
      logarithmic: [1e-4, 10],
    },
    {
      title: 'Deliveries and drops',
      means:
        'Messages per second, counted per member; drops by policy. A conflated message was replaced by a newer one with the same key and is no loss.',
      lines: [
        {
          series: 'deliveredPerSecond',
          label: 'delivered',
          colour: '--healthy',
          format: format.rate,
        },
        ...DROPS.map(
          ([reason, colour]): LiveLine => ({
            series: `drop ${reason}`,
            label: reason,
            colour,
            format: format.rate,
          }),
        ),
      ],
      least: 10,
    },
    {
      title: 'Queue memory',
      means: 'Total of all members. At the limit, the members stalled longest are evicted.',
      lines: [
        {
          series: 'queueBytes',
          label: 'queued',
          colour: '--slow',
          format: format.bytes,
          steps: BINARY_STEPS,
        },
      ],
      limit: { value: queueLimitBytes, label: `limit ${format.bytes(queueLimitBytes)}` },
      least: 2 ** 20,
    },
    {
      title: 'Event loop delay',
      means: 'How late the event loop runs its tasks.',
      lines: [
        { series: 'loopMax', label: 'worst', colour: '--muted', format: format.duration },
        { series: 'loopP99', label: 'p99', colour: '--healthy', format: format.duration },
      ],
      least: 0.02,
    },
    {
      title: 'Lock holds, p99',
      means: 'How long each class of locks is held. Logarithmic.',
      lines: lockLines('hold', locks),
      logarithmic: [1e-6, 1],
    },
    {
      title: 'Lock waits, p99',
      means: 'How long tasks wait for a lock, including locks acquired at once. Logarithmic.',
      lines: lockLines('wait', locks),
      logarithmic: [1e-6, 1],
    },
    {
      title: 'Members',
      means: 'Connected members, and the slow ones among them.',
      lines: [
        {
          series: 'members',
          label: 'members',
          colour: '--healthy',
          format: format.count,
          steps: WHOLE_STEPS,
        },
        {
          series: 'slowMembers',
          label: 'slow',
          colour: '--slow',
          format: format.count,
          steps: WHOLE_STEPS,
        },
      ],
      least: 10,
    },
  ];
}

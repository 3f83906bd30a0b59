/**
 * The charts: which there are, what they show and in which colours. Each draws columns of the history
 * on the same 15 minutes; the cursor is in all of them at once, and arrow keys move it.
 *
 * Not here: one chart (`chart.ts`).
 */
import { BINARY_STEPS, PAST, WHOLE_STEPS } from './axes.js';
import { Chart } from './chart.js';
import * as format from './format.js';
import type { Hello, Series } from './frame.js';
import type { History } from './history.js';
import type { ChartOptions, Line } from './plot.js';
import { TOO_LONG } from './sentence.js';

/** Names of colours in `style.css`. */
const COLOURS = ['--a', '--b', '--c', '--d'] as const;

/** Each reason, in a colour that is not that of another. */
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

/** A short name of a lock: `members` for `room.members`. */
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

  /** Makes them anew: for a server with these locks and limits. */
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

/** Only where messages are kept. */
const READ_AGAIN: LiveOptions = {
  title: 'Read again',
  wide: true,
  means:
    'Messages of before a second, for members that have come back or have asked, and how many are on their way through them. They get what is left over: the lines of the living stay as they are.',
  lines: [
    {
      series: 'readAgainPerSecond',
      label: 'read again',
      colour: '--healthy',
      format: format.rate,
    },
    {
      series: 'readingAgain',
      label: 'on their way',
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
    'What rooms keep. At the limit the room that is longest without a publish loses its history.',
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
        'Blue: 99 of 100 deliveries to healthy members take at most this long. Amber: how many members are slow. A blue line that stays flat while the amber one climbs says that nobody waits for the slow ones.',
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
      // Against what would be too much, noise of some milliseconds looks as small as it is.
      limit: { value: TOO_LONG, label: `too long: ${format.duration(TOO_LONG)}` },
      least: TOO_LONG,
    },
    {
      title: 'Delivery time, p99',
      means: 'From a publish until the kernel has it for one member. Logarithmic, up to 10 s.',
      lines: [
        { series: 'healthyP99', label: 'healthy', colour: '--healthy', format: format.duration },
        { series: 'slowP99', label: 'slow', colour: '--slow', format: format.duration },
      ],
      logarithmic: [1e-4, 10],
    },
    {
      title: 'Deliveries and drops',
      means:
        'Messages a second, counted once for each member; drops by the policy that did it. A conflated one was replaced by a newer one of its key: no loss.',
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
      means: 'Of all members together. At the limit the longest stalled members are evicted.',
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
      means: 'How late the process is with everything it does.',
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
      means: 'How long it takes to get a lock, those had at once included. Logarithmic.',
      lines: lockLines('wait', locks),
      logarithmic: [1e-6, 1],
    },
    {
      title: 'Members',
      means: 'Connected, and of them slow.',
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

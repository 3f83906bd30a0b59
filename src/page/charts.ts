/**
 * The charts: which there are, what they show and in which colours. Each draws columns of the history
 * on the same 15 minutes; the cursor is in all of them at once, and arrow keys move it.
 *
 * Not here: how one chart is drawn (`chart.ts`).
 */
import { Chart, type Line } from './chart.js';
import * as format from './format.js';
import type { History } from './history.js';
import { TOO_LONG } from './sentence.js';

/** Names of colours in `style.css`. */
const COLOURS = ['--a', '--b', '--c', '--d'] as const;

/** A short name of a lock: `members` for `room.members`. */
const lockLines = (what: 'hold' | 'wait', locks: readonly string[]): Line[] =>
  locks.map((lock, i) => ({
    series: `${what} ${lock}`,
    label: lock,
    colour: COLOURS[i % COLOURS.length] as string,
    format: format.duration,
  }));

export class Charts {
  readonly #parent: HTMLElement;
  #charts: Chart[] = [];

  constructor(parent: HTMLElement) {
    this.#parent = parent;
  }

  /** Makes them anew: for a server with these locks and this limit, in the colours of now. */
  build(locks: readonly string[], queueLimitBytes: number): void {
    for (const chart of this.#charts) chart.destroy();
    this.#charts = [
      new Chart({
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
            right: true,
          },
        ],
        // Against what would be too much, noise of some milliseconds looks as small as it is.
        limit: { value: TOO_LONG, label: `too long: ${format.duration(TOO_LONG)}` },
        least: TOO_LONG,
      }),
      new Chart({
        title: 'Delivery time, p99',
        means: 'From a publish until the kernel has it for one member. Logarithmic, up to 10 s.',
        lines: [
          { series: 'healthyP99', label: 'healthy', colour: '--healthy', format: format.duration },
          { series: 'slowP99', label: 'slow', colour: '--slow', format: format.duration },
        ],
        logarithmic: [1e-4, 10],
      }),
      new Chart({
        title: 'Deliveries and drops',
        means: 'Messages a second, counted once for each member.',
        lines: [
          {
            series: 'deliveredPerSecond',
            label: 'delivered',
            colour: '--healthy',
            format: format.rate,
          },
          { series: 'droppedPerSecond', label: 'dropped', colour: '--loss', format: format.rate },
        ],
        least: 10,
      }),
      new Chart({
        title: 'Queue memory',
        means: 'Of all members together. At the limit the longest stalled members are evicted.',
        lines: [{ series: 'queueBytes', label: 'queued', colour: '--slow', format: format.bytes }],
        limit: { value: queueLimitBytes, label: `limit ${format.bytes(queueLimitBytes)}` },
        least: 2 ** 20,
      }),
      new Chart({
        title: 'Event loop delay',
        means: 'How late the process is with everything it does.',
        lines: [
          { series: 'loopMax', label: 'worst', colour: '--muted', format: format.duration },
          { series: 'loopP99', label: 'p99', colour: '--healthy', format: format.duration },
        ],
        least: 0.02,
      }),
      new Chart({
        title: 'Lock holds, p99',
        means: 'How long each class of locks is held. Logarithmic.',
        lines: lockLines('hold', locks),
        logarithmic: [1e-6, 1],
      }),
      new Chart({
        title: 'Lock waits, p99',
        means: 'How long it takes to get a lock, those had at once included. Logarithmic.',
        lines: lockLines('wait', locks),
        logarithmic: [1e-6, 1],
      }),
      new Chart({
        title: 'Members',
        means: 'Connected, and of them slow.',
        lines: [
          { series: 'members', label: 'members', colour: '--healthy', format: format.count },
          { series: 'slowMembers', label: 'slow', colour: '--slow', format: format.count },
        ],
        least: 10,
      }),
    ];
    this.#parent.replaceChildren(...this.#charts.map((chart) => chart.figure));
    for (const chart of this.#charts) chart.mount();
  }

  draw(history: History): void {
    for (const chart of this.#charts) chart.draw(history);
  }
}

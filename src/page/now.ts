/**
 * The summary sentence and the tiles: the values of this second and the worst of the last minute. Not
 * here: lists, charts.
 */
import { byId, element, setText } from './dom.js';
import * as format from './format.js';
import type { Hello, Series } from './frame.js';
import { type Read, sentence, TOO_LONG } from './sentence.js';

const QUEUE_SHARE = 0.8;
const HISTORY_SHARE = 0.9;

interface Tile {
  readonly label: string;
  /** Text of the value. */
  readonly value: (read: Read, hello: Hello) => string;
  /** Text that puts the value into context. */
  readonly beside: (read: Read, hello: Hello) => string;
  /** Series whose worst value of the last minute is shown. */
  readonly worst?: { readonly series: Series; readonly format: (value: number) => string };
  /** Whether the server has this feature. */
  readonly when?: (hello: Hello) => boolean;
  readonly isBad?: (read: Read, hello: Hello) => boolean;
}

const TILES: readonly Tile[] = [
  {
    label: 'Members',
    value: (read) => format.orNone(read('members'), format.count),
    beside: (read) => `in ${format.plural(read('rooms') ?? 0, 'room')}`,
  },
  {
    label: 'Slow members',
    value: (read) => format.orNone(read('slowMembers'), format.count),
    beside: (read) => {
      const members = read('members') ?? 0;
      return members === 0
        ? 'of none'
        : `${format.percent((read('slowMembers') ?? 0) / members)} of all`;
    },
    worst: { series: 'slowMembers', format: format.count },
  },
  {
    label: 'Healthy p99',
    value: (read) => format.orNone(read('healthyP99'), format.duration),
    beside: (read) => `p50 ${format.orNone(read('healthyP50'), format.duration)}`,
    worst: { series: 'healthyP99', format: format.duration },
    isBad: (read) => (read('healthyP99') ?? 0) > TOO_LONG,
  },
  {
    label: 'Deliveries',
    value: (read) => format.orNone(read('deliveredPerSecond'), format.rate),
    beside: (read) => `${format.orNone(read('publishedPerSecond'), format.rate)} published`,
  },
  {
    label: 'Drops',
    value: (read) => format.orNone(read('droppedPerSecond'), format.rate),
    beside: (read) => `${format.orNone(read('evictedPerSecond'), format.rate)} evicted`,
    worst: { series: 'droppedPerSecond', format: format.rate },
  },
  {
    label: 'Queue memory',
    value: (read) => format.orNone(read('queueBytes'), format.bytes),
    beside: (_, hello) => `of ${format.bytes(hello.queueLimitBytes)}`,
    worst: { series: 'queueBytes', format: format.bytes },
    isBad: (read, hello) => (read('queueBytes') ?? 0) > hello.queueLimitBytes * QUEUE_SHARE,
  },
  {
    label: 'Event loop p99',
    value: (read) => format.orNone(read('loopP99'), format.duration),
    beside: (read) => `${format.percent(read('cpu') ?? 0)} of a core`,
    worst: { series: 'loopP99', format: format.duration },
    isBad: (read) => (read('loopP99') ?? 0) > TOO_LONG,
  },
  {
    label: 'Users',
    when: ({ has }) => has.users || has.presence,
    value: (read) => format.orNone(read('users'), format.count),
    beside: (read) => `${format.orNone(read('watchers'), format.count)} watch presence`,
  },
  {
    label: 'Replayed',
    when: ({ has }) => has.history,
    value: (read) => format.orNone(read('readAgainPerSecond'), format.rate),
    beside: (read) =>
      `${format.orNone(read('recoveriesPerSecond'), format.rate)} recoveries, ${format.orNone(read('readingAgain'), format.count)} in progress`,
    worst: { series: 'readAgainPerSecond', format: format.rate },
  },
  {
    label: 'History',
    when: ({ has, historyLimitBytes }) => has.history && historyLimitBytes > 0,
    value: (read) => format.orNone(read('historyBytes'), format.bytes),
    beside: (_, hello) => `of ${format.bytes(hello.historyLimitBytes)}`,
    worst: { series: 'historyBytes', format: format.bytes },
    isBad: (read, hello) => (read('historyBytes') ?? 0) > hello.historyLimitBytes * HISTORY_SHARE,
  },
];

export class Now {
  readonly #sentence = byId('sentence', HTMLElement);
  readonly #tiles = TILES.map((tile) => {
    const value = element('dd', { class: 'value' }, format.NONE);
    const beside = element('dd', { class: 'beside' }, '\u00a0');
    const worst = element('dd', { class: 'beside' }, '\u00a0');
    return {
      tile,
      value,
      beside,
      worst,
      box: element('div', {}, element('dt', {}, tile.label), value, beside, worst),
    };
  });

  /** Shows the tiles of the features that the server has. */
  build(hello: Hello): void {
    const shown = this.#tiles.filter(({ tile }) => tile.when?.(hello) ?? true);
    const tiles = byId('tiles', HTMLElement);
    tiles.replaceChildren(...shown.map(({ box }) => box));
    tiles.dataset['count'] = String(shown.length);
  }

  /** `worstOf` reads the worst value of the last minute. */
  numbers(read: Read, worstOf: Read, hello: Hello): void {
    for (const { tile, value, beside, worst, box } of this.#tiles) {
      setText(value, tile.value(read, hello));
      setText(beside, tile.beside(read, hello));
      if (tile.worst !== undefined) {
        const { series, format: written } = tile.worst;
        setText(worst, `last minute up to ${format.orNone(worstOf(series), written)}`);
      }
      box.classList.toggle('bad', tile.isBad?.(read, hello) ?? false);
    }
    setText(this.#sentence, sentence(read));
  }
}

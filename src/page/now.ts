/** The sentence, the numbers and the lists of this second. Not here: charts, chat. */
import { byId, element, setText } from './dom.js';
import * as format from './format.js';
import type { Hello, MemberLine, RoomLine, Second } from './frame.js';
import { type Read, sentence, TOO_LONG } from './sentence.js';

const QUEUE_SHARE = 0.8;

interface Tile {
  readonly label: string;
  /** The number. */
  readonly value: (read: Read, hello: Hello) => string;
  /** What it is to be seen against. */
  readonly beside: (read: Read, hello: Hello) => string;
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
  },
  {
    label: 'Healthy p99',
    value: (read) => format.orNone(read('healthyP99'), format.duration),
    beside: (read) => `p50 ${format.orNone(read('healthyP50'), format.duration)}`,
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
  },
  {
    label: 'Queue memory',
    value: (read) => format.orNone(read('queueBytes'), format.bytes),
    beside: (_, hello) => `of ${format.bytes(hello.queueLimitBytes)}`,
    isBad: (read, hello) => (read('queueBytes') ?? 0) > hello.queueLimitBytes * QUEUE_SHARE,
  },
  {
    label: 'Event loop p99',
    value: (read) => format.orNone(read('loopP99'), format.duration),
    beside: (read) => `${format.percent(read('cpu') ?? 0)} of a core`,
    isBad: (read) => (read('loopP99') ?? 0) > TOO_LONG,
  },
];

export class Now {
  readonly #sentence = byId('sentence', HTMLElement);
  readonly #members = byId('members', HTMLTableSectionElement);
  readonly #membersTotal = byId('members-total', HTMLElement);
  readonly #rooms = byId('rooms', HTMLTableSectionElement);
  readonly #roomsTotal = byId('rooms-total', HTMLElement);
  readonly #tiles = TILES.map((tile) => {
    const value = element('dd', { class: 'value' }, format.NONE);
    const beside = element('dd', { class: 'beside' }, '\u00a0');
    return {
      tile,
      value,
      beside,
      box: element('div', {}, element('dt', {}, tile.label), value, beside),
    };
  });

  constructor() {
    byId('tiles', HTMLElement).replaceChildren(...this.#tiles.map(({ box }) => box));
  }

  numbers(read: Read, hello: Hello): void {
    for (const { tile, value, beside, box } of this.#tiles) {
      setText(value, tile.value(read, hello));
      setText(beside, tile.beside(read, hello));
      box.classList.toggle('bad', tile.isBad?.(read, hello) ?? false);
    }
    setText(this.#sentence, sentence(read));
  }

  lists({ members, rooms }: Second): void {
    setText(this.#membersTotal, ofTotal(members.list.length, members.total));
    fill(this.#members, members.list.map(memberRow), 'Nobody is connected.');
    setText(this.#roomsTotal, ofTotal(rooms.list.length, rooms.total));
    fill(this.#rooms, rooms.list.map(roomRow), 'There are no rooms.');
  }
}

const ofTotal = (shown: number, total: number): string =>
  shown < total ? `${shown} of ${format.count(total)}` : format.count(total);

function fill(body: HTMLTableSectionElement, rows: HTMLTableRowElement[], nothing: string): void {
  if (rows.length === 0) {
    const columns = body.parentElement?.querySelectorAll('th').length ?? 1;
    rows = [
      element('tr', {}, element('td', { colspan: String(columns), class: 'nothing' }, nothing)),
    ];
  }
  body.replaceChildren(...rows);
}

function memberRow({ id, health, lagMs, queued, transport, address, rooms }: MemberLine) {
  return element(
    'tr',
    {},
    element('td', {}, element('code', {}, id)),
    element('td', {}, element('span', { class: `health ${health}` }, health)),
    element('td', { class: 'number' }, format.duration(lagMs / 1000)),
    element('td', { class: 'number' }, format.count(queued.messages)),
    element('td', { class: 'number' }, format.bytes(queued.bytes)),
    element('td', { class: 'number less' }, format.count(rooms)),
    element('td', { class: 'less' }, transport),
    element('td', { class: 'less' }, address),
  );
}

function roomRow({ room, members, seq }: RoomLine) {
  return element(
    'tr',
    {},
    element('td', {}, element('code', {}, room)),
    element('td', { class: 'number' }, format.count(members)),
    element('td', { class: 'number' }, seq.toLocaleString('en-US')),
  );
}

/**
 * The table of workers with the broker state of each. Shown if there are several workers or the broker
 * is on a network. Not here: their totals (`now.ts`).
 */
import { byId, element, setText } from './dom.js';
import * as format from './format.js';
import type { Hello, Second, WorkerLine } from './frame.js';

const COLOURS = { up: 'healthy', suspended: 'lagging', down: 'shedding' } as const;

export class Workers {
  readonly #section = byId('workers-section', HTMLElement);
  readonly #rows = byId('workers', HTMLTableSectionElement);
  readonly #total = byId('workers-total', HTMLElement);

  show({ workers }: Second, { has }: Hello): void {
    this.#section.hidden = workers.length < 2 && !has.network;
    const missing = workers.filter(({ broker }) => broker === null).length;
    setText(this.#total, missing === 0 ? format.count(workers.length) : `${missing} missing`);
    this.#rows.replaceChildren(...workers.map((each) => row(each, has.network)));
  }
}

function row({ slot, pid, members, rooms, broker }: WorkerLine, isOnNetwork: boolean) {
  const colour = broker === null ? 'shedding' : COLOURS[broker];
  const word = broker === null ? 'missing' : isOnNetwork ? `broker ${broker}` : 'serves';
  return element(
    'tr',
    {},
    element('th', { scope: 'row' }, String(slot)),
    element('td', {}, element('span', { class: `health ${colour}` }, word)),
    ...[members, rooms].map((value) =>
      element('td', { class: 'number' }, format.orNone(value, format.count)),
    ),
    element('td', { class: 'number' }, pid === null ? format.NONE : String(pid)),
  );
}

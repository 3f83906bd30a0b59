/**
 * The table of servers that share rooms over a network broker. Not here: the workers of this server
 * (`workers.ts`).
 */
import { byId, element, setText } from './dom.js';
import * as format from './format.js';
import type { Hello, Second, ServerLine } from './frame.js';

export class Servers {
  readonly #section = byId('servers-section', HTMLElement);
  readonly #rows = byId('servers', HTMLTableSectionElement);
  readonly #total = byId('servers-total', HTMLElement);

  show({ servers }: Second, { has }: Hello): void {
    this.#section.hidden = !has.network;
    const missing = servers?.filter(({ workers }) => workers === 0).length ?? 0;
    const total = missing === 0 ? format.count(servers?.length ?? 0) : `${missing} missing`;
    setText(this.#total, servers === null ? 'unknown: the broker cannot be reached' : total);
    this.#rows.replaceChildren(...(servers ?? []).map(row));
  }
}

function row({ server, workers, missing, members, version, upMs, heardMs }: ServerLine) {
  const [colour, word] =
    workers === 0
      ? ['shedding', `missing for ${format.duration(heardMs / 1e3)}`]
      : missing > 0
        ? ['lagging', `${missing} of ${workers + missing} missing`]
        : ['healthy', 'serves'];
  const numbers = [
    workers === 0 ? format.NONE : format.count(workers),
    workers === 0 ? format.NONE : format.count(members),
    upMs === null ? format.NONE : format.duration(upMs / 1e3),
  ];
  return element(
    'tr',
    {},
    element('th', { scope: 'row' }, server),
    element('td', {}, element('span', { class: `health ${colour}` }, word)),
    ...numbers.map((text) => element('td', { class: 'number' }, text)),
    element('td', {}, version),
  );
}

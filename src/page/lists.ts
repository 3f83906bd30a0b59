/**
 * The lists of members and rooms. By default they show the members with the highest lag and the largest
 * rooms, as sent every second. Searches and other orders query the API, which returns up to 1,000 of
 * each.
 *
 * Not here: the details of one entry (`detail.ts`).
 */
import type { Detail } from './detail.js';
import { byId, element, setText } from './dom.js';
import * as format from './format.js';
import type { Hello, MemberLine, RoomLine, Second } from './frame.js';
import { ask } from './key.js';

/** Maximum number of entries that the API returns. */
const MOST = 1000;
/** Maximum number of entries shown. */
const SHOWN = 50;

export class Lists {
  readonly #detail: Detail;
  readonly #members = byId('members', HTMLTableSectionElement);
  readonly #membersTotal = byId('members-total', HTMLElement);
  readonly #rooms = byId('rooms', HTMLTableSectionElement);
  readonly #roomsTotal = byId('rooms-total', HTMLElement);
  readonly #idle = byId('idle', HTMLElement);
  readonly #find = byId('find', HTMLInputElement);
  readonly #sort = byId('sort', HTMLSelectElement);
  readonly #state = byId('find-state', HTMLElement);
  #latest: Second | undefined;
  #isAsking = false;

  constructor(detail: Detail) {
    this.#detail = detail;
    describe();
    byId('find-form', HTMLFormElement).addEventListener('submit', (event) =>
      event.preventDefault(),
    );
    for (const field of [this.#find, this.#sort]) {
      field.addEventListener('input', () => this.#latest && this.show(this.#latest));
    }
  }

  /** Adapts the lists to the server's features. */
  build({ has }: Hello): void {
    document.body.classList.toggle('with-users', has.users);
    this.#detail.build(has);
  }

  show(second: Second): void {
    this.#latest = second;
    this.#idle.hidden = second.members.total > 0;
    this.#detail.refresh();
    if (this.#query !== '' || this.#sort.value !== 'lag') void this.#search();
    else {
      setText(this.#state, '');
      this.#fill(second.members.list, second.members.total, second.rooms.list, second.rooms.total);
    }
  }

  get #query(): string {
    return this.#find.value.trim().toLowerCase();
  }

  /** Runs one search at a time; the next second searches again. */
  async #search(): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      const [members, rooms] = await Promise.all([
        ask<{ total: number; members: MemberLine[] }>(
          `v1/members?sort=${this.#sort.value}&limit=${MOST}`,
        ),
        ask<{ total: number; rooms: RoomLine[] }>(`v1/rooms?limit=${MOST}`),
      ]);
      const query = this.#query;
      const has = (...texts: string[]) => texts.some((text) => text.toLowerCase().includes(query));
      const found = {
        members: members.members.filter(({ id, user, address, transport }) =>
          has(id, user ?? '', address, transport),
        ),
        rooms: rooms.rooms.filter(({ room }) => has(room)),
      };
      setText(
        this.#state,
        members.total > MOST || rooms.total > MOST ? `among the first ${format.count(MOST)}` : '',
      );
      this.#fill(
        found.members.slice(0, SHOWN),
        found.members.length,
        found.rooms.slice(0, SHOWN),
        found.rooms.length,
      );
    } catch {
      setText(this.#state, 'The server did not answer this search.');
    } finally {
      this.#isAsking = false;
    }
  }

  #fill(
    members: readonly MemberLine[],
    membersTotal: number,
    rooms: readonly RoomLine[],
    roomsTotal: number,
  ): void {
    const isSearch = this.#query !== '';
    setText(this.#membersTotal, ofTotal(members.length, membersTotal));
    fill(
      this.#members,
      members.map((each) => this.#memberRow(each)),
      isSearch ? 'No member matches.' : 'No members are connected.',
    );
    setText(this.#roomsTotal, ofTotal(rooms.length, roomsTotal));
    fill(
      this.#rooms,
      rooms.map((each) => this.#roomRow(each)),
      isSearch ? 'No room matches.' : 'There are no rooms.',
    );
  }

  #memberRow({ id, user, health, lagMs, queued, transport, address, rooms }: MemberLine) {
    return element(
      'tr',
      {},
      element(
        'td',
        {},
        openButton(id, () => this.#detail.member(id)),
      ),
      element('td', { class: 'user' }, user ?? format.NONE),
      element('td', {}, element('span', { class: `health ${health}` }, health)),
      element('td', { class: 'number' }, format.duration(lagMs / 1000)),
      element('td', { class: 'number' }, format.count(queued.messages)),
      element('td', { class: 'number less' }, format.bytes(queued.bytes)),
      element('td', { class: 'number less' }, format.count(rooms)),
      element('td', { class: 'less' }, transport),
      element('td', { class: 'less' }, address),
    );
  }

  #roomRow({ room, members, seq }: RoomLine) {
    return element(
      'tr',
      {},
      element(
        'td',
        {},
        openButton(room, () => this.#detail.room(room)),
      ),
      element('td', { class: 'number' }, format.count(members)),
      element('td', { class: 'number' }, seq.toLocaleString('en-US')),
    );
  }
}

/** Fills in the example commands with the address of this page. */
function describe(): void {
  const url = new URL('ws', document.baseURI);
  url.protocol = url.protocol.replace('http', 'ws');
  const publish = new URL('v1/rooms/chat:lobby/messages', document.baseURI);
  setText(
    byId('idle-browser', HTMLElement),
    `const socket = new WebSocket('${url}');
socket.onmessage = ({ data }) => console.log(data);
socket.onopen = () => socket.send('{"type":"join","room":"chat:lobby"}');`,
  );
  setText(
    byId('idle-terminal', HTMLElement),
    `npx wscat -c ${url}
{"type":"join","room":"chat:lobby"}
{"type":"publish","room":"chat:lobby","data":"hello"}

curl ${publish} -H 'content-type: application/json' -d '{"data":"hello"}'`,
  );
}

function openButton(text: string, open: () => void): HTMLButtonElement {
  const button = element('button', { type: 'button', class: 'open' }, text);
  button.addEventListener('click', open);
  return button;
}

const ofTotal = (shown: number, total: number): string =>
  shown < total ? `${shown} of ${format.count(total)}` : format.count(total);

/** Does not replace the rows while one of them has the focus. */
function fill(body: HTMLTableSectionElement, rows: HTMLTableRowElement[], nothing: string): void {
  if (body.contains(document.activeElement)) return;
  if (rows.length === 0) {
    const columns = body.parentElement?.querySelectorAll('th').length ?? 1;
    rows = [
      element('tr', {}, element('td', { colspan: String(columns), class: 'nothing' }, nothing)),
    ];
  }
  body.replaceChildren(...rows);
}

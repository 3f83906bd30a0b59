/** The details of one member or room, fetched from the API every second while open. */
import { byId, element, setText } from './dom.js';
import * as format from './format.js';
import type { Hello, MemberLine, RoomLine } from './frame.js';
import { ask, call } from './key.js';

interface MemberDetails extends MemberLine {
  readonly connectedAt: number;
  readonly rttMs: number | null;
  readonly joined: readonly string[];
}

interface Presence {
  readonly counts: {
    readonly users: number;
    readonly connections: number;
    readonly anonymous: number;
  };
  readonly users: readonly { readonly user: string; readonly connections: number }[];
}

/** Maximum number of names listed. */
const SHOWN = 100;

export class Detail {
  readonly #section = byId('detail', HTMLElement);
  readonly #title = byId('detail-title', HTMLElement);
  readonly #body = byId('detail-body', HTMLElement);
  readonly #question = byId('end-question', HTMLElement);
  readonly #end = byId('end-member', HTMLButtonElement);
  readonly #no = byId('end-no', HTMLButtonElement);
  /** The open entry. */
  #open: Open | null = null;
  #has: Hello['has'] = { users: false, presence: false, history: false, network: false };
  /** Whether the confirmation question is shown. */
  #isAsked = false;

  constructor() {
    byId('detail-close', HTMLButtonElement).addEventListener('click', () => {
      this.#open = null;
      this.#section.hidden = true;
    });
    this.#end.addEventListener('click', () => void this.#endMember());
    this.#no.addEventListener('click', () => {
      this.#ask(false);
      this.#end.focus();
    });
  }

  /** Adapts the details to the server's features. */
  build(has: Hello['has']): void {
    this.#has = has;
  }

  member(id: string): void {
    void this.#show({
      title: `Member ${id}`,
      member: id,
      fields: async () => {
        const member = await ask<MemberDetails>(`v1/members/${encodeURIComponent(id)}`);
        const { health, lagMs, queued, transport, address, connectedAt, rttMs, joined } = member;
        return [
          ...field(this.#has.users, 'User', member.user ?? 'anonymous'),
          ['Health', health],
          ['Lag', format.duration(lagMs / 1000)],
          ['Queued', `${format.count(queued.messages)}, ${format.bytes(queued.bytes)}`],
          ['Round trip', rttMs === null ? format.NONE : format.duration(rttMs / 1000)],
          ['Connected', new Date(connectedAt).toLocaleString('en-GB')],
          ['From', `${address}, ${transport}`],
          ['Rooms', namesOf(joined, joined.length)],
        ];
      },
    });
  }

  room(name: string): void {
    void this.#show({
      title: `Room ${name}`,
      member: null,
      fields: async () => {
        const [room, list, here] = await Promise.all([
          ask<RoomLine & { epoch: string; oldest?: number | null }>(
            `v1/rooms/${encodeURIComponent(name)}`,
          ),
          ask<{ members: MemberLine[] }>(
            `v1/members?room=${encodeURIComponent(name)}&sort=lag&limit=${SHOWN}`,
          ),
          this.#presence(name),
        ]);
        const slow = list.members.filter(({ health }) => health !== 'healthy');
        return [
          ['Members', format.count(room.members)],
          ['Messages', `${room.seq.toLocaleString('en-US')}, in epoch ${room.epoch}`],
          ...field(
            this.#has.history,
            'History',
            typeof room.oldest === 'number' && room.oldest <= room.seq
              ? `from ${room.oldest.toLocaleString('en-US')}`
              : 'empty',
          ),
          ...field(here !== null, 'Users', here === null ? '' : usersOf(here)),
          [
            'Slow',
            slow.length === 0
              ? 'none'
              : namesOf(
                  slow.map(({ id }) => id),
                  slow.length,
                ),
          ],
          [
            'Ids',
            namesOf(
              list.members.map(({ id }) => id),
              room.members,
            ),
          ],
        ];
      },
    });
  }

  /** Called every second. */
  refresh(): void {
    if (this.#open !== null) void this.#fill();
  }

  /** Null if the room has no presence. */
  async #presence(room: string): Promise<Presence | null> {
    if (!this.#has.presence) return null;
    return ask<Presence>(`v1/rooms/${encodeURIComponent(room)}/presence?limit=${SHOWN}`).catch(
      () => null,
    );
  }

  async #show(open: Open): Promise<void> {
    this.#open = open;
    this.#ask(false);
    await this.#fill();
    this.#section.hidden = false;
    this.#section.focus();
    this.#section.scrollIntoView({ block: 'nearest' });
  }

  /** Shows or hides the confirmation question. */
  #ask(isAsked: boolean): void {
    this.#isAsked = isAsked;
    this.#question.hidden = !isAsked;
    this.#no.hidden = !isAsked;
    setText(
      this.#question,
      isAsked ? 'End this connection? Its client is told not to reconnect (4003).' : '',
    );
    setText(this.#end, isAsked ? 'Yes, end it' : 'End this connection');
  }

  async #endMember(): Promise<void> {
    const member = this.#open?.member ?? null;
    if (member === null) return;
    if (!this.#isAsked) {
      this.#ask(true);
      return;
    }
    try {
      await call('DELETE', `v1/members/${encodeURIComponent(member)}`);
      this.#ask(false);
      this.#section.focus();
      await this.#fill();
    } catch (error) {
      setText(this.#question, (error as Error).message);
    }
  }

  async #fill(): Promise<void> {
    const open = this.#open;
    if (open === null) return;
    let isFound = true;
    const fields = await open.fields().catch((error: Error): [string, string][] => {
      isFound = false;
      return [['Gone', error.message]];
    });
    // Another entry was opened meanwhile.
    if (this.#open !== open) return;
    // No extra check: the API allows both reading and closing, or neither.
    this.#end.hidden = !isFound || open.member === null;
    if (this.#end.hidden) this.#ask(false);
    setText(this.#title, open.title);
    const rows = fields.flatMap(([name, value]) => [
      element('dt', {}, name),
      element('dd', {}, value),
    ]);
    this.#body.replaceChildren(element('dl', {}, ...rows));
  }
}

interface Open {
  readonly title: string;
  fields(): Promise<[string, string][]>;
  readonly member: string | null;
}

/** A row, if it applies. */
const field = (isShown: boolean, name: string, value: string): [string, string][] =>
  isShown ? [[name, value]] : [];

/** A user without connections is in its linger. */
function usersOf({ counts, users }: Presence): string {
  const names = users.map(({ user, connections }) =>
    connections === 0 ? `${user} (disconnected)` : user,
  );
  const nobody =
    counts.anonymous > 0 ? `, and ${format.count(counts.anonymous)} without a user` : '';
  return namesOf(names, counts.users) + nobody;
}

const namesOf = (names: readonly string[], total: number): string =>
  names.length === 0
    ? format.NONE
    : names.slice(0, SHOWN).join(', ') +
      (total > SHOWN ? `, and ${format.count(total - SHOWN)} more` : '');

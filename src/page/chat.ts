/**
 * The chat of the live page: an ordinary member that joins a room with the public client. The log is
 * bounded. Received data is only ever inserted as text.
 *
 * Not here: connections and rejoining (`client/`), the numbers of the server (`stream.ts`).
 */
import {
  type Client,
  type ClientEvents,
  connect,
  type Message,
  type Room,
  type RoomEvents,
} from '../../client/src/index.js';
import { byId, element, setText } from './dom.js';
import * as format from './format.js';

/** Maximum number of lines in the log. */
const LINES = 200;
/** Maximum length of a shown message, in characters. */
const SHOWN = 300;

const time = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });

export class Chat {
  readonly #joinForm = byId('join', HTMLFormElement);
  readonly #name = byId('room', HTMLInputElement);
  readonly #sayForm = byId('say', HTMLFormElement);
  readonly #text = byId('text', HTMLInputElement);
  readonly #send = byId('send', HTMLButtonElement);
  readonly #log = byId('log', HTMLOListElement);
  readonly #state = byId('chat-state', HTMLElement);
  /** Created at the first join, dropped when the server closes it permanently. */
  #client: Client | undefined;
  #room: Room<unknown> | undefined;
  /** Removes the listeners of the room. */
  #listening = new AbortController();

  constructor() {
    this.#joinForm.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#join(this.#name.value.trim());
    });
    this.#sayForm.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#say(this.#text.value.trim());
    });
  }

  #join(name: string): void {
    if (name === '' || (name === this.#room?.name && this.#room.state !== 'failed')) return;
    this.#listening.abort();
    this.#room?.leave();
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    this.#client ??= this.#connect();
    const room = this.#client.room(name);
    this.#room = room;
    this.#set();
    room.on('joined', (event) => this.#joined(room.name, event), { signal });
    room.on('message', (message) => this.#message(message), { signal });
    room.on('gap', ({ count, reason }) => this.#gap(room.name, count, reason), { signal });
    room.on('left', ({ error }) => this.#left(error?.message), { signal });
    room.join();
  }

  #say(text: string): void {
    if (text === '' || this.#room?.state !== 'joined') return;
    this.#room.publish({ text }).catch(({ message }) => this.#note(message, 'problem'));
    this.#text.value = '';
  }

  #connect(): Client {
    // Relative to this page, so that it also works behind a proxy with a path prefix.
    const url = new URL('ws', document.baseURI);
    url.protocol = url.protocol.replace('http', 'ws');
    const client = connect(url);
    client.on('state', (event) => this.#changed(event));
    client.on('health', ({ state }) => {
      if (state !== 'healthy') this.#note(`The server reports this tab as ${state}.`);
    });
    client.on('error', ({ message }) => this.#note(message, 'problem'));
    setText(this.#state, 'connecting …');
    return client;
  }

  #changed({ state, reason }: ClientEvents['state']): void {
    if (state === 'connecting') setText(this.#state, 'connecting …');
    if (!reason) return;
    if (reason.message !== '') {
      this.#note(`The server closes the connection: ${reason.message}`, 'problem');
    }
    this.#set();
    if (state === 'closed') {
      this.#client = this.#room = undefined;
      setText(this.#state, 'closed by the server; join again to reconnect');
    } else setText(this.#state, 'connection lost; retrying …');
  }

  #joined(room: string, { members, missed }: RoomEvents<unknown>['joined']): void {
    this.#set(room, members);
    this.#note(`You are in ${room}, with ${format.plural(members - 1, 'other')}.`);
    if (missed) this.#note(`${format.plural(missed, 'message')} published meanwhile.`);
  }

  #gap(room: string, count: number | null, reason: string): void {
    const what = count === null ? 'Messages' : format.plural(count, 'message');
    this.#note(`${what} of ${room} missing: ${reason}.`);
  }

  #left(why: string | undefined): void {
    this.#set();
    if (why !== undefined) this.#note(why, 'problem');
  }

  #set(room = '', members = 0): void {
    this.#text.disabled = room === '';
    this.#send.disabled = room === '';
    setText(
      this.#state,
      room === ''
        ? 'not in a room'
        : `in ${room}, ${format.plural(members, 'member')} when you joined`,
    );
  }

  #message({ from, at, own, data }: Message<unknown>): void {
    const who = own ? 'you' : (from ?? 'HTTP API');
    this.#line(
      {},
      element('time', {}, time.format(at)),
      ' ',
      element('b', own ? { class: 'self' } : {}, who),
      ' ',
      textOf(data),
    );
  }

  #note(text: string, kind = 'note'): void {
    this.#line({ class: kind }, text);
  }

  #line(attributes: Record<string, string>, ...content: (Node | string)[]): void {
    const log = this.#log;
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 24;
    log.append(element('li', attributes, ...content));
    while (log.childElementCount > LINES) log.firstElementChild?.remove();
    if (atEnd) log.scrollTop = log.scrollHeight;
  }
}

/** Text of a message: its `text` field if it has one, otherwise its JSON. */
function textOf(data: unknown): string {
  if (typeof data === 'string') return data.slice(0, SHOWN);
  const { text } = (data ?? {}) as { text?: unknown };
  return (typeof text === 'string' ? text : JSON.stringify(data)).slice(0, SHOWN);
}

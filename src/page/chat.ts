/**
 * A member like any other: joins a room over protocol v1 and talks. What it shows is bounded, and
 * what it is told by others is text to it, whatever it says.
 *
 * Not here: the numbers of the server (`stream.ts`).
 */
import type { Event } from '../protocol/events.js';
import { byId, element, setText } from './dom.js';
import * as format from './format.js';

/** As it comes over the wire: `data` is any JSON. */
interface Message {
  readonly type: 'message';
  readonly room: string;
  readonly seq: number;
  readonly from: string | null;
  readonly at: number;
  readonly data: unknown;
}

/** Lines that are kept. */
const LINES = 200;
/** Of a message that is not a text. */
const SHOWN = 300;
const RETRY_MS = [500, 1000, 2000, 5000] as const;
/** The range of close codes after which coming back is no use. */
const FINAL = [4000, 4099] as const;

const time = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });

export class Chat {
  readonly #joinForm = byId('join', HTMLFormElement);
  readonly #room = byId('room', HTMLInputElement);
  readonly #sayForm = byId('say', HTMLFormElement);
  readonly #text = byId('text', HTMLInputElement);
  readonly #send = byId('send', HTMLButtonElement);
  readonly #log = byId('log', HTMLOListElement);
  readonly #state = byId('chat-state', HTMLElement);
  #socket: WebSocket | undefined;
  #self = '';
  /** The room that is wanted, joined or not yet. */
  #wanted = '';
  #joined = '';
  #attempts = 0;
  #retryAfterMs = 0;

  constructor() {
    this.#joinForm.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#join(this.#room.value.trim());
    });
    this.#sayForm.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#say(this.#text.value.trim());
    });
  }

  #join(room: string): void {
    if (room === '' || room === this.#joined) return;
    const before = this.#joined;
    this.#wanted = room;
    if (this.#socket?.readyState !== WebSocket.OPEN) {
      if (this.#socket === undefined) this.#connect();
      return;
    }
    if (before !== '') this.#command({ type: 'leave', room: before });
    this.#set('');
    this.#command({ type: 'join', id: room, room });
  }

  #say(text: string): void {
    if (text === '' || this.#joined === '') return;
    this.#command({ type: 'publish', room: this.#joined, data: { text } });
    this.#text.value = '';
  }

  #connect(): void {
    // Beside this page, wherever a proxy has put it.
    const url = new URL('ws', document.baseURI);
    url.protocol = url.protocol.replace('http', 'ws');
    const socket = new WebSocket(url);
    this.#socket = socket;
    setText(this.#state, 'connecting …');
    socket.addEventListener('message', (event) => this.#received(JSON.parse(event.data as string)));
    socket.addEventListener('close', ({ code }) => this.#closed(code));
  }

  #closed(code: number): void {
    this.#socket = undefined;
    this.#set('');
    if (code >= FINAL[0] && code <= FINAL[1]) {
      setText(this.#state, 'closed by the server; join again to come back');
      return;
    }
    const wait = RETRY_MS[Math.min(this.#attempts, RETRY_MS.length - 1)] as number;
    this.#attempts += 1;
    setText(this.#state, 'connection lost; trying again …');
    setTimeout(() => this.#connect(), Math.max(wait, this.#retryAfterMs));
    this.#retryAfterMs = 0;
  }

  #command(command: object): void {
    this.#socket?.send(JSON.stringify(command));
  }

  #received(event: Event | Message): void {
    switch (event.type) {
      case 'welcome':
        this.#self = event.member;
        this.#attempts = 0;
        this.#command({ type: 'join', id: this.#wanted, room: this.#wanted });
        return;
      case 'joined':
        // Answers come in order; one may be to a room that is not wanted any more.
        if (event.room !== this.#wanted) return;
        this.#set(event.room, event.members);
        this.#note(`You are in ${event.room}, with ${format.plural(event.members - 1, 'other')}.`);
        return;
      case 'message':
        this.#message(event);
        return;
      case 'gap':
        this.#note(
          `${format.plural(event.count, 'message')} of ${event.room} did not come: ${event.reason}.`,
        );
        return;
      case 'health':
        if (event.state !== 'healthy') this.#note(`The server finds this tab ${event.state}.`);
        return;
      case 'error':
        this.#note(event.message, 'problem');
        return;
      case 'closing':
        this.#retryAfterMs = event.retryAfterMs ?? 0;
        this.#note(`The server closes the connection: ${event.reason}`, 'problem');
        return;
      default:
    }
  }

  #set(room: string, members = 0): void {
    this.#joined = room;
    this.#text.disabled = room === '';
    this.#send.disabled = room === '';
    setText(
      this.#state,
      room === ''
        ? 'not in a room'
        : `in ${room}, ${format.plural(members, 'member')} when you came`,
    );
  }

  #message({ from, at, data }: Message): void {
    const who = from === this.#self ? 'you' : (from ?? 'HTTP API');
    this.#line(
      {},
      element('time', {}, time.format(at)),
      ' ',
      element('b', from === this.#self ? { class: 'self' } : {}, who),
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

/** What a message says: its `text`, where it has one, else its JSON. */
function textOf(data: unknown): string {
  if (typeof data === 'string') return data.slice(0, SHOWN);
  const { text } = (data ?? {}) as { text?: unknown };
  return (typeof text === 'string' ? text : JSON.stringify(data)).slice(0, SHOWN);
}

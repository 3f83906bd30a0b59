/**
 * A member over a real WebSocket that only keeps the log for an account. It reconnects with its
 * positions when told to, as a client does.
 */
import { WebSocket } from 'ws';
import type { Position } from '../../src/protocol/events.js';
import type { MemberLog, Told } from './accounting.js';
import type { Received } from './fake-transport.js';
import { Signal } from './signal.js';

/** Delay before a refused join is retried, in milliseconds. */
const AGAIN_MS = 200;

export class LoggingMember {
  readonly logs: (MemberLog & { told: Told[]; endedAt: number | null })[];
  /** Broker states it received, in order. */
  readonly notices: string[] = [];
  readonly #rooms: readonly string[];
  readonly #changed = new Signal();
  /** Its latest position, by room. */
  readonly #positions = new Map<string, Position>();
  /** Rooms requested on this connection, and the position sent with each. */
  #since = new Map<string, Position | undefined>();
  #socket: WebSocket;
  isClosed = false;

  constructor(url: string, name: string, rooms: readonly string[]) {
    this.#rooms = rooms;
    this.logs = rooms.map((room) => ({ name, room, told: [], endedAt: null }));
    this.#socket = this.#connect(url);
  }

  /** Resolves once it is in all its rooms, or closed. */
  async joined(): Promise<void> {
    await this.until(() => this.#since.size === 0);
  }

  /** Resolves when the condition holds, or it is closed. */
  async until(condition: () => boolean): Promise<void> {
    await this.#changed.until(() => this.isClosed || condition());
  }

  /** Reconnects and resumes from its positions. */
  comeBack(url: string): void {
    this.#socket.terminate();
    this.isClosed = false;
    for (const log of this.logs) log.endedAt = null;
    this.#socket = this.#connect(url);
  }

  /** Reads nothing until `resume`. */
  stall(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.terminate();
  }

  #connect(url: string): WebSocket {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`);
    this.#since = new Map(this.#rooms.map((room) => [room, this.#positions.get(room)]));
    socket.on('open', () => {
      for (const room of this.#rooms) this.#join(socket, room);
    });
    socket.on('message', (text) => {
      if (socket === this.#socket) this.#read(JSON.parse(String(text)) as Received);
    });
    // A connection reset is an expected end.
    socket.on('error', () => {});
    socket.on('close', () => {
      if (socket !== this.#socket) return;
      this.isClosed = true;
      for (const log of this.logs) log.endedAt ??= performance.now();
      this.#changed.fire();
    });
    return socket;
  }

  #join(socket: WebSocket, room: string): void {
    if (socket.readyState !== WebSocket.OPEN) return;
    const since = this.#since.get(room);
    socket.send(JSON.stringify({ type: 'join', id: room, room, since }));
  }

  #read(event: Received): void {
    if (event.type === 'broker') this.notices.push(event.state);
    if (event.type === 'error' && this.#since.has(String(event.id))) {
      const socket = this.#socket;
      setTimeout(() => this.#join(socket, String(event.id)), AGAIN_MS);
    }
    if ('room' in event) this.#told(event);
    this.#changed.fire();
  }

  #told(event: Received & { readonly room: string }): void {
    const { room } = event;
    const log = this.logs.find((each) => each.room === room);
    const before = this.#positions.get(room);
    const note = (told: Told, position: Position) => {
      log?.told.push(told);
      this.#positions.set(room, position);
    };
    const at = performance.now();
    if (event.type === 'joined') {
      const position = { epoch: event.epoch, seq: event.seq };
      const since = this.#since.get(room);
      this.#since.delete(room);
      const result = event.recover?.result;
      if (since === undefined) note({ type: 'joined', at, position }, position);
      else if (result === 'complete' || result === 'partial') {
        note({ type: 'rejoined', at, since, position }, since);
      } else note({ type: 'reset', at, position, was: since }, position);
    } else if (event.type === 'message') {
      const place = { epoch: before?.epoch ?? '', seq: event.seq };
      // The broker's publish time: it may be read much later.
      const published = event.at - performance.timeOrigin;
      const payload = JSON.stringify(idOf(event.data));
      note({ type: 'message', at: published, place, payload }, place);
    } else if (event.type === 'gap') {
      const { from, to } = event;
      note({ type: 'gap', at, from, to }, { epoch: before?.epoch ?? '', seq: to });
    } else if (event.type === 'reset') {
      const position = { epoch: event.epoch, seq: event.seq };
      note({ type: 'reset', at, position, was: event.was }, position);
    }
  }
}

/** The first word of a payload identifies it; the rest is padding. */
const idOf = (data: unknown) =>
  typeof data === 'string' ? (data.split(' ', 1)[0] as string) : data;

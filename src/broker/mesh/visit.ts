/**
 * A `Visit` is this worker's end of the link to another worker, which owns the rooms of one slot. A
 * slot outlives its worker: when that ends, this connects to its successor.
 *
 * Not here: pending requests (`asked.ts`), the rooms opened over the link (`visited.ts`).
 */
import { connect, type Socket } from 'node:net';
import { Refusal, type RefusalCode } from '../../errors.js';
import { survived } from '../../survived.js';
import { clearTimeout, setTimeout } from '../../time.js';
import type { Payload, Position, PublishOptions } from '../broker.js';
import { Asked, unanswered, uncertain } from './asked.js';
import { toMachine } from './clock.js';
import { type FrameReader, KIND, VERSION } from './frames.js';
import type { Question } from './host.js';
import { Link } from './link.js';
import { type RoomEvents, VisitedRooms } from './visited.js';

/** Approximate bytes of a publish besides its data. */
const ENVELOPE_BYTES = 500;
const QUESTION_BYTES = 200;
const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 500;
/** Time for a worker being replaced to answer the requests sent to it, in milliseconds. */
const HANDOVER_MS = 1000;

export interface VisitEvents extends RoomEvents {
  /** A new link is up, or a full one has drained: see `tell`. */
  up(): void;
  drained(): void;
}

export class Visit {
  readonly #events: VisitEvents;
  readonly #name: string;
  readonly #rooms: VisitedRooms;
  readonly #asked = new Asked(() => this.#leaveIfDone());
  #path = '';
  /** Connecting socket. */
  #attempt: Socket | null = null;
  #link: Link | null = null;
  /** The worker is being replaced: nothing more is sent to it. */
  #isMoving = false;
  #moved: NodeJS.Timeout | undefined;
  #pause = FIRST_PAUSE_MS;
  #retry: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** `name`: identifies this worker to the other worker's board. */
  constructor(events: VisitEvents, name: string) {
    this.#events = events;
    this.#name = name;
    this.#rooms = new VisitedRooms(events);
  }

  get isUp(): boolean {
    return this.#link !== null && !this.#isMoving;
  }

  /** Bytes waiting to be sent. */
  get bytes(): number {
    return this.#asked.bytes + (this.#link?.bytes ?? 0);
  }

  isLive(room: string): boolean {
    return this.isUp && this.#rooms.isLive(room);
  }

  /**
   * The worker of the slot listens at this path from now on. Requests sent to its predecessor are
   * answered by that, if it still lives, before anything is sent to the new one, so that order is kept.
   */
  moveTo(path: string): void {
    if (path === this.#path) return;
    this.#path = path;
    this.#pause = FIRST_PAUSE_MS;
    if (this.#link === null) {
      this.#connect();
      return;
    }
    this.#isMoving = true;
    this.#rooms.hold();
    this.#asked.sendTo(null);
    // A second move may follow before the first is complete.
    clearTimeout(this.#moved);
    this.#moved = setTimeout(() => this.#link?.destroy(), HANDOVER_MS);
    this.#leaveIfDone();
  }

  /** Sends a text of `board.ts`. Returns false if the link cannot take it now. */
  tell(text: string): boolean {
    const link = this.#link;
    if (link === null || this.#isMoving || link.isFull) return false;
    link.begin(KIND.board).rest(text).end();
    return true;
  }

  publish(name: string, payload: Payload, { deadline, uid }: PublishOptions): Promise<Position> {
    return this.#asked.ask<Position>({
      deadline,
      // Bytes are only bounded while the request cannot be sent.
      bytes: this.isUp ? 0 : Buffer.byteLength(payload.data) + ENVELOPE_BYTES,
      send: (link, id) => {
        const frame = link.begin(KIND.publish).u32(id).f64(toMachine(deadline));
        const number = this.#rooms.numberOf(name);
        frame.u32(number);
        if (number === 0) frame.text(name);
        if (uid === undefined) frame.byte(0);
        else frame.byte(1).text(uid);
        frame.payload(payload).end();
      },
      unknown: uncertain,
    });
  }

  ask(question: Question, signal: AbortSignal): Promise<unknown> {
    return this.#asked.ask({
      deadline: Number.POSITIVE_INFINITY,
      signal,
      bytes: QUESTION_BYTES,
      send: (link, id) => link.begin(KIND.ask).u32(id).rest(JSON.stringify(question)).end(),
      unknown: unanswered,
    });
  }

  subscribe(room: string, signal: AbortSignal, since?: Position): Position | Promise<Position> {
    return this.#rooms.subscribe(room, signal, since);
  }

  unsubscribe(room: string): void {
    this.#rooms.unsubscribe(room);
  }

  /** Resolves when every sent request is settled. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#asked.close();
    clearTimeout(this.#retry);
    clearTimeout(this.#moved);
    this.#attempt?.destroy();
    this.#link?.end();
    this.#link = null;
    this.#rooms.clear();
  }

  #connect(): void {
    clearTimeout(this.#retry);
    if (this.#isClosed) return;
    // A pending connect to the previous path is obsolete.
    this.#attempt?.destroy();
    const socket = connect(this.#path);
    this.#attempt = socket;
    const failed = survived(() => {
      if (this.#attempt === socket) this.#again();
    });
    socket.on('error', failed);
    socket.once(
      'connect',
      survived(() => {
        socket.off('error', failed);
        this.#attempt = null;
        this.#up(socket);
      }),
    );
  }

  #up(socket: Socket): void {
    const link: Link = new Link(socket, {
      // A replaced link may still deliver frames.
      frame: (kind, reader) => {
        if (this.#link === link) this.#frame(kind, reader);
      },
      drained: () => this.#events.drained(),
      ended: () => {
        if (this.#link !== link) return;
        this.#down();
        if (!this.#isClosed) this.#again();
      },
    });
    this.#link = link;
    this.#pause = FIRST_PAUSE_MS;
    link.begin(KIND.hello).u32(VERSION).end();
    link.begin(KIND.board).rest(this.#name).end();
    this.#rooms.up(link);
    this.#asked.sendTo(link);
    this.#events.up();
  }

  #down(): void {
    this.#link = null;
    this.#isMoving = false;
    clearTimeout(this.#moved);
    this.#rooms.down();
    this.#asked.sendTo(null);
    this.#asked.lost('the worker that orders this room has ended');
  }

  /** Retries later. If the worker is being replaced, `moveTo` brings the new path. */
  #again(): void {
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#connect(), this.#pause);
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS);
  }

  #leaveIfDone(): void {
    if (!this.#isMoving || this.#asked.hasSent) return;
    const link = this.#link;
    this.#down();
    link?.end();
    this.#connect();
  }

  #frame(kind: number, reader: FrameReader): void {
    const number = reader.u32();
    switch (kind) {
      case KIND.accepted:
        this.#asked.resolve(number, reader.position());
        return;
      case KIND.refused: {
        const code = reader.text() as RefusalCode;
        this.#asked.reject(number, new Refusal(code, reader.rest()));
        return;
      }
      case KIND.answer: {
        const isDone = reader.byte() === 1;
        const value: unknown = JSON.parse(reader.rest());
        if (isDone) {
          this.#asked.resolve(number, value);
          return;
        }
        const { code, message } = value as Refusal;
        this.#asked.reject(number, new Refusal(code, message));
        return;
      }
    }
    this.#rooms.frame(number, kind, reader);
  }
}

/**
 * This worker's end of the link to another one, which owns the rooms of a slot, and what it has opened
 * there. A slot outlives the worker in it: when one ends, the next is asked for every room from where this
 * one is, so that what is missing comes, or is told (V21).
 *
 * Not here: what waits for an answer (`asked.ts`).
 */
import { connect, type Socket } from 'node:net';
import { Refusal, type RefusalCode } from '../../errors.js';
import { survived } from '../../survived.js';
import { clearTimeout, setTimeout } from '../../time.js';
import type { LossReason, Payload, Position, Publication, PublishOptions } from '../broker.js';
import { Asked, unanswered, uncertain } from './asked.js';
import { toMachine } from './clock.js';
import { type FrameReader, KIND, VERSION } from './frames.js';
import type { Question } from './host.js';
import { Link } from './link.js';

/** Of what goes with the data of a publish, about. */
const ENVELOPE_BYTES = 500;
const QUESTION_BYTES = 200;
const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 500;
/** How long a worker that is being replaced may take to answer what it was sent. */
const HANDOVER_MS = 1000;

const REASONS: readonly LossReason[] = ['broker', 'node'];

export interface VisitEvents {
  deliver(publication: Publication): void;
  lost(room: string, to: number, reason: LossReason): void;
  reset(room: string, position: Position, was: Position): void;
  /** There is a new link, or one that takes something again: see `tell`. */
  up(): void;
  drained(): void;
}

interface Visited {
  readonly name: string;
  /** On the present link. */
  number: number;
  /** Of what was delivered or told last; null before the first answer. */
  known: Position | null;
  isOpen: boolean;
  readonly waits: Set<{ resolve(position: Position): void; reject(error: unknown): void }>;
}

export class Visit {
  readonly #events: VisitEvents;
  readonly #name: string;
  readonly #rooms = new Map<string, Visited>();
  readonly #byNumber = new Map<number, Visited>();
  readonly #asked = new Asked(() => this.#leaveIfDone());
  #numbers = 0;
  #path = '';
  /** On its way to be a link. */
  #attempt: Socket | null = null;
  #link: Link | null = null;
  /** The worker there is being replaced: nothing more is sent to it. */
  #isMoving = false;
  #moved: NodeJS.Timeout | undefined;
  #pause = FIRST_PAUSE_MS;
  #retry: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** `name`: what the board of the other worker is told of who this one is. */
  constructor(events: VisitEvents, name: string) {
    this.#events = events;
    this.#name = name;
  }

  get isUp(): boolean {
    return this.#link !== null && !this.#isMoving;
  }

  /** Bytes that wait to be sent. */
  get bytes(): number {
    return this.#asked.bytes + (this.#link?.bytes ?? 0);
  }

  isLive(room: string): boolean {
    return this.isUp && (this.#rooms.get(room)?.isOpen ?? true);
  }

  /**
   * The worker of the slot is at this path from now on. What was sent to the one before is answered by
   * that one, if it still lives, before anything is sent to the new one, so that order is kept.
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
    this.#asked.sendTo(null);
    this.#moved = setTimeout(() => this.#link?.destroy(), HANDOVER_MS);
    this.#leaveIfDone();
  }

  /** Who is where, as `board.ts` has it. False where nothing more can be sent now. */
  tell(text: string): boolean {
    const link = this.#link;
    if (link === null || this.#isMoving || link.isFull) return false;
    link.begin(KIND.board).rest(text).end();
    return true;
  }

  publish(name: string, payload: Payload, { deadline, uid }: PublishOptions): Promise<Position> {
    return this.#asked.ask<Position>({
      deadline,
      // Of bytes there is a bound only while it cannot be sent.
      bytes: this.isUp ? 0 : Buffer.byteLength(payload.data) + ENVELOPE_BYTES,
      send: (link, id) => {
        const frame = link.begin(KIND.publish).u32(id).f64(toMachine(deadline));
        const room = this.#rooms.get(name);
        // The owner knows it by that while it is open.
        if (room?.isOpen) frame.u32(room.number);
        else frame.u32(0).text(name);
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

  subscribe(name: string, signal: AbortSignal, since?: Position): Position | Promise<Position> {
    let room = this.#rooms.get(name);
    if (room !== undefined && since === undefined && room.isOpen && room.known !== null) {
      return room.known;
    }
    if (room === undefined) {
      room = { name, number: 0, known: since ?? null, isOpen: false, waits: new Set() };
      this.#rooms.set(name, room);
      this.#open(room);
    } else if (since !== undefined) {
      this.#close(room);
      room.known = since;
      this.#open(room);
    }
    const { waits } = room;
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        waits.delete(wait);
        if (waits.size === 0 && room.known === null) this.unsubscribe(name);
        reject(signal.reason);
      };
      const wait = {
        resolve(position: Position) {
          signal.removeEventListener('abort', giveUp);
          resolve(position);
        },
        reject,
      };
      waits.add(wait);
      signal.addEventListener('abort', giveUp, { once: true });
    });
  }

  unsubscribe(name: string): void {
    const room = this.#rooms.get(name);
    if (room === undefined) return;
    this.#rooms.delete(name);
    this.#close(room);
  }

  /** Resolves when what was sent is answered, or will not be. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#asked.close();
    clearTimeout(this.#retry);
    clearTimeout(this.#moved);
    this.#attempt?.destroy();
    this.#link?.end();
    this.#link = null;
    this.#rooms.clear();
    this.#byNumber.clear();
  }

  #open(room: Visited): void {
    const link = this.#link;
    if (link === null || this.#isMoving) return;
    this.#numbers = (this.#numbers + 1) >>> 0;
    room.number = this.#numbers;
    this.#byNumber.set(room.number, room);
    const frame = link.begin(KIND.open).u32(room.number).text(room.name);
    if (room.known === null) frame.byte(0).end();
    else frame.byte(1).position(room.known).end();
  }

  #close(room: Visited): void {
    room.isOpen = false;
    if (!this.#byNumber.delete(room.number)) return;
    this.#link?.begin(KIND.close).u32(room.number).end();
  }

  #connect(): void {
    clearTimeout(this.#retry);
    if (this.#isClosed) return;
    // One to where a worker was before comes too late.
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
      // One that was left may still say something.
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
    for (const room of this.#rooms.values()) this.#open(room);
    this.#asked.sendTo(link);
    this.#events.up();
  }

  #down(): void {
    this.#link = null;
    this.#isMoving = false;
    clearTimeout(this.#moved);
    this.#byNumber.clear();
    for (const room of this.#rooms.values()) room.isOpen = false;
    this.#asked.sendTo(null);
    this.#asked.lost('the worker that orders this room has ended');
  }

  /** The worker there may be about to be replaced: then the new one is told by `moveTo`. */
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
    // It may be on its way while this worker lets go of the room.
    const room = this.#byNumber.get(number);
    if (room !== undefined) this.#tell(room, kind, reader);
  }

  #tell(room: Visited, kind: number, reader: FrameReader): void {
    const { name, known } = room;
    switch (kind) {
      case KIND.opened: {
        const position = reader.position();
        room.isOpen = true;
        room.known ??= position;
        for (const { resolve } of room.waits) resolve(position);
        room.waits.clear();
        return;
      }
      case KIND.notOpened: {
        const refusal = new Refusal(reader.text() as RefusalCode, reader.rest());
        this.#byNumber.delete(room.number);
        // Something of it may have come before.
        room.isOpen = false;
        for (const { reject } of room.waits) reject(refusal);
        const isWanted = known !== null;
        room.waits.clear();
        if (!isWanted) this.#rooms.delete(name);
        // Members are in it: it is asked for again until it is there.
        else setTimeout(() => this.#openAgain(room), LONGEST_PAUSE_MS).unref();
        return;
      }
      case KIND.message: {
        const publication = reader.publication(name, (known as Position).epoch);
        const { seq, epoch } = publication;
        room.known = { seq, epoch };
        this.#events.deliver(publication);
        return;
      }
      case KIND.lost: {
        const to = reader.f64();
        const reason = REASONS[reader.byte()] ?? 'broker';
        room.known = { seq: to, epoch: (known as Position).epoch };
        this.#events.lost(name, to, reason);
        return;
      }
      case KIND.reset: {
        const position = reader.position();
        const was = reader.position();
        room.known = position;
        this.#events.reset(name, position, was);
        return;
      }
    }
  }

  #openAgain(room: Visited): void {
    if (this.#isClosed || room.isOpen || this.#rooms.get(room.name) !== room) return;
    if (!this.#byNumber.has(room.number)) this.#open(room);
  }
}

/**
 * Connects a protocol to a transport: one connection, as members and publishers use it (`Link`) and as
 * the protocol sees it (`Connection`). Finds the stamp of a message at its last known position, and limits
 * errors of a protocol or a server to this connection (V11). Not here: any protocol.
 */
import { LoadError } from '../error.js';
import type { Range } from '../measure/backfill.js';
import type { Connection, Frame, Position, Protocol } from '../protocol.js';
import { STAMP_LENGTH, type Stamps } from '../stamp.js';
import type { Wire, WireEvents } from '../wire/wire.js';
import type { Link, Sink } from './target.js';

/** Characters of an invalid frame that error messages show. */
const SHOWN = 60;

/** A received frame does not follow the protocol: the server's fault, not the protocol file's. */
export class ProtocolViolation extends Error {}

class WireFrame implements Frame {
  buf: Buffer = Buffer.alloc(0);
  start = 0;
  end = 0;

  text(): string {
    return this.buf.toString('utf8', this.start, this.end);
  }

  json(text = this.text()): unknown {
    try {
      return JSON.parse(text);
    } catch {
      const shown = text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
      throw new ProtocolViolation(`sent a frame that is not JSON: ${JSON.stringify(shown)}`);
    }
  }
}

export class ProtocolLink implements Link, WireEvents, Connection<unknown> {
  readonly state: unknown;
  readonly #protocol: Protocol<unknown>;
  readonly #sink: Sink;
  readonly #stamps: Stamps;
  readonly #onFault: (fault: LoadError) => void;
  readonly #wire: Wire;
  readonly #frame = new WireFrame();
  #stampFromEnd = 0;
  #reason = '';
  #heartbeat: NodeJS.Timeout | undefined;

  /** @param onFault called when the protocol itself is at fault (`bad_protocol`) */
  constructor(
    protocol: Protocol<unknown>,
    sink: Sink,
    stamps: Stamps,
    openWire: (events: WireEvents) => Wire,
    onFault: (fault: LoadError) => void,
  ) {
    this.#protocol = protocol;
    this.#sink = sink;
    this.#stamps = stamps;
    this.#onFault = onFault;
    this.state = this.#carryOut(() => protocol.state?.());
    this.#wire = openWire(this);
  }

  // ── Link ──

  join(room: string, since?: Position): void {
    this.#carryOut(() => this.#protocol.join(this, room, since));
  }

  leave(room: string): boolean {
    if (!this.#protocol.leave) return false;
    this.#carryOut(() => this.#protocol.leave?.(this, room));
    return true;
  }

  publish(room: string, data: Buffer, confirm: boolean): void {
    this.#carryOut(() => this.#protocol.publish(this, room, data.toString('latin1'), confirm));
  }

  backfill(room: string, from: number, to: number): void {
    this.#carryOut(() => this.#protocol.backfill?.(this, room, from, to));
  }

  get backlog(): number {
    return this.#wire.backlog;
  }

  pause(): void {
    this.#wire.pause();
  }

  resume(): void {
    this.#wire.resume();
  }

  probe(): void {
    this.#wire.probe();
  }

  close(): void {
    this.#wire.close();
  }

  reset(): void {
    this.#wire.reset();
  }

  // ── WireEvents ──

  chunk(bytes: number, now: number): void {
    this.#sink.chunk(bytes, now);
  }

  open(): void {
    const { heartbeatMs } = this.#protocol;
    if (heartbeatMs !== undefined && this.#protocol.heartbeat) {
      this.#heartbeat = setInterval(
        () => this.#carryOut(() => this.#protocol.heartbeat?.(this)),
        heartbeatMs,
      );
    }
    this.#carryOut(() => this.#protocol.open(this));
  }

  payload(buf: Buffer, start: number, end: number): void {
    const frame = this.#frame;
    frame.buf = buf;
    frame.start = start;
    frame.end = end;
    try {
      this.#protocol.decode(this, frame);
    } catch (error) {
      this.#fail(error);
    }
  }

  closed(reason: string): void {
    clearInterval(this.#heartbeat);
    this.#sink.closed(this.#reason || reason);
  }

  // ── Connection ──

  send(frame: string | Uint8Array): void {
    if (typeof frame === 'string') this.#wire.send(Buffer.from(frame));
    else if (frame instanceof Uint8Array) this.#wire.send(frame);
    else throw misuse('send', frame, 'a text or bytes');
  }

  ready(): void {
    this.#sink.open();
  }

  joined(room: string, seq = -1, epoch = '', continues = false): void {
    const name = asText('joined', room);
    this.#sink.joined(name, asNumber('joined', seq), asText('joined', epoch), continues);
  }

  left(room: string): void {
    this.#sink.left(asText('left', room));
  }

  message(data: string, seq = -1): void {
    const text = asText('message', data);
    this.messageIn(Buffer.from(text, 'latin1'), 0, text.length, asNumber('message', seq));
  }

  messageIn(buf: Buffer, start: number, end: number, seq = -1, roomAt = -1): void {
    const at = this.#stampIn(buf, start, end);
    if (at >= 0) this.#sink.message(buf, at, seq, roomAt);
  }

  gap(room: string, from: number, to: number): void {
    this.#sink.gap(asText('gap', room), asNumber('gap', from), asNumber('gap', to));
  }

  past(room: string, seq: number, data: string): void {
    const text = Buffer.from(asText('past', data), 'latin1');
    const at = this.#stamps.find(text, 0, text.length);
    if (at >= 0) this.#sink.past(asText('past', room), asNumber('past', seq), text, at);
  }

  answered(room: string, to: number, missing: readonly Range[]): void {
    for (const range of missing) for (const end of range) asNumber('answered', end);
    this.#sink.answered(asText('answered', room), asNumber('answered', to), missing);
  }

  refusedPast(code: string): void {
    this.#sink.refusedPast(asText('refusedPast', code));
  }

  confirmed(room: string, seq: number): void {
    this.#sink.confirmed(asText('confirmed', room), asNumber('confirmed', seq));
  }

  refused(code: string): void {
    this.#sink.refused(asText('refused', code));
  }

  closing(reason: string): void {
    this.#reason ||= asText('closing', reason);
  }

  /** Start of the stamp in `buf[start, end)`, or -1. Tries the last distance from the end first. */
  #stampIn(buf: Buffer, start: number, end: number): number {
    const usual = end - this.#stampFromEnd;
    if (usual >= start && usual + STAMP_LENGTH <= end && this.#stamps.isAt(buf, usual)) {
      return usual;
    }
    const found = this.#stamps.find(buf, start, end);
    if (found >= 0) this.#stampFromEnd = end - found;
    return found;
  }

  #carryOut<Result>(act: () => Result): Result | undefined {
    try {
      return act();
    } catch (error) {
      this.#fail(error);
      return;
    }
  }

  #fail(error: unknown): void {
    const { message } = error as Error;
    if (error instanceof LoadError) this.#onFault(error);
    else
      this.#reason ||= error instanceof ProtocolViolation ? message : `not understood: ${message}`;
    this.#wire?.reset();
  }
}

function asText(method: string, value: string): string {
  if (typeof value !== 'string') throw misuse(method, value, 'a text');
  return value;
}

function asNumber(method: string, value: number): number {
  if (!Number.isSafeInteger(value)) throw misuse(method, value, 'a whole number');
  return value;
}

function misuse(method: string, value: unknown, expected: string): TypeError {
  return new TypeError(`connection.${method}() got ${describe(value)}: expected ${expected}`);
}

/** Describes a value of a protocol file in one line. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, SHOWN));
  if (typeof value === 'object' && value !== null)
    return `a ${value.constructor?.name ?? 'object'}`;
  return typeof value === 'function' ? 'a function' : String(value);
}

/**
 * A transport without a network: the test decides when a batch completes, when the peer stalls, when a
 * poll arrives and when the connection breaks. Frames the peer received are decoded back into events.
 * It enforces the transport contract on the core: `write` throws on a breach.
 */
import type { CloseReason, EndReason } from '../../src/errors.js';
import type { Event } from '../../src/protocol/events.js';
import { sockjsFraming } from '../../src/transport/sockjs-framing.js';
import { sockjsDialect } from '../../src/transport/sockjs-websocket.js';
import type { Framing, Transport, TransportSink } from '../../src/transport/transport.js';
import { plainFraming } from '../../src/transport/websocket-frame.js';

export interface Message {
  readonly type: 'message';
  readonly room: string;
  readonly seq: number;
  readonly from: string | null;
  readonly at: number;
  readonly data: unknown;
  readonly key?: string;
}

/** A page of history. */
interface Past {
  readonly type: 'past';
  readonly id?: number | string;
  readonly room: string;
  readonly epoch: string;
  readonly messages: readonly Omit<Message, 'type' | 'room'>[];
}

/** What a peer reads. */
export type Received = Event | Message | Past;

const NEWLINE = Buffer.from('\n');

/** One framing of each kind: bare frames, SockJS in frames, SockJS in lines. The last two share an encoding. */
export const FRAMINGS = {
  websocket: plainFraming,
  'sockjs-websocket': sockjsDialect.framing,
  'xhr-polling': sockjsFraming('xhr-polling', (parts, bytes) =>
    Buffer.concat([...parts, NEWLINE], bytes + 1),
  ),
} satisfies Record<string, Framing>;

export type FakeName = keyof typeof FRAMINGS;

/** The payloads of WebSocket frames as a server writes them: text, final, unmasked. */
export function framesIn(bytes: Buffer): string[] {
  const texts: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (bytes[at] !== 0x81) throw new Error(`no text frame at byte ${at} of ${bytes.length}`);
    let length = bytes[at + 1] as number;
    at += 2;
    if (length === 126) {
      length = bytes.readUInt16BE(at);
      at += 2;
    } else if (length === 127) {
      length = Number(bytes.readBigUInt64BE(at));
      at += 8;
    }
    if (at + length > bytes.length) throw new Error('a frame is cut short');
    texts.push(bytes.toString('utf8', at, at + length));
    at += length;
  }
  return texts;
}

const unwrap = (text: string): string[] => {
  if (!text.startsWith('a[')) throw new Error(`no SockJS array frame: ${text.slice(0, 40)}`);
  return JSON.parse(text.slice(1)) as string[];
};

/** The texts in one batch, or a farewell, of a framing. */
export function textsIn(name: FakeName, bytes: Buffer): string[] {
  if (name === 'websocket') return framesIn(bytes);
  if (name === 'sockjs-websocket') return framesIn(bytes).flatMap(unwrap);
  return bytes
    .toString()
    .split('\n')
    .filter((line) => line !== '')
    .flatMap(unwrap);
}

/** Both clocks; a test may make `performance.now()` run ahead of the other when it is read often. */
export const clocks = () => ({ now: performance.now(), date: Date.now() });

export interface FakeTransportOptions {
  readonly name?: FakeName;
  /** Replaces the framing of that name, e.g. with one that counts. */
  readonly framing?: Framing;
  /** Called with every event as the peer receives it. */
  readonly onEvent?: (event: Received) => void;
}

export class FakeTransport implements Transport {
  readonly name: FakeName;
  readonly framing: Framing;
  readonly remoteAddress = '192.0.2.1';
  /** What the peer has read, in order. */
  readonly events: Received[] = [];
  /** Receives the transport's events; set once by the test. */
  sink: TransportSink | null = null;
  /** The batch that the kernel has not taken yet. */
  outstanding: Buffer | null = null;
  /** When the peer last took a batch, or could have. */
  progress = clocks();
  /** Batches and bytes handed over. */
  batches = 0;
  largestBatch = 0;
  /** Why it was closed, and how it ended. */
  closed: CloseReason | null = null;
  closedAt = 0;
  end: EndReason | null = null;
  /** The peer does not read: no batch completes before `resume` or `complete`. */
  isStalled = false;
  /** When the peer last took part of the outstanding batch, on the loop's clock. */
  progressAt = Number.NEGATIVE_INFINITY;
  /** Messages written and not confirmed, as set by the test. */
  unconfirmedMessages = 0;
  /** Whether the peer has an open request; always true unless it polls. */
  #isAsking: boolean;
  readonly #onEvent: (event: Received) => void;

  constructor(options: FakeTransportOptions = {}) {
    this.name = options.name ?? 'websocket';
    this.framing = options.framing ?? FRAMINGS[this.name];
    this.#isAsking = !this.isPolling;
    this.#onEvent = options.onEvent ?? (() => {});
  }

  get isPolling(): boolean {
    return this.name === 'xhr-polling';
  }

  get isOpen(): boolean {
    return this.closed === null && this.end === null;
  }

  get writable(): boolean {
    return this.isOpen && this.outstanding === null && this.#isAsking;
  }

  write(batch: Buffer): boolean {
    if (!this.writable) throw new Error('write: not writable');
    if (batch.length === 0) throw new Error('write: nothing in it');
    this.batches += 1;
    this.largestBatch = Math.max(this.largestBatch, batch.length);
    this.progress = clocks();
    if (this.isPolling) this.#isAsking = false;
    if (!this.isStalled) {
      this.#read(batch);
      return true;
    }
    this.outstanding = batch;
    return false;
  }

  /** The peer reads the outstanding batch, and no more. */
  complete(): void {
    const batch = this.outstanding;
    if (batch === null || !this.isOpen) return;
    this.outstanding = null;
    this.progress = clocks();
    this.#read(batch);
    this.sink?.completed();
  }

  stall(): void {
    this.isStalled = true;
  }

  resume(): void {
    this.isStalled = false;
    this.complete();
  }

  /** The peer polls; a no-op on transports without polls. */
  poll(): void {
    if (!this.isPolling || this.#isAsking || this.outstanding !== null || !this.isOpen) return;
    this.#isAsking = true;
    this.progress = clocks();
    this.sink?.ready();
  }

  /** The peer sends a text. */
  say(text: string): void {
    if (this.end === null) this.sink?.received(text, Buffer.byteLength(text));
  }

  /** The connection breaks. */
  break(): void {
    this.#ended('lost');
  }

  close(reason: CloseReason, farewell: Buffer, graceMs: number): void {
    if (!this.isOpen) return;
    this.closed = reason;
    this.closedAt = performance.now();
    if (this.isStalled || !this.#isAsking) {
      setTimeout(() => this.#ended(reason), graceMs);
      return;
    }
    this.#read(farewell);
    setTimeout(() => this.#ended(reason), 0);
  }

  reset(reason: EndReason): void {
    this.#ended(this.closed ?? reason);
  }

  #read(bytes: Buffer): void {
    for (const text of textsIn(this.name, bytes)) {
      const event = JSON.parse(text) as Received;
      this.events.push(event);
      this.#onEvent(event);
    }
  }

  #ended(reason: EndReason): void {
    if (this.end !== null) return;
    this.end = reason;
    this.outstanding = null;
    this.sink?.ended(reason);
  }
}

/**
 * Parses the messages of an `xhr_send` body as they arrive. The client sends everything that waits as
 * one body, so a burst of messages, each within its limit, can be a body of any size: only the message
 * being read is buffered (V3).
 *
 * Not here: reading the request (`bodies.ts`), handling a message (`sockjs-session.ts`).
 */
import { Refusal } from '../errors.js';
import type { Gathered } from './bodies.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN = 0x5b;
const SHUT = 0x5d;
/** First bytes of a value that is no string. */
const OTHER = new Set(Buffer.from('[{-0123456789tfn'));
const SPACE = new Set(Buffer.from(' \t\r\n'));
const UTF8 = new TextDecoder('utf-8', { fatal: true });

/** An escape may take six bytes for one. */
export const MAX_ESCAPE = 6;

/** Receives what the reader finds. `notText` and `tooLong` are final. */
export interface MessageSink {
  message(text: string): void;
  notText(): void;
  tooLong(): void;
}

/** Position of the next byte in the array. */
type State = 'begin' | 'first' | 'value' | 'string' | 'escape' | 'after' | 'end' | 'ignored';

export class MessageReader {
  readonly #gathered: Gathered;
  readonly #maxBytes: number;
  readonly #sink: MessageSink;
  #state: State = 'begin';

  /** `maxMessageBytes` is the limit of a decoded message; with escapes the input may be longer. */
  constructor(gathered: Gathered, maxMessageBytes: number, sink: MessageSink) {
    this.#gathered = gathered;
    this.#maxBytes = MAX_ESCAPE * maxMessageBytes + 2;
    this.#sink = sink;
  }

  /**
   * Parses `chunk` from `from` until a message is complete or the chunk ends. Returns where it stopped.
   *
   * @throws Refusal if the body is no array, or a malformed one
   */
  read(chunk: Buffer, from: number): number {
    let at = from;
    while (at < chunk.length) {
      if (this.#state === 'ignored') return chunk.length;
      if (this.#state === 'string') {
        at = this.#readString(chunk, at);
        if ((this.#state as State) === 'after') return at;
      } else if (this.#state === 'escape') {
        this.#gathered.add(chunk.subarray(at, at + 1));
        this.#state = 'string';
        at += 1;
      } else {
        const byte = chunk[at] as number;
        if (!SPACE.has(byte)) this.#structure(byte);
        at += 1;
      }
    }
    return at;
  }

  /** @throws Refusal if the body ended before its array */
  end(): void {
    if (this.#state === 'begin') throw new Refusal('bad_json', 'Payload expected.');
    if (this.#state !== 'end' && this.#state !== 'ignored') throw broken();
  }

  /** Ignores the rest of the body. */
  ignore(): void {
    this.#state = 'ignored';
    this.#gathered.release();
  }

  /** Returns the end of the string, or of the chunk. */
  #readString(chunk: Buffer, from: number): number {
    let end = from;
    while (end < chunk.length && chunk[end] !== QUOTE && chunk[end] !== BACKSLASH) end += 1;
    const isOver = chunk[end] === QUOTE;
    if (end < chunk.length) {
      this.#state = isOver ? 'after' : 'escape';
      end += 1;
    }
    if (this.#gathered.length + end - from > this.#maxBytes) {
      this.ignore();
      this.#sink.tooLong();
      return chunk.length;
    }
    this.#gathered.add(chunk.subarray(from, end));
    if (isOver) {
      const text = textOf(this.#gathered.bytes);
      this.#gathered.reset();
      this.#sink.message(text);
    }
    return end;
  }

  #structure(byte: number): void {
    const state = this.#state;
    if (state === 'begin') {
      if (byte !== OPEN) {
        if (byte !== QUOTE && !OTHER.has(byte)) throw broken();
        throw new Refusal('bad_command', 'Payload expected.');
      }
      this.#state = 'first';
    } else if (state === 'after' && byte === COMMA) this.#state = 'value';
    else if ((state === 'after' || state === 'first') && byte === SHUT) this.#state = 'end';
    else if (state === 'after' || state === 'end') throw broken();
    else if (byte === QUOTE) {
      this.#state = 'string';
      this.#gathered.add(Buffer.of(QUOTE));
    } else if (OTHER.has(byte)) {
      this.ignore();
      this.#sink.notText();
    } else throw broken();
  }
}

function textOf(quoted: Buffer): string {
  try {
    return JSON.parse(UTF8.decode(quoted)) as string;
  } catch {
    throw broken();
  }
}

const broken = () => new Refusal('bad_json', 'Broken JSON encoding.');

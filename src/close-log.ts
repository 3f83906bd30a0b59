/**
 * What the log is told of each member that the server evicts or closes, and of each connection that
 * it refuses: who, from where, why, and what was held for it. A peer that leaves by itself has no line.
 *
 * V3: peers decide how often this happens, so a second has at most `LINES` lines of each level; the
 * others are counted by reason, and one line says how many they were. The two levels are counted
 * apart, so that a shutdown, which closes everybody, does not hide an eviction.
 *
 * Not here: refused commands and HTTP requests, which are only counted, upgrades that are answered
 * with an HTTP status among them; the counts (`metrics/`).
 */
import { CLOSE, type CloseReason, isEviction } from './errors.js';
import type { Log } from './log.js';
import type { Member } from './room/member.js';
import type { SocketRefusal } from './room/observer.js';
import { clearTimeout, setTimeout } from './time.js';
import type { Transport } from './transport/transport.js';

/** What a line is counted by. */
type Reason = CloseReason | SocketRefusal;

/** Lines of one level in a second. */
const LINES = 10;
const SECOND_MS = 1000;
/** Rooms of a member that are named. */
const ROOMS = 3;
const REFUSED = 'a connection was refused';

export class CloseLog {
  readonly #warnings: Lines;
  readonly #notes: Lines;

  constructor(log: Log) {
    this.#warnings = new Lines((fields, text) => log.warn(fields, text));
    this.#notes = new Lines((fields, text) => log.info(fields, text));
  }

  /** To be called while the member still has its rooms and its queue. */
  closed(member: Member, reason: CloseReason): void {
    const text = isEviction(reason) ? 'a member was evicted' : 'a member was closed';
    this.#linesFor(reason).add(reason, text, () => ({
      ...about(member.transport, reason),
      member: member.id,
      rooms: firstOf(member.subscriptions.keys()),
      roomCount: member.subscriptions.size,
      queuedMessages: member.queuedMessages,
      queuedBytes: member.queuedBytes,
      unconfirmedMessages: member.outbox.unconfirmedMessages,
    }));
  }

  /** A connection that gets no member. */
  refused(transport: Transport, reason: CloseReason): void {
    this.#linesFor(reason).add(reason, REFUSED, () => about(transport, reason));
  }

  /** A socket that was ended before it was a member's; `address` is its own, null where there is none. */
  refusedSocket(reason: SocketRefusal, address: string | null): void {
    this.#warnings.add(reason, REFUSED, () => ({ reason, address }));
  }

  /** Writes what has only been counted. Nothing of it waits afterwards. */
  close(): void {
    this.#warnings.flush();
    this.#notes.flush();
  }

  #linesFor(reason: CloseReason): Lines {
    const isWarning =
      isEviction(reason) || reason === 'internal_error' || reason === 'over_capacity';
    return isWarning ? this.#warnings : this.#notes;
  }
}

/** Lines of one level, so many a second. */
class Lines {
  readonly #write: (fields: object, text: string) => void;
  #left = LINES;
  /** Without a line of their own, in this second. */
  #untold: Partial<Record<Reason, number>> = {};
  #second: NodeJS.Timeout | undefined;

  constructor(write: (fields: object, text: string) => void) {
    this.#write = write;
  }

  /** `fields` is called only for a line that is written. */
  add(reason: Reason, text: string, fields: () => object): void {
    this.#second ??= setTimeout(() => this.flush(), SECOND_MS).unref();
    if (this.#left > 0) {
      this.#left -= 1;
      this.#write(fields(), text);
    } else {
      this.#untold[reason] = (this.#untold[reason] ?? 0) + 1;
    }
  }

  /** Ends this second. */
  flush(): void {
    clearTimeout(this.#second);
    this.#second = undefined;
    this.#left = LINES;
    const reasons = this.#untold;
    this.#untold = {};
    const count = Object.values(reasons).reduce((sum, each) => sum + each, 0);
    if (count === 0) return;
    const text = `and ${count.toLocaleString('en')} more were closed or refused`;
    this.#write({ count, reasons }, text);
  }
}

function about({ remoteAddress, name }: Transport, reason: CloseReason): object {
  return { reason, code: CLOSE[reason].code, address: remoteAddress, transport: name };
}

function firstOf(rooms: Iterable<string>): string[] {
  const names: string[] = [];
  for (const room of rooms) {
    if (names.length === ROOMS) break;
    names.push(room);
  }
  return names;
}

/**
 * Logs each member that the server evicts or closes, and each connection that it refuses: member,
 * address, reason and queue sizes. A client that leaves by itself is not logged.
 *
 * V3: peers decide how often this happens, so each level writes at most `LINES` lines a second; one
 * further line gives the number of the others and their counts by reason. Each level has its own limit,
 * so that a shutdown, which closes everybody, does not hide an eviction.
 *
 * Not here: refused commands and HTTP requests, which are only counted, including upgrades answered
 * with an HTTP status; the counts (`metrics/`).
 */
import { CLOSE, type CloseReason, isEviction } from './errors.js';
import type { Log } from './log.js';
import type { Member } from './room/member.js';
import type { SocketRefusal } from './room/observer.js';
import { clearTimeout, setTimeout } from './time.js';
import type { Transport } from './transport/transport.js';

/** The key by which unlogged lines are counted. */
type Reason = CloseReason | SocketRefusal;

/** Maximum lines of one level per second. */
const LINES = 10;
const SECOND_MS = 1000;
/** Maximum rooms of a member that a line names. */
const ROOMS = 3;
const REFUSED = 'a connection was refused';

export class CloseLog {
  readonly #warnings: Lines;
  readonly #notes: Lines;

  constructor(log: Log) {
    this.#warnings = new Lines((fields, text) => log.warn(fields, text));
    this.#notes = new Lines((fields, text) => log.info(fields, text));
  }

  /** Must be called while the member still has its rooms and its queue. `why`: what the peer is told. */
  closed(member: Member, reason: CloseReason, why?: string): void {
    const text = isEviction(reason) ? 'a member was evicted' : 'a member was closed';
    this.#linesFor(reason).add(reason, text, () => ({
      ...about(member.transport, reason),
      ...(why !== undefined && { why }),
      member: member.id,
      rooms: firstOf(member.subscriptions.keys()),
      roomCount: member.subscriptions.size,
      queuedMessages: member.queuedMessages,
      queuedBytes: member.queuedBytes,
      unconfirmedMessages: member.outbox.unconfirmedMessages,
    }));
  }

  /** A connection refused before it became a member. */
  refused(transport: Transport, reason: CloseReason): void {
    this.#linesFor(reason).add(reason, REFUSED, () => about(transport, reason));
  }

  /** A socket closed before it belonged to a member. `address` is its address; null if there is no socket. */
  refusedSocket(reason: SocketRefusal, address: string | null): void {
    this.#warnings.add(reason, REFUSED, () => ({ reason, address }));
  }

  /** Writes the pending counts. Leaves no timer running. */
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

/** The lines of one level, limited in rate. */
class Lines {
  readonly #write: (fields: object, text: string) => void;
  #left = LINES;
  /** Lines suppressed in this second, by reason. */
  #suppressed: Partial<Record<Reason, number>> = {};
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
      this.#suppressed[reason] = (this.#suppressed[reason] ?? 0) + 1;
    }
  }

  /** Ends the current second. */
  flush(): void {
    clearTimeout(this.#second);
    this.#second = undefined;
    this.#left = LINES;
    const reasons = this.#suppressed;
    this.#suppressed = {};
    const count = Object.values(reasons).reduce((sum, each) => sum + each, 0);
    if (count === 0) return;
    const text = `${count.toLocaleString('en')} more connections were closed or refused`;
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

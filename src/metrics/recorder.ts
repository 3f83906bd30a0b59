/**
 * Counts what the core does: the `Observer` of a server. Nothing is allocated, looked up by text or
 * formatted here; a call costs some nanoseconds, so it may stand in the fan-out.
 *
 * Rows are in the order of the label values in the catalogue, the last label fastest.
 * Not here: reading it all at one instant (`registry.ts`).
 */
import type { EndReason, RefusalCode } from '../errors.js';
import { EVENTS, type EventName } from '../events.js';
import {
  DROP_REASONS,
  type DropReason,
  type Observer,
  SOCKET_REFUSALS,
  type SocketRefusal,
} from '../room/observer.js';
import { TRANSPORTS } from '../transport/transport.js';
import { END_REASONS, REFUSAL_CODES } from './catalogue/connections.js';
import { CONSUMERS } from './catalogue/delivery.js';
import { CATALOGUE } from './catalogue/index.js';
import { HistogramCells } from './cells.js';

const DROP_INDEX = indexOf(DROP_REASONS);
const END_INDEX = indexOf(END_REASONS);
const REFUSAL_INDEX = indexOf(REFUSAL_CODES);
const EVENT_INDEX = indexOf(EVENTS);
const SOCKET_REFUSAL_INDEX = indexOf(SOCKET_REFUSALS);

export class Recorder implements Observer {
  readonly totals = { published: 0, fannedOut: 0, abandoned: 0 };
  readonly droppedBy = new Float64Array(DROP_REASONS.length);
  readonly sentBytesBy = new Float64Array(TRANSPORTS.length);
  readonly openedBy = new Float64Array(TRANSPORTS.length);
  readonly closedBy = new Float64Array(TRANSPORTS.length * END_REASONS.length);
  readonly evictedBy = new Float64Array(END_REASONS.length);
  readonly refusedBy = new Float64Array(REFUSAL_CODES.length);
  readonly listenerErrorsBy = new Float64Array(EVENTS.length);
  readonly socketsRefusedBy = new Float64Array(SOCKET_REFUSALS.length);
  readonly deliverySeconds = perConsumer(CATALOGUE.deliverySeconds.buckets);
  readonly queueWaitSeconds = perConsumer(CATALOGUE.queueWaitSeconds.buckets);
  readonly flushSeconds = new HistogramCells(CATALOGUE.flushSeconds.buckets, 1);
  readonly memberRttSeconds = new HistogramCells(
    CATALOGUE.memberRttSeconds.buckets,
    TRANSPORTS.length,
  );

  published(): void {
    this.totals.published += 1;
  }

  fannedOut(count: number): void {
    this.totals.fannedOut += count;
  }

  delivered(transport: number, slow: boolean, seconds: number, count: number): void {
    this.deliverySeconds.observe(transport * CONSUMERS.length + (slow ? 1 : 0), seconds, count);
  }

  queueWaited(transport: number, slow: boolean, seconds: number, count: number): void {
    this.queueWaitSeconds.observe(transport * CONSUMERS.length + (slow ? 1 : 0), seconds, count);
  }

  dropped(reason: DropReason, count: number): void {
    this.droppedBy[DROP_INDEX[reason]]! += count;
  }

  abandoned(count: number): void {
    this.totals.abandoned += count;
  }

  sentBytes(transport: number, bytes: number): void {
    this.sentBytesBy[transport]! += bytes;
  }

  opened(transport: number): void {
    this.openedBy[transport]! += 1;
  }

  closed(transport: number, reason: EndReason): void {
    this.closedBy[transport * END_REASONS.length + END_INDEX[reason]]! += 1;
  }

  evicted(reason: EndReason): void {
    this.evictedBy[END_INDEX[reason]]! += 1;
  }

  flushed(seconds: number): void {
    this.flushSeconds.observe(0, seconds, 1);
  }

  roundTrip(transport: number, seconds: number): void {
    this.memberRttSeconds.observe(transport, seconds, 1);
  }

  refused(code: RefusalCode): void {
    this.refusedBy[REFUSAL_INDEX[code]]! += 1;
  }

  socketRefused(reason: SocketRefusal): void {
    this.socketsRefusedBy[SOCKET_REFUSAL_INDEX[reason]]! += 1;
  }

  /** A listener of an app has thrown, or rejected. */
  listenerFailed(event: EventName): void {
    this.listenerErrorsBy[EVENT_INDEX[event]]! += 1;
  }
}

function perConsumer(buckets: readonly number[]): HistogramCells {
  return new HistogramCells(buckets, TRANSPORTS.length * CONSUMERS.length);
}

function indexOf<T extends string>(values: readonly T[]): Readonly<Record<T, number>> {
  return Object.fromEntries(values.map((value, i) => [value, i])) as Record<T, number>;
}

/**
 * Counts the events of the core: the `Observer` of a server. A call allocates nothing, looks up no text and
 * formats nothing; it costs some nanoseconds, so it can be made in the fan-out.
 *
 * Rows are in the order of the label values in the catalogue, the last label varying fastest.
 * Not here: the reading of all values at one instant (`registry.ts`).
 */
import {
  AUTH_RESULTS,
  type AuthObserver,
  type AuthResult,
  QUESTIONS,
  type Question,
} from '../auth/observer.js';
import { CALLS, type Call } from '../broker/calls.js';
import type { EndReason, RefusalCode } from '../errors.js';
import { EVENTS, type EventName } from '../events.js';
import {
  DROP_REASONS,
  type DropReason,
  ERROR_SOURCES,
  type ErrorSource,
  type Observer,
  PRESENCE_CHANGES,
  PRESENCE_FRAMES,
  type PresenceChange,
  type PresenceFrame,
  RECOVERIES,
  REPLAYED,
  REPLAYS,
  type Recovery,
  type Replayed,
  type ReplayKind,
  SOCKET_REFUSALS,
  type SocketRefusal,
} from '../room/observer.js';
import { TRANSPORTS } from '../transport/transport.js';
import { COLLECTORS } from './catalogue/collectors.js';
import { END_REASONS, REFUSAL_CODES } from './catalogue/connections.js';
import { CONSUMERS } from './catalogue/delivery.js';
import { FETCHES } from './catalogue/identity.js';
import { CATALOGUE } from './catalogue/index.js';
import { HistogramCells } from './cells.js';

const DROP_INDEX = indexOf(DROP_REASONS);
const END_INDEX = indexOf(END_REASONS);
const REFUSAL_INDEX = indexOf(REFUSAL_CODES);
const EVENT_INDEX = indexOf(EVENTS);
const SOCKET_REFUSAL_INDEX = indexOf(SOCKET_REFUSALS);
const RECOVERY_INDEX = indexOf(RECOVERIES);
const PRESENCE_INDEX = indexOf(PRESENCE_CHANGES);
const REPLAYED_INDEX = indexOf(REPLAYED);
const REPLAYS_INDEX = indexOf(REPLAYS);
const PRESENCE_FRAMES_INDEX = indexOf(PRESENCE_FRAMES);
const AUTH_INDEX = indexOf(AUTH_RESULTS);
const QUESTION_INDEX = indexOf(QUESTIONS);
const CALL_INDEX = indexOf(CALLS);

export class Recorder implements Observer, AuthObserver {
  readonly totals = {
    published: 0,
    fannedOut: 0,
    abandoned: 0,
    surveysMissing: 0,
    tokensExpired: 0,
    presenceBytes: 0,
    brokerUncertain: 0,
    brokerLost: 0,
    brokerResets: 0,
  };
  readonly droppedBy = new Float64Array(DROP_REASONS.length);
  readonly sentBytesBy = new Float64Array(TRANSPORTS.length);
  readonly openedBy = new Float64Array(TRANSPORTS.length);
  readonly closedBy = new Float64Array(TRANSPORTS.length * END_REASONS.length);
  readonly evictedBy = new Float64Array(END_REASONS.length);
  readonly refusedBy = new Float64Array(REFUSAL_CODES.length);
  readonly survivedErrorsBy = new Float64Array(ERROR_SOURCES.length);
  readonly listenerErrorsBy = new Float64Array(EVENTS.length);
  readonly socketsRefusedBy = new Float64Array(SOCKET_REFUSALS.length);
  readonly recoveredBy = new Float64Array(RECOVERIES.length);
  /** By index of `FETCHES`. */
  readonly keysFetchedBy = new Float64Array(FETCHES.length);
  readonly authenticatedBy = new Float64Array(AUTH_RESULTS.length);
  readonly appFailedBy = new Float64Array(QUESTIONS.length);
  readonly replayedBy = new Float64Array(REPLAYS.length * REPLAYED.length);
  readonly replayedBatchesBy = new Float64Array(REPLAYS.length);
  readonly collectorErrorsBy = new Float64Array(COLLECTORS.length);
  readonly presenceChangedBy = new Float64Array(PRESENCE_CHANGES.length);
  readonly presenceFramesBy = new Float64Array(PRESENCE_FRAMES.length);
  readonly deliverySeconds = perConsumer(CATALOGUE.deliverySeconds.buckets);
  readonly queueWaitSeconds = perConsumer(CATALOGUE.queueWaitSeconds.buckets);
  readonly flushSeconds = new HistogramCells(CATALOGUE.flushSeconds.buckets, 1);
  readonly authenticationSeconds = new HistogramCells(CATALOGUE.authenticationSeconds.buckets, 1);
  readonly brokerCallSeconds = new HistogramCells(
    CATALOGUE.brokerCallSeconds.buckets,
    CALLS.length,
  );
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

  recovered(result: Recovery): void {
    this.recoveredBy[RECOVERY_INDEX[result]]! += 1;
  }

  /** Another worker did not answer in time. */
  surveyMissed(): void {
    this.totals.surveysMissing += 1;
  }

  keysFetched(isOk: boolean): void {
    this.keysFetchedBy[isOk ? 0 : 1]! += 1;
  }

  survived(source: ErrorSource): void {
    this.survivedErrorsBy[ERROR_SOURCES.indexOf(source)]! += 1;
  }

  presenceChanged(change: PresenceChange): void {
    this.presenceChangedBy[PRESENCE_INDEX[change]]! += 1;
  }

  presenceShown(kind: PresenceFrame, bytes: number): void {
    this.presenceFramesBy[PRESENCE_FRAMES_INDEX[kind]]! += 1;
    this.totals.presenceBytes += bytes;
  }

  replayed(how: ReplayKind, result: Replayed, count: number): void {
    const row = REPLAYS_INDEX[how];
    this.replayedBy[row * REPLAYED.length + REPLAYED_INDEX[result]]! += count;
    if (result === 'sent') this.replayedBatchesBy[row]! += 1;
  }

  authenticated(result: AuthResult, seconds: number): void {
    this.authenticatedBy[AUTH_INDEX[result]]! += 1;
    this.authenticationSeconds.observe(0, seconds, 1);
  }

  tokenExpired(): void {
    this.totals.tokensExpired += 1;
  }

  appFailed(question: Question): void {
    this.appFailedBy[QUESTION_INDEX[question]]! += 1;
  }

  brokerAnswered(call: Call, seconds: number): void {
    this.brokerCallSeconds.observe(CALL_INDEX[call], seconds, 1);
  }

  brokerUncertain(): void {
    this.totals.brokerUncertain += 1;
  }

  brokerLost(count: number): void {
    this.totals.brokerLost += count;
  }

  brokerReset(): void {
    this.totals.brokerResets += 1;
  }

  /** A listener of the app threw or rejected. */
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

/**
 * What one connection asks for again because gaps have named it, and what comes of that: every message
 * of a gap has to come, once, in order and as one of those that the gap left out, or be named as no
 * longer kept. One request is under way at a time. Keeps the promise behind V18 from the client's side.
 * Not here: what comes by itself (ledger.ts), how it is asked for (targets/).
 */
import type { Latency } from './latency.js';

/** Messages, but for `cutOff` and `refused`. Asked for = `came` + `expired` + `lost` + `unanswered`. */
export interface BackfillCounters {
  came: number;
  /** The server said that it no longer keeps them. */
  expired: number;
  /** An answer went over them without a word. */
  lost: number;
  /** Not asked for, not in order, not of those the gap left out, or named as not kept and sent. */
  wrong: number;
  /** No answer had come when the drain ended. */
  unanswered: number;
  /** Requests that ended with their connection. */
  cutOff: number;
  /** Requests that the server refused, by code; they were made again. */
  refused: Record<string, number>;
}

export function noBackfill(): BackfillCounters {
  return { came: 0, expired: 0, lost: 0, wrong: 0, unanswered: 0, cutOff: 0, refused: {} };
}

export type Range = readonly [from: number, to: number];

/** What is to be asked for next. */
export interface Wanted {
  /** Among the rooms of the member. */
  readonly slot: number;
  readonly from: number;
  readonly to: number;
}

interface Request extends Wanted {
  /** The next number that is owed, and what it was when this was last asked for. */
  from: number;
  askedFrom: number;
  /** When it was first asked for; 0 before. */
  askedAt: number;
  /** Numbers that were gone over since the last answer. */
  skipped: Range[];
  /** By publisher: the own numbers that the gap left out begin and end there. */
  readonly low: Float64Array;
  readonly high: Float64Array;
}

export class Backfill {
  readonly #counters: BackfillCounters;
  readonly #latency: Latency;
  /** The first one is under way once it was asked for. */
  #requests: Request[] = [];
  #underWay = false;

  /** @param latency from the first asking to the last answer */
  constructor(counters: BackfillCounters, latency: Latency) {
    this.#counters = counters;
    this.#latency = latency;
  }

  /** Something was asked for, or will be, and is not answered. */
  get isOwed(): boolean {
    return this.#requests.length > 0;
  }

  /**
   * A gap has named messages.
   * @param next by publisher of the room: the own number that was next when it came, -1 where none did
   */
  gap(slot: number, from: number, to: number, next: Float64Array): void {
    if (to < from) return;
    const high = new Float64Array(next.length).fill(Number.POSITIVE_INFINITY);
    const request = { slot, from, to, askedFrom: from, askedAt: 0, skipped: [], low: next, high };
    this.#requests.push(request);
  }

  /** What to ask for now, at `now` (µs), if anything. */
  ask(now: number): Wanted | undefined {
    const [request] = this.#requests;
    if (request === undefined || this.#underWay) return;
    this.#underWay = true;
    request.askedAt ||= now;
    request.askedFrom = request.from;
    return request;
  }

  /** The server would not, for now: it is to be asked again. */
  refused(): void {
    this.#underWay = false;
  }

  /** A message has come by itself: what a gap before it left out ends there. */
  live(slot: number, place: number, number: number): void {
    for (const request of this.#requests) {
      if (request.slot !== slot) continue;
      request.high[place] = Math.min(request.high[place]!, number);
    }
  }

  /** A message came again. @param slot -1 for a room or a publisher that is none of the member's */
  message(slot: number, seq: number, place: number, number: number): void {
    const request = this.#underWay ? this.#requests[0] : undefined;
    if (!request || slot !== request.slot || seq < request.from || seq > request.to) {
      this.#counters.wrong++;
      return;
    }
    if (seq > request.from) request.skipped.push([request.from, seq - 1]);
    request.from = seq + 1;
    this.#counters.came++;
    if (number < request.low[place]! || number >= request.high[place]!) this.#counters.wrong++;
    request.low[place] = Math.max(request.low[place]!, number + 1);
  }

  /** All up to `to` has come, but for what is `missing` since it is no longer kept. */
  answered(slot: number, to: number, missing: readonly Range[], now: number): void {
    const request = this.#underWay ? this.#requests[0] : undefined;
    if (!request || slot !== request.slot) {
      this.#counters.wrong++;
      return;
    }
    this.#underWay = false;
    const end = Math.min(to, request.to);
    if (end >= request.from) request.skipped.push([request.from, end]);
    const skipped = sizeOf(request.skipped);
    const expired = sizeOf(
      request.skipped.flatMap((range) => disjoint(missing).map((each) => both(range, each))),
    );
    this.#counters.expired += expired;
    this.#counters.lost += skipped - expired;
    this.#counters.wrong += sizeOf(missing) - expired;
    request.skipped = [];
    request.from = Math.max(request.from, end + 1);
    // An answer that gets nowhere is the last one: it would be asked for for ever.
    if (request.from <= request.to && request.from > request.askedFrom) return;
    this.#counters.lost += Math.max(0, request.to - request.from + 1);
    this.#latency.record(now - request.askedAt);
    this.#requests.shift();
  }

  /** The connection is gone, and with it what it asked for. */
  cut(): void {
    this.#counters.cutOff += this.#requests.length;
    this.#requests = [];
    this.#underWay = false;
  }

  /** The drain has ended. */
  end(): void {
    for (const { from, to, skipped } of this.#requests) {
      this.#counters.unanswered += sizeOf([...skipped, [from, to]]);
    }
    this.#requests = [];
  }
}

/** What two ranges have in common; it ends before it begins where that is nothing. */
function both([from, to]: Range, [start, end]: Range): Range {
  return [Math.max(from, start), Math.min(to, end)];
}

/** Without what a range has in common with one before it. */
function disjoint(ranges: readonly Range[]): Range[] {
  let next = 0;
  return ranges.map(([from, to]): Range => {
    const start = Math.max(from, next);
    next = Math.max(next, to + 1);
    return [start, to];
  });
}

function sizeOf(ranges: readonly Range[]): number {
  return ranges.reduce((sum, [from, to]) => sum + Math.max(0, to - from + 1), 0);
}

/**
 * Backfill of one connection: tracks the ranges that gaps named, requests them one at a time, and checks
 * the answers. The server must send every message of a gap once and in order, or name it as no longer
 * kept. Checks the promise behind V18 from the client's side.
 * Not here: live messages (ledger.ts), the requests on the wire (targets/).
 */
import type { Latency } from './latency.js';

/** Messages, except in `cutOff` and `refused`. Requested = `came` + `expired` + `lost` + `unanswered`. */
export interface BackfillCounters {
  came: number;
  /** The server said it no longer keeps them. */
  expired: number;
  /** Skipped by an answer without being named as missing. */
  lost: number;
  /** Not requested, out of order, not from the gap, or both named as missing and sent. */
  wrong: number;
  /** Without an answer when the drain ended. */
  unanswered: number;
  /** Requests whose connection ended first. */
  cutOff: number;
  /** Requests that the server refused, by code; they were repeated. */
  refused: Record<string, number>;
}

export function noBackfill(): BackfillCounters {
  return { came: 0, expired: 0, lost: 0, wrong: 0, unanswered: 0, cutOff: 0, refused: {} };
}

export type Range = readonly [from: number, to: number];

/** The next range to request. */
export interface Wanted {
  /** Index among the member's rooms. */
  readonly slot: number;
  readonly from: number;
  readonly to: number;
}

interface Request extends Wanted {
  /** The next owed number, and its value when the range was last requested. */
  from: number;
  askedFrom: number;
  /** When it was first requested; 0 before. */
  askedAt: number;
  /** Numbers skipped since the last answer. */
  skipped: Range[];
  /** By publisher: bounds `[low, high)` of the publisher's own message numbers within the gap. */
  readonly low: Float64Array;
  readonly high: Float64Array;
}

export class Backfill {
  readonly #counters: BackfillCounters;
  readonly #latency: Latency;
  /** In order; the first one may be under way. */
  #requests: Request[] = [];
  #underWay = false;

  /** @param latency from the first request of a range to its last answer */
  constructor(counters: BackfillCounters, latency: Latency) {
    this.#counters = counters;
    this.#latency = latency;
  }

  /** True while a range is requested, or still to be requested. */
  get isOwed(): boolean {
    return this.#requests.length > 0;
  }

  /**
   * Adds a range that a gap named.
   * @param next by publisher of the room: its next expected message number before the gap, -1 if unknown
   */
  gap(slot: number, from: number, to: number, next: Float64Array): void {
    if (to < from) return;
    const high = new Float64Array(next.length).fill(Number.POSITIVE_INFINITY);
    const request = { slot, from, to, askedFrom: from, askedAt: 0, skipped: [], low: next, high };
    this.#requests.push(request);
  }

  /** The range to request now (`now` in µs), if any. */
  ask(now: number): Wanted | undefined {
    const [request] = this.#requests;
    if (request === undefined || this.#underWay) return;
    this.#underWay = true;
    request.askedAt ||= now;
    request.askedFrom = request.from;
    return request;
  }

  /** The server refused for now; the request is repeated later. */
  refused(): void {
    this.#underWay = false;
  }

  /** A live message arrived: it is an upper bound for what earlier gaps left out. */
  live(slot: number, place: number, number: number): void {
    for (const request of this.#requests) {
      if (request.slot !== slot) continue;
      request.high[place] = Math.min(request.high[place]!, number);
    }
  }

  /** A backfilled message arrived. @param slot -1 for a room or publisher that is not the member's */
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

  /** The answer: everything up to `to` was sent, except `missing`, which the server no longer keeps. */
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
    // An answer without progress is the last one: otherwise the range would be requested forever.
    if (request.from <= request.to && request.from > request.askedFrom) return;
    this.#counters.lost += Math.max(0, request.to - request.from + 1);
    this.#latency.record(now - request.askedAt);
    this.#requests.shift();
  }

  /** The connection ended, and its requests with it. */
  cut(): void {
    this.#counters.cutOff += this.#requests.length;
    this.#requests = [];
    this.#underWay = false;
  }

  /** The drain has ended: counts what has no answer. */
  end(): void {
    for (const { from, to, skipped } of this.#requests) {
      this.#counters.unanswered += sizeOf([...skipped, [from, to]]);
    }
    this.#requests = [];
  }
}

/** Intersection of two ranges; it ends before it begins if it is empty. */
function both([from, to]: Range, [start, end]: Range): Range {
  return [Math.max(from, start), Math.min(to, end)];
}

/** Removes from each range what an earlier one covers. */
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

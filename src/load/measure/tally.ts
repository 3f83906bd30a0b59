/**
 * What a cohort experienced, counted by one worker and merged by the coordinator: latencies by the
 * phase a message was due in, losses, departures, silences. A message that was due after the last
 * phase is in no distribution. Histograms travel as what was added since the last report, counters as
 * they stand. Not here: whether it is acceptable (verdict/).
 */
import { type BackfillCounters, noBackfill } from './backfill.js';
import { Latency, type SparseCounts } from './latency.js';
import { type Faults, noFaults } from './ledger.js';

/** Counters of a cohort with one worker, as they stand. */
export interface Counters {
  /** Connections that are in all their rooms now. */
  present: number;
  connects: number;
  /** Connections that never got into their rooms, by reason. */
  failures: Record<string, number>;
  /** Connections that the server ended, by close code and reason. */
  closes: Record<string, number>;
  /** Commands that the server refused, by code. */
  refused: Record<string, number>;
  bytes: number;
  /** Messages that arrived, of whatever phase; one that came twice counts twice. */
  received: number;
  /** Messages that gaps announced as not coming. */
  announced: number;
  /** Messages neither received nor announced when the drain ended, and members owed any. */
  owed: number;
  owedMembers: number;
  /** Joins with a position that the server went on from, and those that it could not. */
  resumed: number;
  restarted: number;
  /** Connections that turned out to have been ended while they were not read, nobody knows when. */
  endedUnread: number;
  faults: Faults;
  /** What came of asking for what gaps had named. */
  backfill: BackfillCounters;
  /** By phase: the longest silence of a member, in µs, and members silent beyond the limit. */
  silence: number[];
  silentMembers: number[];
}

export function emptyCounters(phases: number): Counters {
  return {
    present: 0,
    connects: 0,
    failures: {},
    closes: {},
    refused: {},
    bytes: 0,
    received: 0,
    announced: 0,
    owed: 0,
    owedMembers: 0,
    resumed: 0,
    restarted: 0,
    endedUnread: 0,
    faults: noFaults(),
    backfill: noBackfill(),
    silence: new Array<number>(phases).fill(0),
    silentMembers: new Array<number>(phases).fill(0),
  };
}

/** What a worker tells about a cohort: histograms since last time, counters as they stand. */
export interface CohortReport {
  /** By phase, from the moment the message was due. */
  latency: SparseCounts[];
  /** By phase, from the moment it was written. */
  service: SparseCounts[];
  /** From connect (or join) to being in all rooms. */
  joins: SparseCounts;
  /** From reading again to being up to date. */
  recoveries: SparseCounts;
  /** From no longer reading to being disconnected by the server. */
  evictions: SparseCounts;
  /** From asking for what a gap had named to the answer behind it. */
  backfills: SparseCounts;
  counters: Counters;
}

/** From and to, in µs since the epoch. */
export type Span = readonly [from: number, to: number];

export class Tally {
  readonly counters: Counters;
  readonly joins = new Latency();
  readonly recoveries = new Latency();
  readonly evictions = new Latency();
  readonly backfills = new Latency();
  /** By phase, from its first message on. */
  readonly #latency: (Latency | undefined)[];
  readonly #service: (Latency | undefined)[];
  /** Start of each phase and end of the last, in µs since the epoch; none before `begin`. */
  #bounds: readonly number[] = [];
  /** The phase of the latest message, -1 for none, and its bounds: most messages are of the same. */
  #phase = -1;
  #from = 0;
  #to = 0;

  constructor(phases: number) {
    this.#latency = new Array<undefined>(phases).fill(undefined);
    this.#service = new Array<undefined>(phases).fill(undefined);
    this.counters = emptyCounters(phases);
  }

  /** @param bounds start of each phase and end of the last, in µs since the epoch */
  begin(bounds: readonly number[]): void {
    this.#bounds = bounds;
  }

  /** One delivery: due at `due`, written `late` after that, read at `now`; all in µs. */
  delivery(due: number, late: number, now: number): void {
    this.counters.received++;
    if (due < this.#from || due >= this.#to) this.#enter(due);
    const phase = this.#phase;
    if (phase < 0) return;
    this.#latency[phase]!.record(now - due);
    this.#service[phase]!.record(now - due - late);
  }

  /**
   * How long members have been silent at `now`.
   * @param heard when each member that is to be heard of last received anything
   * @param limit a longer silence counts the member; all in µs
   */
  silences(now: number, heard: readonly number[], limit: number): void {
    const spans = heard.map((at): Span => [at, now]);
    this.waits(spans, limit);
  }

  /**
   * One wait of each member. It is of the phase that its middle falls in: one that reaches a little into
   * the next phase is not of that. What comes after the last phase is of the last.
   * @param limit a longer one counts the member, in µs
   */
  waits(spans: readonly Span[], limit: number): void {
    const { silence, silentMembers } = this.counters;
    const bounds = this.#bounds;
    const members = new Array<number>(silence.length).fill(0);
    for (const [from, to] of spans) {
      const since = Math.max(from, bounds[0]!);
      const silent = to - since;
      if (!(silent >= 0)) continue;
      const phase = Math.min(phaseAt(bounds, since + silent / 2), silence.length - 1);
      silence[phase] = Math.max(silence[phase]!, silent);
      if (silent > limit) members[phase]!++;
    }
    for (const [phase, count] of members.entries()) {
      silentMembers[phase] = Math.max(silentMembers[phase]!, count);
    }
  }

  report(): CohortReport {
    return {
      latency: this.#latency.map(taken),
      service: this.#service.map(taken),
      joins: this.joins.take(),
      recoveries: this.recoveries.take(),
      evictions: this.evictions.take(),
      backfills: this.backfills.take(),
      counters: structuredClone(this.counters),
    };
  }

  /** Finds the phase that `due` falls in. */
  #enter(due: number): void {
    const bounds = this.#bounds;
    this.#phase = phaseAt(bounds, due);
    if (this.#phase === bounds.length - 1) this.#phase = -1;
    if (this.#phase < 0) {
      // Outside of all phases: the next message looks again.
      this.#from = Number.POSITIVE_INFINITY;
      return;
    }
    this.#from = bounds[this.#phase]!;
    this.#to = bounds[this.#phase + 1]!;
    this.#latency[this.#phase] ??= new Latency();
    this.#service[this.#phase] ??= new Latency();
  }
}

/** The last phase that has begun by `at`; the number of phases after the last, -1 before the first. */
function phaseAt(bounds: readonly number[], at: number): number {
  return bounds.findLastIndex((start) => at >= start);
}

function taken(latency: Latency | undefined): SparseCounts {
  return latency?.take() ?? [];
}

export function count(counts: Record<string, number>, key: string): void {
  counts[key] = (counts[key] ?? 0) + 1;
}

/**
 * What a cohort experienced, counted by one worker and merged by the coordinator: latencies by the phase
 * in which a message was due, losses, disconnects, silences. Messages due after the last phase are in no
 * distribution. Reports carry histograms as increments since the last report and counters as totals.
 * Not here: whether the values are acceptable (verdict/).
 */
import { type BackfillCounters, noBackfill } from './backfill.js';
import { Latency, type SparseCounts } from './latency.js';
import { type Faults, noFaults } from './ledger.js';

/** Current counters of a cohort in one worker. */
export interface Counters {
  /** Connections that are in all their rooms now. */
  present: number;
  connects: number;
  /** Connections that never joined all their rooms, by reason. */
  failures: Record<string, number>;
  /** Connections that the server ended, by close code and reason. */
  closes: Record<string, number>;
  /** Commands that the server refused, by code. */
  refused: Record<string, number>;
  bytes: number;
  /** Messages that arrived, whatever their phase; one that arrived twice counts twice. */
  received: number;
  /** Messages that gaps announced as missing. */
  announced: number;
  /** Messages neither received nor announced when the drain ended, and members that were owed any. */
  owed: number;
  owedMembers: number;
  /** Joins with a position that the server resumed, and those that it could not resume. */
  resumed: number;
  restarted: number;
  /** Connections found to have been ended while they were not read, at an unknown time. */
  endedUnread: number;
  faults: Faults;
  /** Results of requesting what gaps named. */
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

/** A worker's report on a cohort: histograms since the last report, counters in total. */
export interface CohortReport {
  /** By phase, from the moment the message was due. */
  latency: SparseCounts[];
  /** By phase, from the moment it was written. */
  service: SparseCounts[];
  /** From connecting, or from the join request, to being in all rooms. */
  joins: SparseCounts;
  /** From reading again to receiving recent messages. */
  recoveries: SparseCounts;
  /** From the stop of reading to the disconnect by the server. */
  evictions: SparseCounts;
  /** From the first request of a gap's range to its last answer. */
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
  /** By phase; created with the phase's first message. */
  readonly #latency: (Latency | undefined)[];
  readonly #service: (Latency | undefined)[];
  /** Start of each phase and end of the last, in µs since the epoch; none before `begin`. */
  #bounds: readonly number[] = [];
  /** The phase of the latest message, -1 for none, and its bounds; the next one is usually in it too. */
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
   * Records how long members have been silent at `now`.
   * @param heard when each member that should be receiving last received anything
   * @param limit members silent for longer are counted; all in µs
   */
  silences(now: number, heard: readonly number[], limit: number): void {
    const spans = heard.map((at): Span => [at, now]);
    this.waits(spans, limit);
  }

  /**
   * Records one wait per member, in the phase that contains its middle: a wait that reaches a little into
   * the next phase does not belong to that. Waits after the last phase count for the last.
   * @param limit members that waited for longer are counted, in µs
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
      // Outside of all phases: the next message must search again.
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

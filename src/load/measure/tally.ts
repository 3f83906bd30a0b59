/**
 * What a cohort experienced, counted by one worker and merged by the coordinator: latencies by the
 * phase a message was due in, losses, departures, silences. Histograms travel as what was added
 * since the last report, counters as they stand. Not here: whether it is acceptable (verdict.ts).
 */
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
  /** Messages that gaps announced as not coming. */
  announced: number;
  /** Messages neither received nor announced when the drain ended, and members owed any. */
  owed: number;
  owedMembers: number;
  faults: Faults;
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
    announced: 0,
    owed: 0,
    owedMembers: 0,
    faults: noFaults(),
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
  counters: Counters;
}

export class Tally {
  readonly counters: Counters;
  readonly joins = new Tracked();
  readonly recoveries = new Tracked();
  readonly evictions = new Tracked();
  readonly #latency: Tracked[];
  readonly #service: Tracked[];
  /** Start of each phase, in µs since the epoch, and the end of the last. */
  #bounds: number[] = [0];
  /** The phase of the latest message and its bounds: most messages are of the same one. */
  #phase = 0;
  #from = 0;
  #to = Number.POSITIVE_INFINITY;
  /** Phases that messages have been of since the last report. */
  readonly #touched = new Set<number>([0]);

  constructor(phases: number) {
    this.#latency = Array.from({ length: phases }, () => new Tracked());
    this.#service = Array.from({ length: phases }, () => new Tracked());
    this.counters = emptyCounters(phases);
  }

  /** @param bounds start of each phase and end of the last, in µs since the epoch */
  begin(bounds: number[]): void {
    this.#bounds = bounds;
    this.#enter(0);
  }

  /** One delivery: due at `due`, written `late` after that, read at `now`; all in µs. */
  delivery(due: number, late: number, now: number): void {
    if (due < this.#from || due >= this.#to) this.#enter(phaseAt(this.#bounds, due));
    this.#latency[this.#phase]!.record(now - due);
    this.#service[this.#phase]!.record(now - due - late);
  }

  report(): CohortReport {
    const report: CohortReport = {
      latency: this.#take(this.#latency),
      service: this.#take(this.#service),
      joins: this.joins.take(),
      recoveries: this.recoveries.take(),
      evictions: this.evictions.take(),
      counters: structuredClone(this.counters),
    };
    this.#touched.clear();
    this.#touched.add(this.#phase);
    return report;
  }

  #take(phases: readonly Tracked[]): SparseCounts[] {
    return phases.map((tracked, phase) => (this.#touched.has(phase) ? tracked.take() : []));
  }

  #enter(phase: number): void {
    this.#phase = phase;
    this.#touched.add(phase);
    this.#from = phase === 0 ? 0 : this.#bounds[phase]!;
    this.#to =
      phase === this.#bounds.length - 2 ? Number.POSITIVE_INFINITY : this.#bounds[phase + 1]!;
  }
}

/** The phase that `due` falls in; the first one before all, the last one after all. */
function phaseAt(bounds: readonly number[], due: number): number {
  let phase = 0;
  while (phase < bounds.length - 2 && due >= bounds[phase + 1]!) phase++;
  return phase;
}

/** A histogram that knows what it has already reported. */
class Tracked {
  readonly #all = new Latency();
  readonly #reported = new Latency();

  record(us: number): void {
    this.#all.record(us);
  }

  take(): SparseCounts {
    return this.#all.since(this.#reported);
  }
}

export function count(counts: Record<string, number>, key: string): void {
  counts[key] = (counts[key] ?? 0) + 1;
}

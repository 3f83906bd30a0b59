/**
 * Owns: incidents: their ids, how often each is reported, and the calls of `onReport`, which run on a
 * later turn of the event loop, so that `onReport` may throw or take locks. Bounded: the latest 100 are
 * kept, and at most 100 reports are pending.
 */
import { randomBytes } from 'node:crypto';
import { nowMs, setImmediate } from '../time.js';
import type { LockReport, ReportKind } from './types.js';
import type { Head, Told } from './words.js';

export const MOST = 100;
/** A lasting incident is reported again after this many milliseconds, then after twice that, and so on. */
const AGAIN_MS = 10_000;

export class Incident {
  readonly id = randomBytes(4).toString('hex');
  readonly kind: ReportKind;
  readonly certain: boolean;
  readonly at = Date.now();
  readonly since: number;
  readonly key: string | null;
  count = 1;
  againAt = nowMs() + AGAIN_MS;
  gapMs = AGAIN_MS;
  #told: Told | null = null;
  /** Dropped when the incident ends, so that a kept report keeps nothing else alive. */
  #tell: ((head: Head) => Told) | null;
  #overAfterMs = Number.NaN;

  constructor(
    kind: ReportKind,
    certain: boolean,
    since: number,
    key: string | null,
    tell: (head: Head) => Told,
  ) {
    this.kind = kind;
    this.certain = certain;
    this.since = since;
    this.key = key;
    this.#tell = tell;
  }

  get over(): boolean {
    return this.#tell === null;
  }

  end(): void {
    this.#overAfterMs = this.#ageMs;
    this.#tell = null;
  }

  /** Updates the text while the incident lasts, and returns the report. */
  tell(): LockReport {
    const { id, count } = this;
    this.#told = this.#tell?.({ id, count, ageMs: this.#ageMs }) ?? this.#told;
    return this.report();
  }

  /** The report with its latest text. */
  report(): LockReport {
    const { id, kind, certain, at, count, over } = this;
    return { id, kind, certain, count, ageMs: this.#ageMs, at, over, ...(this.#told as Told) };
  }

  get #ageMs(): number {
    return this.over ? this.#overAfterMs : nowMs() - this.since;
  }
}

export class Incidents {
  readonly totals: Record<ReportKind, number> = {
    deadlock: 0,
    'stuck-at-exit': 0,
    'timed-cycle': 0,
    'recursive-lock': 0,
    'lock-order-inversion': 0,
    'wait-while-holding': 0,
    'lock-wait-timeout': 0,
    'long-hold': 0,
  };
  onReport: (report: LockReport) => void = warn;
  untold = 0;
  onReportErrors = 0;
  #recent: Incident[] = [];
  /** Recurring incidents, by kind and key. */
  readonly #events = new Map<string, Incident>();
  #waiting: LockReport[] = [];

  /** Opens and reports a lasting incident that began at `since`. Call `again` while it lasts, then `end`. */
  open(kind: ReportKind, certain: boolean, since: number, tell: (head: Head) => Told): Incident {
    const incident = new Incident(kind, certain, since, null, tell);
    this.#add(incident);
    this.#deliverLater(incident.tell());
    return incident;
  }

  /** The incident still lasts: reports it again if due. */
  again(incident: Incident): void {
    if (!this.#isDue(incident)) return;
    incident.count += 1;
    this.#deliverLater(incident.tell());
  }

  /** An instantaneous incident has happened. Those with the same `key` count as one. */
  event(kind: ReportKind, key: string, tell: (head: Head) => Told): void {
    const known = this.#events.get(`${kind} ${key}`);
    if (known === undefined) {
      const incident = new Incident(kind, false, nowMs(), `${kind} ${key}`, tell);
      this.#events.set(`${kind} ${key}`, incident);
      this.#add(incident);
      incident.tell();
      incident.end();
      this.#deliverLater(incident.report());
      return;
    }
    known.count += 1;
    if (this.#isDue(known)) this.#deliverLater(known.report());
  }

  /** Oldest first. */
  reports(): LockReport[] {
    return this.#recent.map((incident) => incident.report());
  }

  #isDue(incident: Incident): boolean {
    const now = nowMs();
    if (now < incident.againAt) return false;
    incident.gapMs *= 2;
    incident.againAt = now + incident.gapMs;
    return true;
  }

  #add(incident: Incident): void {
    this.totals[incident.kind] += 1;
    this.#recent.push(incident);
    if (this.#recent.length > MOST) this.#forget();
  }

  /** Removes the oldest ended incident, or the oldest of all. */
  #forget(): void {
    const over = this.#recent.findIndex((incident) => incident.over);
    const [gone] = this.#recent.splice(Math.max(over, 0), 1);
    if (gone !== undefined && gone.key !== null) this.#events.delete(gone.key);
  }

  #deliverLater(report: LockReport): void {
    if (this.#waiting.length >= MOST) {
      this.untold += 1;
      return;
    }
    this.#waiting.push(report);
    if (this.#waiting.length === 1) setImmediate(() => this.#deliver());
  }

  #deliver(): void {
    const reports = this.#waiting;
    this.#waiting = [];
    for (const report of reports) {
      try {
        const result: unknown = this.onReport(report);
        // onReport may be an async function.
        if (result instanceof Promise) result.catch(() => this.#failed());
      } catch {
        this.#failed();
      }
    }
  }

  #failed(): void {
    this.onReportErrors += 1;
  }
}

function warn(report: LockReport): void {
  const detail = report.stacks
    .map(({ task, stack }) => `${task} requested at\n${stack}`)
    .join('\n');
  process.emitWarning(report.text, { type: 'LockReport', code: report.kind, detail });
}

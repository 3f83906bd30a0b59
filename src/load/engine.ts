/**
 * One worker's part of a run, in the steps that the coordinator orders: connect, run the phases, drain,
 * close. All times are on the run's clock, so that workers stay in step without exchanging messages.
 * Not here: several workers (fleet.ts), the verdict (verdict.ts).
 */
import { cohortOfMembers } from './assign.js';
import { Crew } from './crew.js';
import type { LoadError } from './error.js';
import { GeneratorHealth } from './health.js';
import type { Span } from './measure/tally.js';
import type { HealthReport, WorkerReport } from './measure/worker-report.js';
import { Member } from './member.js';
import { type Plan, silenceLimit } from './plan.js';
import { DistanceProxy } from './proxy.js';
import { aside, Publishers } from './publishers.js';
import { Stamps } from './stamp.js';
import { openTarget } from './targets/index.js';

const TICK_MS = 250;
/**
 * Answers are awaited in steps of this. Steps are counted, not time: the answers that come while this
 * process is blocked wait in the kernel.
 */
const STEP_MS = 50;
const CONNECTING_MAX = 256;
/** How much longer than the ramp-up connecting may take; then the remaining members are given up. */
const CONNECT_GRACE_MS = 30_000;
/** Delay before a refused last message is sent again. */
const ASK_AGAIN_MS = 250;

/** What a worker has sent by the time publishing has stopped. */
export interface Sent {
  /** When publishing stopped, in µs since the epoch. */
  stoppedAt: number;
  /** By publisher number: messages sent. */
  byPublisher: [number, number][];
  /** By room: the sequence number of its last message, if the target numbers messages. */
  finals: [number, number][];
  /** Last messages that asked for a confirmation, and how many were confirmed. */
  asked: number;
  confirmed: number;
}

export class Engine {
  readonly #plan: Plan;
  readonly #crew: Crew;
  readonly #members: Member[];
  readonly #publishers: Publishers;
  readonly #health: GeneratorHealth;
  readonly #proxies: DistanceProxy[];
  /** Rejects when the protocol is at fault (`bad_protocol`). */
  readonly #faulted: Promise<never>;
  readonly #onReport: (report: WorkerReport) => void;
  #bounds: number[] = [];
  #timers: NodeJS.Timeout[] = [];
  #nextSecond = 0;
  #stopped = false;
  #stop: () => void = () => {};
  /** Resolves when the run must end early. */
  readonly #stopping = new Promise<void>((resolve) => {
    this.#stop = resolve;
  });

  /** @param epoch zero of the run's clock, in µs of the machine's */
  static async create(
    plan: Plan,
    worker: number,
    epoch: number,
    onReport: (report: WorkerReport) => void,
  ): Promise<Engine> {
    const stamps = new Stamps(plan.tag);
    let onFault: (fault: LoadError) => void = () => {};
    const faulted = new Promise<never>((_, reject) => {
      onFault = reject;
    });
    // A fault between two steps rejects the next step.
    faulted.catch(() => {});
    const target = await openTarget(plan.target, stamps, onFault);
    const proxies = await Promise.all(
      plan.cohorts.map(({ delay, jitter, bandwidth }) =>
        delay + jitter + bandwidth > 0
          ? DistanceProxy.open(target.address, { delay, jitter, bandwidth, seed: plan.seed })
          : undefined,
      ),
    );
    const via = proxies.map((proxy) => proxy?.address);
    const opened = proxies.filter((proxy) => proxy !== undefined);
    const crew = new Crew(plan, worker, epoch, stamps, target, via);
    return new Engine(crew, opened, faulted, onReport);
  }

  private constructor(
    crew: Crew,
    proxies: DistanceProxy[],
    faulted: Promise<never>,
    onReport: (report: WorkerReport) => void,
  ) {
    this.#plan = crew.plan;
    this.#crew = crew;
    this.#proxies = proxies;
    this.#faulted = faulted;
    this.#onReport = onReport;
    const cohorts = cohortOfMembers(crew.plan);
    this.#members = crew.members().map((number) => new Member(crew, number, cohorts[number]!));
    this.#publishers = new Publishers(crew);
    this.#health = new GeneratorHealth(this.#publishers.lateness);
  }

  /** Connects members over the ramp-up, then publishers. Counts failures and does not throw them. */
  async connect(): Promise<void> {
    const started = performance.now();
    const progress = setInterval(() => this.#report(-1), 500);
    const late = started + this.#plan.rampMs + CONNECT_GRACE_MS;
    const waiting = new Set<Promise<void>>();
    for (const [i, member] of this.#members.entries()) {
      const due = started + (i / this.#members.length) * this.#plan.rampMs;
      const early = due - performance.now();
      if (early > 1) await delay(early);
      if (waiting.size >= CONNECTING_MAX) await Promise.race([...waiting, this.#stopping]);
      if (this.#stopped) break;
      if (performance.now() > late) {
        for (const untried of this.#members.slice(i))
          untried.giveUp('did not get to connect in time');
        break;
      }
      const joined: Promise<void> = new Promise<void>((resolve) => member.connect(resolve)).then(
        () => void waiting.delete(joined),
      );
      waiting.add(joined);
    }
    await Promise.race([Promise.all(waiting), this.#stopping, this.#faulted]);
    if (!this.#stopped) {
      const ready = this.#publishers.connect((room) => this.#linkInto(room));
      await Promise.race([ready, this.#stopping, this.#faulted]);
    }
    clearInterval(progress);
    this.#report(-1);
  }

  /**
   * Runs the phases. Resolves once publishing has stopped and every last message is confirmed or late.
   * @param start µs since the epoch
   */
  async run(start: number): Promise<Sent> {
    // Whole µs, as in stamps: a message due before a bound is also stamped before it.
    this.#bounds = [Math.ceil(start)];
    for (const { ms } of this.#plan.phases) {
      this.#bounds.push(Math.ceil(this.#bounds.at(-1)! + ms * 1000));
    }
    for (const tally of this.#crew.tallies) tally.begin(this.#bounds);
    this.#crew.stage = 'publishing';
    await Promise.race([this.#phasesOver(), this.#stopping, this.#faulted]);
    for (const timer of this.#timers) clearTimeout(timer);
    return this.#lastMessages();
  }

  /** Ends the phases early. */
  stop(): void {
    this.#stopped = true;
    this.#stop();
  }

  /**
   * Lets all members read, and waits until nothing is owed and all are back, or `drainMs` has passed.
   * @param finals last number of each room (numbering targets), or messages sent by each publisher
   * @param areConfirmed every publisher's last message was numbered, so that no room has a later one
   */
  async drain(finals: readonly number[], areConfirmed: boolean): Promise<void> {
    for (const member of this.#members) member.behave();
    const owing = (): Member[] =>
      this.#members.filter((member) => (member.session?.owed(finals) ?? 0) > 0);
    const asking = (): Member[] => this.#members.filter(({ session }) => session?.awaitsPast);
    const absent = (): Member[] =>
      this.#stopped ? [] : this.#members.filter(({ isJoining }) => isJoining);
    const awaited = (): number => owing().length + asking().length + absent().length;
    for (let left = this.#plan.drainMs; awaited() > 0 && left > 0; left -= STEP_MS) {
      await delay(STEP_MS);
      for (const { session } of asking()) session?.askForPast();
    }
    for (const member of owing()) {
      const { counters } = this.#crew.tallies[this.#plan.cohorts.indexOf(member.cohort)]!;
      counters.owed += member.session!.owed(finals);
      counters.owedMembers++;
    }
    if (areConfirmed) for (const { session } of this.#members) session?.checkGaps(finals);
    for (const { session } of asking()) session?.endBackfill();
    for (const member of absent()) member.giveUp('not back when the drain ended');
    const health = this.#health.take();
    this.#waitsAtEnd(health.loopDelayMax);
    this.#report(-1, health);
  }

  /**
   * Counts the waits that ended after publishing stopped, so that a server that stalled at the end is
   * found too.
   * @param held longest time this process itself was blocked, in µs; that much of a wait may be its own
   */
  #waitsAtEnd(held: number): void {
    const waits = this.#members.flatMap(({ session, cohort }): Span[] => {
      if (!session?.present || cohort !== this.#plan.cohorts[0]) return [];
      return [[session.waited[0], session.waited[1] - held]];
    });
    this.#crew.tallies[0]!.waits(waits, silenceLimit(this.#plan));
  }

  /** Closes every connection. The server should release them all soon after. */
  async close(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#publishers.close();
    for (const member of this.#members) member.close();
    for (const link of this.#crew.abandoned) link.reset();
    // A connection that the server does not end must not keep this process alive.
    await delay(100);
    this.#publishers.reset();
    for (const member of this.#members) member.session?.link.reset();
    await Promise.all(this.#proxies.map((proxy) => proxy.close()));
    this.#health.close();
  }

  /** Sets every timer of the run; resolves at the end of the last phase. */
  async #phasesOver(): Promise<void> {
    const at = (us: number, act: () => void): void => {
      const index = this.#timers.length;
      // Timers fire up to a millisecond early, which would cut the last phase short.
      const wait = (): void => {
        const left = us - this.#crew.now();
        if (left <= 0) act();
        else this.#timers[index] = setTimeout(wait, Math.ceil(left / 1000));
      };
      this.#timers.push(setTimeout(wait, Math.max(0, us - this.#crew.now()) / 1000));
    };
    const start = this.#bounds[0]!;
    at(start, () => {
      this.#health.reset();
      this.#publishers.begin(start, this.#bounds.at(-1)!);
      const between = start + aside(this.#plan);
      this.#every(TICK_MS, between, () => this.#tick());
      this.#every(1000, between, (second) => {
        this.#nextSecond = second + 1;
        this.#report(second);
      });
    });
    this.#plan.phases.forEach(({ name }, i) => {
      const [from, to] = [this.#bounds[i]!, this.#bounds[i + 1]!];
      const begins =
        name === 'fill' || (name === 'slow' && this.#plan.phases[i - 1]?.name !== 'fill');
      if (begins) at(from, () => this.#each((member) => member.disturb()));
      // After the last phase the drain lets all members read.
      const ends = name === 'slow' && i + 1 < this.#plan.phases.length;
      if (ends) at(to, () => this.#each((member) => member.behave()));
    });
    await new Promise<void>((over) => at(this.#bounds.at(-1)!, over));
  }

  /** Calls `act` at `start + n × ms`, never twice for one n, and never drifting. */
  #every(ms: number, start: number, act: (n: number) => void): void {
    const index = this.#timers.length;
    const next = (n: number): void => {
      const wait = Math.max(0, start + (n + 1) * ms * 1000 - this.#crew.now()) / 1000;
      this.#timers[index] = setTimeout(() => {
        act(n);
        const passed = Math.floor((this.#crew.now() - start) / (ms * 1000)) - 1;
        next(Math.max(n + 1, passed));
      }, wait);
    };
    next(0);
  }

  #each(act: (member: Member) => void): void {
    for (const member of this.#members) act(member);
  }

  #tick(): void {
    const heard: number[] = [];
    for (const { session, cohort } of this.#members) {
      if (!session?.present) continue;
      session.askForPast();
      if (session.reading.isStopped) session.link.probe();
      else if (cohort === this.#plan.cohorts[0]) heard.push(session.lastAt);
    }
    this.#crew.tallies[0]!.silences(this.#crew.now(), heard, silenceLimit(this.#plan));
  }

  #linkInto(room: number) {
    const { plan } = this.#crew;
    const reader = this.#members.find(
      ({ cohort, session }) => cohort === plan.cohorts[0] && session?.isIn(room),
    );
    return reader?.session?.link;
  }

  async #lastMessages(): Promise<Sent> {
    const stoppedAt = this.#crew.now();
    this.#publishers.stop();
    this.#crew.stage = 'after';
    this.#crew.endedAt = stoppedAt;
    this.#report(this.#nextSecond);
    await this.#end();
    const byPublisher = this.#publishers.sent();
    return {
      stoppedAt,
      byPublisher,
      finals: [...this.#crew.finals],
      asked: byPublisher.length,
      confirmed: this.#publishers.confirmed,
    };
  }

  /** Sends the last messages, and again those that were refused, until all are confirmed or time is up. */
  async #end(): Promise<void> {
    let awaited = 0;
    this.#crew.onAnswer = () => void awaited--;
    let left = this.#plan.drainMs;
    for (;;) {
      awaited = this.#publishers.sendLast();
      if (!this.#crew.target.numbered || awaited === 0) return;
      for (; awaited > 0 && left > 0; left -= STEP_MS) await delay(STEP_MS);
      const done = this.#publishers.confirmed === this.#crew.publishers().length;
      if (done || left <= 0) return;
      await delay(ASK_AGAIN_MS);
      left -= ASK_AGAIN_MS;
    }
  }

  #report(second: number, health: HealthReport = this.#health.take()): void {
    this.#onReport({
      second,
      cohorts: this.#crew.tallies.map((tally) => tally.report()),
      publishing: structuredClone(this.#publishers.counters),
      health,
    });
  }
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * The primary process of several workers on one port: it starts, replaces and stops them. It serves no
 * requests, and no room message passes through it.
 *
 * Not here: a worker (`worker.ts`), the state of one (`seated.ts`), detecting stalled ones
 * (`watch.ts`), restart back-off (`restarts.ts`), replacing all of them (`replacement.ts`), the spare
 * process (`spare.ts`), their metrics (`ledger.ts`), signals (`cli/`).
 */
import cluster from 'node:cluster';
import { rmSync } from 'node:fs';
import type { Log } from '../log.js';
import type { Config } from '../options/config.js';
import { checkReload } from '../options/reload.js';
import { workersOf } from '../options/workers.js';
import type { CloseReport } from '../roomcast.js';
import { nowMs } from '../time.js';
import { Backlog } from './backlog.js';
import { fork } from './fork.js';
import { closeWhatIsNotTaken } from './handover.js';
import { Ledger } from './ledger.js';
import { pathOf, type ToPrimary } from './messages.js';
import { replaceAll } from './replacement.js';
import { Restarts } from './restarts.js';
import { END_MS, isGone, isReady, isServing, Seated, type Served, START_MS } from './seated.js';
import { shareOf } from './shares.js';
import { createSocketFolder } from './socket-folder.js';
import { Spare } from './spare.js';
import { watch } from './watch.js';

export interface PrimaryOptions {
  readonly config: Config;
  readonly log: Log;
  /** Entry file of a worker. */
  readonly entry: URL;
}

/** Result of shutting down all workers. */
export interface ClusterReport extends CloseReport {
  /** Slots of workers killed during shutdown; their counts are missing from the totals. */
  readonly killed: readonly number[];
}

export class Primary {
  readonly slots: number;
  readonly #log: Log;
  readonly #ledger = new Ledger();
  readonly #folder: string;
  readonly #isActivated: boolean;
  #config: Config;
  /** The current worker of each slot. */
  readonly #seats: (Seated | null)[];
  readonly #all = new Set<Seated>();
  #incarnations = 0;
  readonly #restarts: Restarts;
  readonly #spare: Spare;
  readonly #backlog: Backlog;
  #endWatch: () => void = () => {};
  #isClosing = false;
  #mayServe = false;
  #hasServed = false;
  #restarting: Promise<void> = Promise.resolve();

  constructor({ config, log, entry }: PrimaryOptions) {
    this.#config = config;
    this.#log = log;
    this.#spare = new Spare(log);
    this.#backlog = new Backlog(config, log);
    this.slots = workersOf(config);
    this.#seats = Array.from({ length: this.slots }, () => null);
    this.#restarts = new Restarts(this.slots, (slot) => this.#fork(slot));
    this.#folder = createSocketFolder();
    this.#isActivated = process.env['LISTEN_PID'] === String(process.pid);
    cluster.schedulingPolicy = cluster.SCHED_RR;
    cluster.setupPrimary({
      exec: entry.pathname,
      args: [],
      serialization: 'advanced',
      // A debugger port can serve only one process.
      execArgv: process.execArgv.filter((arg) => !arg.startsWith('--inspect')),
    });
  }

  /**
   * Resolves once every worker serves.
   *
   * @throws ConfigError, or a socket error, as a rejection; all workers are stopped then
   */
  async start(): Promise<Served> {
    // A starting worker serves nobody yet and gets the whole start timeout.
    const limitMs = ({ hasServed }: Seated) => (hasServed ? this.#config.workerStallMs : START_MS);
    this.#endWatch = watch(this.#all, limitMs, this.#log);
    const seats = this.#seats.map((_, slot) => this.#fork(slot));
    try {
      await Promise.all(seats.map((seat) => seat.until(isReady, START_MS)));
      // All open the port together: otherwise the first would get all waiting clients.
      this.#mayServe = true;
      for (const seat of seats) seat.send({ type: 'serve' });
      await Promise.all(seats.map((seat) => seat.until(isServing, START_MS)));
      this.#hasServed = true;
      this.#spare.prepare();
    } catch (error) {
      await this.#abandon();
      throw error;
    }
    return seats[0]?.served as Served;
  }

  /**
   * Replaces the workers one by one with ones that have new options; the port stays open throughout. If
   * one cannot start, the replacement stops and the remaining old workers stay.
   *
   * @throws ConfigError `needs_restart` for options that the primary itself is bound to
   */
  restart(next: Config): Promise<void> {
    checkBound(this.#config, next);
    const before = this.#restarting;
    this.#restarting = before.then(() => this.#replaceAll(next));
    return this.#restarting;
  }

  /** Makes each worker log its held and awaited locks. */
  locks(): void {
    for (const seat of this.#all) seat.send({ type: 'locks' });
  }

  /** Shuts down all workers gracefully. */
  async close(): Promise<ClusterReport> {
    this.#isClosing = true;
    this.#restarts.close();
    this.#spare.close();
    this.#backlog.close();
    const seats = [...this.#all];
    for (const seat of seats) seat.send({ type: 'close' });
    await Promise.all(seats.map((seat) => seat.ended()));
    this.#endWatch();
    rmSync(this.#folder, { recursive: true, force: true });
    const reports = seats.flatMap(({ slot, report }) =>
      report === null ? [] : [{ slot, report }],
    );
    return {
      drained: reports.reduce((sum, { report }) => sum + report.drained, 0),
      abandoned: reports.flatMap(({ report }) => report.abandoned),
      unconfirmed: reports.flatMap(({ report }) => report.unconfirmed),
      waiting: reports.flatMap(({ slot, report }) =>
        report.waiting.map((name) => `${name} of worker ${slot}`),
      ),
      // A worker that never served had no members.
      killed: seats.flatMap((seat) => (seat.report === null && seat.hasServed ? seat.slot : [])),
    };
  }

  get #table() {
    return this.#seats.map((seat) => seat?.incarnation ?? null);
  }

  /** `isHeld`: the worker waits to replace another, so it need not start from the spare process. */
  #fork(slot: number, isHeld = false): Seated {
    this.#incarnations += 1;
    const spare = isHeld ? null : this.#spare.take();
    const worker = spare ?? fork((error) => this.#refused(seat, error));
    const seat: Seated = new Seated(worker, slot, this.#incarnations, isHeld);
    this.#all.add(seat);
    this.#ledger.begin(seat.incarnation, slot);
    if (worker === null) return seat;
    closeWhatIsNotTaken(worker, this.#backlog);
    worker.on('message', (message: ToPrimary) => this.#hear(seat, message));
    worker.on('exit', (code, signal) => this.#exited(seat, code, signal));
    // The channel of a process that has just ended fails; its exit event follows.
    worker.on('error', () => {});
    if (spare !== null) this.#begin(seat);
    return seat;
  }

  #begin(seat: Seated): void {
    const { slot } = seat;
    const config = shareOf(this.#config, slot, this.slots);
    seat.graceMs = config.shutdownGraceMs;
    seat.send({
      type: 'start',
      start: {
        config,
        slot,
        slots: this.slots,
        incarnation: seat.incarnation,
        folder: this.#folder,
        table: this.#table,
        isActivated: this.#isActivated,
      },
    });
  }

  #hear(seat: Seated, message: ToPrimary): void {
    seat.heardAt = nowMs();
    switch (message.type) {
      case 'here':
        // It has not received a `close` that was sent earlier.
        if (this.#isClosing) seat.kill();
        else this.#begin(seat);
        return;
      case 'meshed':
        seat.state = 'meshed';
        if (!seat.isHeld) this.#seat(seat);
        break;
      case 'ready':
        if (seat.state === 'meshed') seat.state = 'ready';
        break;
      case 'serving':
        seat.state = 'serving';
        seat.served = message;
        if (this.#hasServed && !this.#isClosing) this.#spare.prepare();
        break;
      case 'stopped':
        seat.hasStopped = true;
        break;
      case 'drained':
        seat.hasDrained = true;
        this.#endDrained();
        break;
      case 'closed':
        seat.report = message.report;
        break;
      case 'failed':
        seat.failure = message.failure;
        break;
      case 'left':
        this.#ledger.note(seat.incarnation, message.values);
        return;
      case 'gather':
        this.#gather(seat, message.id, message.values);
        return;
      case 'pong':
        return;
    }
    seat.changed();
  }

  /** Gives the worker its slot: all others link to it, and the previous worker leaves. */
  #seat(seat: Seated): void {
    const before = this.#seats[seat.slot];
    const isLeft = before && before !== seat && !isGone(before);
    if (isLeft) before.state = 'leaving';
    seat.isHeld = false;
    this.#seats[seat.slot] = seat;
    for (const each of this.#all) each.send({ type: 'table', table: this.#table });
    if (this.#mayServe) seat.send({ type: 'serve' });
    if (isLeft) before.send({ type: 'close' });
  }

  #gather(asking: Seated, id: number, values: Float64Array): void {
    this.#ledger.note(asking.incarnation, values);
    // A starting worker has counted nothing yet.
    const others = [...this.#all].filter((seat) => seat !== asking && seat.state !== 'starting');
    for (const seat of others) seat.send({ type: 'leave' });
    this.#ledger.gather(
      others.map(({ incarnation }) => incarnation),
      (gathered) => asking.send({ type: 'gathered', id, gathered }),
    );
  }

  /** The machine refused to start a process for it. */
  #refused(seat: Seated, error: Error): void {
    this.#log.error({ err: error, worker: seat.slot }, 'no process can be started for a worker');
    const { message, stack } = error;
    seat.failure = { kind: 'other', message, stack };
    if (this.#end(seat)) this.#restarts.after(seat);
  }

  #exited(seat: Seated, code: number | null, signal: string | null): void {
    const isMissed = this.#end(seat);
    for (const what of ['m', 'h'] as const) {
      // A killed worker leaves its sockets behind.
      rmSync(pathOf(this.#folder, what, seat.slot, seat.incarnation), { force: true });
    }
    if (!isMissed) return;
    // Until all have served once, `start` reports the failure of a worker that has not.
    const isReplaced = this.#hasServed || seat.hasServed;
    this.#log.error(
      { worker: seat.slot, pid: seat.pid, code, signal },
      isReplaced
        ? 'a worker has ended; another one replaces it'
        : 'a worker has ended at the start',
    );
    if (!isReplaced) return;
    this.#ledger.restarts += 1;
    this.#restarts.after(seat);
  }

  /** Returns whether its slot is empty now and needs a new worker. */
  #end(seat: Seated): boolean {
    const wasLeaving = seat.state === 'leaving' || seat.isHeld || this.#isClosing;
    seat.state = 'gone';
    this.#all.delete(seat);
    seat.changed();
    this.#ledger.end(seat.incarnation);
    this.#endDrained();
    // It may not have taken over the slot of a worker that ended before it.
    const holder = this.#seats[seat.slot];
    return !wasLeaving && holder != null && isGone(holder);
  }

  /** Any worker may get requests for members of the others, so all stay until all have drained. */
  #endDrained(): void {
    const all = [...this.#all].filter(({ state }) => state !== 'starting');
    for (const seat of all) {
      const isAlone = seat.state === 'leaving';
      if (seat.hasDrained && (isAlone || all.every(({ hasDrained }) => hasDrained))) {
        seat.send({ type: 'end' });
      }
    }
  }

  async #replaceAll(next: Config): Promise<void> {
    const before = this.#config;
    this.#config = next;
    const primary = this;
    const seats = {
      slots: this.slots,
      get isClosing() {
        return primary.#isClosing;
      },
      at: (slot: number) => this.#seats[slot] ?? null,
      fork: (slot: number) => this.#fork(slot, true),
      seat: (seat: Seated) => this.#seat(seat),
    };
    if (await replaceAll(seats, next, this.#log)) this.#backlog.follow(next);
    else this.#config = before;
  }

  /** Stops all workers after a failed start. */
  async #abandon(): Promise<void> {
    this.#isClosing = true;
    this.#restarts.close();
    this.#backlog.close();
    this.#endWatch();
    const seats = [...this.#all];
    for (const seat of seats) seat.kill();
    await Promise.all(seats.map((seat) => seat.until(isGone, END_MS).catch(() => {})));
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Options that replaced workers cannot change: the port, and the number of workers. */
const BOUND = ['workers', 'host', 'port', 'unixSocket', 'internalPort', 'internalHost'] as const;

function checkBound(now: Config, next: Config): void {
  const bound = Object.fromEntries(BOUND.map((name) => [name, next[name]]));
  checkReload(now, { ...now, ...bound });
}

/**
 * The process that holds the port of several workers and their lives: starts them, has another take the
 * place of one that has ended, and ends all. It serves nothing itself, and no message of a room passes
 * through it.
 *
 * Not here: what a worker does (`worker.ts`), what is known of one (`seated.ts`), one that stands still
 * (`watch.ts`), when another takes its place (`restarts.ts`), new ones for all (`replacement.ts`), one
 * that waits for a slot (`spare.ts`), numbers of them all (`ledger.ts`), signals (`cli/`).
 */
import cluster from 'node:cluster';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
import { Spare } from './spare.js';
import { watch } from './watch.js';

export interface PrimaryOptions {
  readonly config: Config;
  readonly log: Log;
  /** The program of a worker. */
  readonly entry: URL;
}

/** What a shutdown of all came to. */
export interface ClusterReport extends CloseReport {
  /** Slots of workers that had to be killed; what they held is not in the sums. */
  readonly killed: readonly number[];
}

export class Primary {
  readonly slots: number;
  readonly #log: Log;
  readonly #ledger = new Ledger();
  readonly #folder: string;
  readonly #isActivated: boolean;
  #config: Config;
  /** By slot: who has it now. */
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
    this.#folder = mkdtempSync(join(tmpdir(), 'roomcast-'));
    chmodSync(this.#folder, 0o700);
    this.#isActivated = process.env['LISTEN_PID'] === String(process.pid);
    cluster.schedulingPolicy = cluster.SCHED_RR;
    cluster.setupPrimary({
      exec: entry.pathname,
      args: [],
      serialization: 'advanced',
      // A debugger has one process.
      execArgv: process.execArgv.filter((arg) => !arg.startsWith('--inspect')),
    });
  }

  /**
   * Resolves once every worker serves.
   *
   * @throws ConfigError, or the error of a socket, as a rejection; nothing is left then
   */
  async start(): Promise<Served> {
    // Who starts does it with all its time, and serves nobody yet.
    const limitMs = ({ hasServed }: Seated) => (hasServed ? this.#config.workerStallMs : START_MS);
    this.#endWatch = watch(this.#all, limitMs, this.#log);
    const seats = this.#seats.map((_, slot) => this.#fork(slot));
    try {
      await Promise.all(seats.map((seat) => seat.until(isReady, START_MS)));
      // All at once: the first would be given all who wait for the port.
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
   * Replaces the workers one after the other by such with other options; a port stays open throughout.
   * One that cannot start ends it, and the others stay as they were.
   *
   * @throws ConfigError `needs_restart` for what the primary itself is bound to
   */
  restart(next: Config): Promise<void> {
    checkBound(this.#config, next);
    const before = this.#restarting;
    this.#restarting = before.then(() => this.#replaceAll(next));
    return this.#restarting;
  }

  /** Has each worker write to the log what locks are held and waited for. */
  locks(): void {
    for (const seat of this.#all) seat.send({ type: 'locks' });
  }

  /** Ends all workers in an orderly way. */
  async close(): Promise<ClusterReport> {
    this.#isClosing = true;
    this.#restarts.close();
    this.#spare.close();
    this.#backlog.close();
    const seats = [...this.#all];
    const limit = this.#config.shutdownGraceMs + END_MS;
    const killed: number[] = [];
    await Promise.all(
      seats.map(async (seat) => {
        seat.send({ type: 'close' });
        await seat.until(isGone, limit).catch(() => seat.kill());
        if (seat.report === null) killed.push(seat.slot);
      }),
    );
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
      killed,
    };
  }

  get #table() {
    return this.#seats.map((seat) => seat?.incarnation ?? null);
  }

  /** `isHeld`: it waits for its turn, so that there is time for it to start. */
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
    // That of a channel to a process that has just ended: its exit follows.
    worker.on('error', () => {});
    if (spare !== null) this.#begin(seat);
    return seat;
  }

  #begin(seat: Seated): void {
    const { slot } = seat;
    const config = shareOf(this.#config, slot, this.slots);
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
        this.#begin(seat);
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

  /** The slot is its from now on: all others turn to it, and who had it leaves. */
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
    // One that is about to serve has counted nothing yet.
    const others = [...this.#all].filter((seat) => seat !== asking && seat.state !== 'starting');
    for (const seat of others) seat.send({ type: 'leave' });
    this.#ledger.gather(
      others.map(({ incarnation }) => incarnation),
      (gathered) => asking.send({ type: 'gathered', id, gathered }),
    );
  }

  /** The machine gives no process for it. */
  #refused(seat: Seated, error: Error): void {
    this.#log.error({ err: error, worker: seat.slot }, 'no process can be started for a worker');
    const { message, stack } = error;
    seat.failure = { kind: 'other', message, stack };
    if (this.#end(seat)) this.#restarts.after(seat);
  }

  #exited(seat: Seated, code: number | null, signal: string | null): void {
    const isMissed = this.#end(seat);
    for (const what of ['m', 'h'] as const) {
      // One that was killed has left them.
      rmSync(pathOf(this.#folder, what, seat.slot, seat.incarnation), { force: true });
    }
    if (!isMissed) return;
    this.#log.error(
      { worker: seat.slot, pid: seat.pid, code, signal },
      'a worker has ended; the next takes its place',
    );
    // Until the first start is complete, its failure is that of the start.
    if (!this.#hasServed) return;
    this.#ledger.restarts += 1;
    this.#restarts.after(seat);
  }

  /** Says whether its slot has nobody now, and is to have another. */
  #end(seat: Seated): boolean {
    const wasLeaving = seat.state === 'leaving' || seat.isHeld || this.#isClosing;
    seat.state = 'gone';
    this.#all.delete(seat);
    seat.changed();
    this.#ledger.end(seat.incarnation);
    this.#endDrained();
    // It may not have had the slot yet, that of one that ended before it.
    const holder = this.#seats[seat.slot];
    return !wasLeaving && holder != null && isGone(holder);
  }

  /** A request may come to any worker as long as one has members. */
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
    this.#backlog.follow(next);
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
    if (!(await replaceAll(seats, next, this.#log))) this.#config = before;
  }

  /** The start has failed. */
  async #abandon(): Promise<void> {
    this.#isClosing = true;
    this.#backlog.close();
    this.#endWatch();
    const seats = [...this.#all];
    for (const seat of seats) seat.kill();
    await Promise.all(seats.map((seat) => seat.until(isGone, END_MS).catch(() => {})));
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** What workers that come anew cannot have otherwise than those before: the port, and how many they are. */
const BOUND = ['workers', 'host', 'port', 'unixSocket', 'internalPort', 'internalHost'] as const;

function checkBound(now: Config, next: Config): void {
  const bound = Object.fromEntries(BOUND.map((name) => [name, next[name]]));
  checkReload(now, { ...now, ...bound });
}

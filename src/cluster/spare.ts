/**
 * One idle process that has loaded the worker program and waits for a slot. When a worker dies, its
 * rooms then wait for a message to the spare and not for a process start, which takes ten times as
 * long, or more on a busy machine. It costs the memory of an idle process.
 */
import type { Worker } from 'node:cluster';
import type { Log } from '../log.js';
import { clearTimeout, setTimeout } from '../time.js';
import { fork } from './fork.js';
import type { ToPrimary } from './messages.js';

/** Delay before another spare is started after one has ended or failed to start, in milliseconds. */
const AGAIN_MS = 5000;

export class Spare {
  #worker: Worker | null = null;
  #isHere = false;
  #again: NodeJS.Timeout | undefined;
  #isClosed = false;
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Starts a spare unless there is one. */
  prepare(): void {
    if (this.#isClosed || this.#worker !== null) return;
    clearTimeout(this.#again);
    this.#worker = fork(this.#refused);
    this.#worker
      ?.on('message', this.#heard)
      .on('exit', this.#exited)
      // The channel of a process that has just ended fails; its exit event follows.
      .on('error', ignore);
  }

  /** Hands over the spare, which has already sent `here`; null if none is ready. */
  take(): Worker | null {
    return this.#isHere ? this.#release() : null;
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#again);
    this.#release()?.process.kill('SIGKILL');
  }

  readonly #heard = ({ type }: ToPrimary): void => {
    if (type === 'here') this.#isHere = true;
  };

  readonly #exited = (): void => {
    this.#release();
    this.#prepareLater();
  };

  readonly #refused = (error: Error): void => {
    this.#log.warn({ err: error }, 'no spare process can be started');
    this.#prepareLater();
  };

  #prepareLater(): void {
    clearTimeout(this.#again);
    if (!this.#isClosed) this.#again = setTimeout(() => this.prepare(), AGAIN_MS);
  }

  #release(): Worker | null {
    const worker = this.#worker;
    this.#worker = null;
    this.#isHere = false;
    worker?.off('message', this.#heard).off('exit', this.#exited).off('error', ignore);
    return worker;
  }
}

const ignore = (): void => {};

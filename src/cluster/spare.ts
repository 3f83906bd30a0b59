/**
 * One process that has loaded the program of a worker and waits for a slot: when a worker ends, its rooms
 * wait for this one to be told so, and not for a process to start, which takes ten times as long, and
 * more on a machine that is busy. It costs the memory of an idle process.
 */
import type { Worker } from 'node:cluster';
import type { Log } from '../log.js';
import { clearTimeout, setTimeout } from '../time.js';
import { fork } from './fork.js';
import type { ToPrimary } from './messages.js';

/** Until another is tried where one has ended. */
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

  /** Has one some time from now on. */
  prepare(): void {
    if (this.#worker !== null) return;
    clearTimeout(this.#again);
    this.#worker = fork(this.#refused);
    this.#worker
      ?.on('message', this.#heard)
      .on('exit', this.#exited)
      // That of a channel to a process that has just ended: its exit follows.
      .on('error', ignore);
  }

  /** It is the caller's from now on, and has said that it is here; null where there is none yet. */
  take(): Worker | null {
    return this.#isHere ? this.#letGo() : null;
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#again);
    this.#letGo()?.process.kill('SIGKILL');
  }

  readonly #heard = ({ type }: ToPrimary): void => {
    if (type === 'here') this.#isHere = true;
  };

  readonly #exited = (): void => {
    this.#letGo();
    this.#prepareLater();
  };

  readonly #refused = (error: Error): void => {
    this.#log.warn({ err: error }, 'no process can be started that waits for a slot');
    this.#prepareLater();
  };

  #prepareLater(): void {
    clearTimeout(this.#again);
    if (!this.#isClosed) this.#again = setTimeout(() => this.prepare(), AGAIN_MS);
  }

  #letGo(): Worker | null {
    const worker = this.#worker;
    this.#worker = null;
    this.#isHere = false;
    worker?.off('message', this.#heard).off('exit', this.#exited).off('error', ignore);
    return worker;
  }
}

const ignore = (): void => {};

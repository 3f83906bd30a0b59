/**
 * One process that has loaded the program of a worker and waits for a slot: when a worker ends, its rooms
 * wait for this one to be told so, and not for a process to start, which takes ten times as long, and
 * more on a machine that is busy. It costs the memory of an idle process.
 */
import cluster, { type Worker } from 'node:cluster';
import { clearTimeout, setTimeout } from '../time.js';
import type { ToPrimary } from './messages.js';

/** Until another is tried where one has ended. */
const AGAIN_MS = 5000;

export class Spare {
  #worker: Worker | null = null;
  #isHere = false;
  #again: NodeJS.Timeout | undefined;

  /** Has one some time from now on. */
  prepare(): void {
    if (this.#worker !== null) return;
    clearTimeout(this.#again);
    this.#worker = cluster
      .fork()
      .on('message', this.#heard)
      .on('exit', this.#exited)
      // That of a channel to a process that has just ended: its exit follows.
      .on('error', ignore);
  }

  /** It is the caller's from now on, and has said that it is here; null where there is none yet. */
  take(): Worker | null {
    return this.#isHere ? this.#letGo() : null;
  }

  close(): void {
    clearTimeout(this.#again);
    this.#letGo()?.process.kill('SIGKILL');
  }

  readonly #heard = ({ type }: ToPrimary): void => {
    if (type === 'here') this.#isHere = true;
  };

  readonly #exited = (): void => {
    this.#letGo();
    this.#again = setTimeout(() => this.prepare(), AGAIN_MS);
  };

  #letGo(): Worker | null {
    const worker = this.#worker;
    this.#worker = null;
    this.#isHere = false;
    worker?.off('message', this.#heard).off('exit', this.#exited).off('error', ignore);
    return worker;
  }
}

const ignore = (): void => {};

/**
 * State of one worker in the primary: its process, its slot ("seat"), its lifecycle, and waiting for
 * state changes. V8: every wait has a deadline, and its error names the worker.
 *
 * Not here: operations on workers (`primary.ts`, `replacement.ts`).
 */
import type { Worker } from 'node:cluster';
import { ConfigError, type ConfigErrorCode } from '../errors.js';
import type { ListenError } from '../listeners.js';
import type { CloseReport } from '../roomcast.js';
import { clearTimeout, nowMs, setTimeout } from '../time.js';
import type { Failure, ToWorker } from './messages.js';

/** Start timeout of a worker, which loads a program, in milliseconds. */
export const START_MS = 60_000;
/** Time besides `shutdownGraceMs` for a worker to write its log and exit, in milliseconds. */
export const END_MS = 3000;

export interface Served {
  readonly url: string;
  readonly internalUrl: string;
}

type State = 'starting' | 'meshed' | 'ready' | 'serving' | 'leaving' | 'gone';

export class Seated {
  readonly since = nowMs();
  state: State = 'starting';
  heardAt = nowMs();
  /** `shutdownGraceMs` of the options it was started with; a replacement may have other options. */
  graceMs = 0;
  hasStopped = false;
  hasDrained = false;
  report: CloseReport | null = null;
  failure: Failure | null = null;
  served: Served | null = null;
  readonly #changed = new Set<() => void>();

  /**
   * `worker`: null if the machine refused a process; the state is `gone` soon after. `isHeld`: it
   * replaces another worker and waits for its turn.
   */
  constructor(
    readonly worker: Worker | null,
    readonly slot: number,
    readonly incarnation: number,
    public isHeld: boolean,
  ) {}

  /** It has opened the port, so it may have members. */
  get hasServed(): boolean {
    return this.served !== null;
  }

  get pid(): number | undefined {
    return this.worker?.process.pid;
  }

  send(message: ToWorker): void {
    // An ended worker is handled by its exit event.
    if (this.state !== 'gone' && this.worker?.isConnected()) this.worker.send(message, () => {});
  }

  kill(): void {
    this.worker?.process.kill('SIGKILL');
  }

  /** Resolves once it has exited after `close`; kills it if it takes longer than its grace. */
  async ended(): Promise<void> {
    await this.until(isGone, this.graceMs + END_MS).catch(() => this.kill());
  }

  /** Some state has changed: waiters check their conditions. */
  changed(): void {
    for (const look of this.#changed) look();
  }

  /**
   * Waits until `is` holds. @throws Error if the worker ends or `limitMs` pass first; as a rejection.
   */
  until(is: (seat: Seated) => boolean, limitMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (is(this)) finish(resolve);
        else if (this.failure !== null) finish(() => reject(errorOf(this.failure as Failure)));
        else if (this.state === 'gone') {
          finish(() => reject(new Error(`worker ${this.slot} has ended`)));
        }
      };
      const finish = (settle: () => void) => {
        clearTimeout(timer);
        this.#changed.delete(look);
        settle();
      };
      const timer = setTimeout(
        () => finish(() => reject(new Error(`worker ${this.slot} has not answered in time`))),
        limitMs,
      );
      this.#changed.add(look);
      look();
    });
  }
}

export const isReady = ({ state }: Seated) => state === 'ready';
export const isServing = ({ state }: Seated) => state === 'serving';
export const isGone = ({ state }: Seated) => state === 'gone';

function errorOf({ kind, message, code, option, stack }: Failure): Error {
  if (kind === 'config') {
    return new ConfigError(message, { code: code as ConfigErrorCode, option: option ?? null });
  }
  const error: ListenError = Object.assign(new Error(message), { code, option } as object);
  if (stack !== undefined) error.stack = stack;
  return error;
}

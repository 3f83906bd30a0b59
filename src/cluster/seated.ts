/**
 * One worker as the primary knows it: its process, the slot it has, how far its life has come, and waiting
 * for that. V8: every wait has a deadline, and its end names the worker.
 *
 * Not here: what is done with workers (`primary.ts`, `replacement.ts`).
 */
import type { Worker } from 'node:cluster';
import { ConfigError, type ConfigErrorCode } from '../errors.js';
import type { ListenError } from '../listeners.js';
import type { CloseReport } from '../roomcast.js';
import { clearTimeout, nowMs, setTimeout } from '../time.js';
import type { Failure, ToWorker } from './messages.js';

/** A worker may take so long to come up: it loads a program. */
export const START_MS = 60_000;
/** What a worker has beside `shutdownGraceMs` to write its log and end. */
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
  hasStopped = false;
  hasDrained = false;
  report: CloseReport | null = null;
  failure: Failure | null = null;
  served: Served | null = null;
  readonly #changed = new Set<() => void>();

  /** `worker`: null where the machine gave none; it is gone soon. `isHeld`: it replaces another and waits for its turn. */
  constructor(
    readonly worker: Worker | null,
    readonly slot: number,
    readonly incarnation: number,
    public isHeld: boolean,
  ) {}

  /** Members may be at it. */
  get hasServed(): boolean {
    return this.served !== null;
  }

  get pid(): number | undefined {
    return this.worker?.process.pid;
  }

  send(message: ToWorker): void {
    // A worker that has ended says so by its exit.
    if (this.state !== 'gone' && this.worker?.isConnected()) this.worker.send(message, () => {});
  }

  kill(): void {
    this.worker?.process.kill('SIGKILL');
  }

  /** Something of it is another now: who waits looks. */
  changed(): void {
    for (const look of this.#changed) look();
  }

  /** @throws Error where it ends, or `limitMs` pass, before it `is` so; as a rejection. */
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

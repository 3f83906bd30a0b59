/**
 * How a worker that is not in this process is reached: orders one way, answers and reports the other.
 * A worker process of this machine, or one behind an agent; `PortWorker` makes either a `Worker`.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Sent } from './engine.js';
import { LoadError, type LoadErrorCode } from './error.js';
import type { Worker } from './fleet.js';
import type { WorkerReport } from './measure/worker-report.js';
import type { Plan } from './plan.js';

type Step = 'create' | 'connect' | 'run' | 'drain' | 'close' | 'stop';
/** What travels to a worker, and back. */
export type Order = { id: number; step: Step; args: unknown[] };
export type Answer =
  | { id: number; result: unknown }
  | { id: number; error: { code: LoadErrorCode; message: string } }
  | { report: WorkerReport };

export interface Port {
  /** Does nothing once the worker is lost. */
  send(order: Order): void;
  /** Lets go of the worker, which ends. */
  disconnect(): void;
}

export interface PortEvents {
  answer(answer: Answer): void;
  /** Once, unless `disconnect` came first. @param reason completes "was lost: …" */
  lost(reason: string): void;
}

/** A worker process of this machine; it ends when this one does. */
export class ProcessPort implements Port {
  readonly #process: ChildProcess;

  constructor(events: PortEvents) {
    this.#process = fork(fileURLToPath(new URL('./worker.js', import.meta.url)), {
      serialization: 'advanced',
    });
    this.#process
      .on('message', (answer: Answer) => events.answer(answer))
      .on('exit', (code, signal) => events.lost(String(signal ?? code)))
      // A message that could not be sent: the exit that follows says why.
      .on('error', () => {});
  }

  send(order: Order): void {
    if (this.#process.connected) this.#process.send(order);
  }

  disconnect(): void {
    if (this.#process.connected) this.#process.disconnect();
  }
}

interface Waiting {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

export class PortWorker implements Worker {
  readonly #port: Port;
  readonly #waiting = new Map<number, Waiting>();
  #orders = 0;
  #lost: LoadError | undefined;

  /**
   * @param name completes "… was lost"
   * @param open opens its port
   */
  constructor(
    name: string,
    open: (events: PortEvents) => Port,
    onReport: (report: WorkerReport) => void,
  ) {
    this.#port = open({
      answer: (answer) => {
        if ('report' in answer) return onReport(answer.report);
        const waiting = this.#waiting.get(answer.id);
        this.#waiting.delete(answer.id);
        if ('error' in answer) {
          waiting?.reject(new LoadError(answer.error.code, answer.error.message));
        } else waiting?.resolve(answer.result);
      },
      lost: (reason) => {
        this.#lost = new LoadError('worker_lost', `${name}: ${reason}`);
        for (const waiting of this.#waiting.values()) waiting.reject(this.#lost);
        this.#waiting.clear();
      },
    });
  }

  create(plan: Plan, index: number, epoch: number): Promise<void> {
    return this.#order('create', plan, index, epoch);
  }

  connect(): Promise<void> {
    return this.#order('connect');
  }

  run(start: number): Promise<Sent> {
    return this.#order('run', start);
  }

  drain(finals: readonly number[]): Promise<void> {
    return this.#order('drain', finals);
  }

  async close(): Promise<void> {
    if (this.#lost) return;
    await this.#order('close');
    this.#port.disconnect();
  }

  stop(): void {
    if (!this.#lost) void this.#order('stop').catch(() => {});
  }

  #order<Result>(step: Step, ...args: unknown[]): Promise<Result> {
    if (this.#lost) return Promise.reject(this.#lost);
    const id = this.#orders++;
    return new Promise<unknown>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#port.send({ id, step, args });
    }) as Promise<Result>;
  }
}

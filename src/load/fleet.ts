/**
 * The workers of a run: one in this process, or several of their own, behind one face. A worker
 * process is an `Engine` behind messages (worker.ts); it ends when this one does.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Engine, type Sent } from './engine.js';
import { LoadError, type LoadErrorCode } from './error.js';
import type { WorkerReport } from './measure/worker-report.js';
import type { Plan } from './plan.js';

/** The steps of `Engine`, wherever it runs. */
export interface Worker {
  connect(): Promise<void>;
  run(start: number): Promise<Sent>;
  drain(finals: readonly number[]): Promise<void>;
  close(): Promise<void>;
  stop(): void;
}

type Step = 'create' | 'connect' | 'run' | 'drain' | 'close' | 'stop';
/** What travels to a worker process, and back. */
export type Order = { id: number; step: Step; args: unknown[] };
export type Answer =
  | { id: number; result: unknown }
  | { id: number; error: { code: LoadErrorCode; message: string } }
  | { report: WorkerReport };

/** All workers of a run, led together. Reports name the worker they come from, from 0. */
export class Fleet {
  readonly #workers: readonly Worker[];
  #closing: Promise<void> | undefined;

  static async open(
    plan: Plan,
    epoch: number,
    onReport: (worker: number, report: WorkerReport) => void,
  ): Promise<Fleet> {
    if (plan.workers === 1) {
      return new Fleet([await Engine.create(plan, 0, epoch, (report) => onReport(0, report))]);
    }
    const workers = Array.from(
      { length: plan.workers },
      (_, index) => new WorkerProcess((report) => onReport(index, report)),
    );
    await Promise.all(workers.map((worker, index) => worker.create(plan, index, epoch)));
    return new Fleet(workers);
  }

  private constructor(workers: readonly Worker[]) {
    this.#workers = workers;
  }

  async connect(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.connect()));
  }

  async run(start: number): Promise<Sent> {
    const sent = await Promise.all(this.#workers.map((worker) => worker.run(start)));
    return {
      stoppedAt: Math.max(...sent.map(({ stoppedAt }) => stoppedAt)),
      byPublisher: sent.flatMap(({ byPublisher }) => byPublisher),
      finals: sent.flatMap(({ finals }) => finals),
      asked: sent.reduce((sum, { asked }) => sum + asked, 0),
      confirmed: sent.reduce((sum, { confirmed }) => sum + confirmed, 0),
    };
  }

  async drain(finals: readonly number[]): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.drain(finals)));
  }

  stop(): void {
    for (const worker of this.#workers) worker.stop();
  }

  /** May be called again. */
  close(): Promise<void> {
    this.#closing ??= Promise.all(this.#workers.map((worker) => worker.close())).then(() => {});
    return this.#closing;
  }
}

interface Waiting {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

class WorkerProcess implements Worker {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #orders = 0;

  constructor(onReport: (report: WorkerReport) => void) {
    this.#process = fork(fileURLToPath(new URL('./worker.js', import.meta.url)), {
      serialization: 'advanced',
    });
    this.#process
      .on('message', (answer: Answer) => {
        if ('report' in answer) return onReport(answer.report);
        const waiting = this.#waiting.get(answer.id);
        this.#waiting.delete(answer.id);
        if ('error' in answer) {
          waiting?.reject(new LoadError(answer.error.code, answer.error.message));
        } else waiting?.resolve(answer.result);
      })
      .on('exit', (code, signal) => {
        const lost = new LoadError('worker_lost', `a worker process ended: ${signal ?? code}`);
        for (const waiting of this.#waiting.values()) waiting.reject(lost);
      })
      // A message that could not be sent: the exit that follows says why.
      .on('error', () => {});
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
    if (!this.#process.connected) return;
    await this.#order('close');
    this.#process.disconnect();
  }

  stop(): void {
    if (this.#process.connected) void this.#order('stop').catch(() => {});
  }

  #order<Result>(step: Step, ...args: unknown[]): Promise<Result> {
    const id = this.#orders++;
    return new Promise<unknown>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#process.send({ id, step, args } satisfies Order);
    }) as Promise<Result>;
  }
}

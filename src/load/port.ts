/**
 * Reaches a worker outside of this process: sends orders, receives answers and reports. The worker is a
 * process on this machine or behind an agent; `PortWorker` wraps either as a `Worker` and declares it
 * lost if it ends or hangs, so that no order waits forever (V8).
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Sent } from './engine.js';
import { LoadError, type LoadErrorCode } from './error.js';
import type { Worker } from './fleet.js';
import type { WorkerReport } from './measure/worker-report.js';
import type { Plan } from './plan.js';

type Step = 'inspect' | 'meet' | 'create' | 'connect' | 'run' | 'drain' | 'close' | 'stop';
/** What is sent to a worker, and what it sends back. */
export type Order = { id: number; step: Step; args: unknown[] };
export type Answer =
  | { id: number; result: unknown }
  | { id: number; error: ToldError }
  | { report: WorkerReport }
  /** Sent every second while its event loop runs. */
  | { alive: true }
  /** An exception outside of any order; the process ends after it. */
  | { crashed: ToldError };

/** A serialized error: a `LoadError` has its code; any other error is a bug and has its stack. */
export type ToldError =
  | { code: LoadErrorCode; message: string }
  | { message: string; stack: string | undefined };

export const ALIVE_EVERY_MS = 1000;
/** A worker that sends nothing for longer than this hangs. A process gets `START_MS` to start. */
const HUNG_MS = 10_000;
/** Why a hung worker is lost. */
export const HUNG = `it has not answered for ${HUNG_MS / 1000} s`;
const START_MS = 30_000;
/** Time to process messages that arrived while this process itself was blocked. */
const BACKLOG_MS = 1000;
/** A released worker process has this long to end by itself; then it is killed. */
const END_MS = 2000;

/** The built worker of the package, whether this file runs from `src/` or from `dist/`. */
const WORKER = fileURLToPath(new URL('../../dist/load/worker.js', import.meta.url));

export interface Port {
  /** Does nothing once the worker is lost. */
  send(order: Order): void;
  /** Releases the worker, which then ends; it is killed if it does not, or at once if it hangs. */
  disconnect(isHung?: boolean): void;
}

export interface PortEvents {
  answer(answer: Answer): void;
  /** Called once, unless `disconnect` came first. @param reason completes "was lost: …" */
  lost(reason: string): void;
}

/** Worker processes; killed when this process exits, since a hung one does not notice the disconnect. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A worker process on this machine. Its output goes to standard error. */
export class ProcessPort implements Port {
  readonly #process: ChildProcess;

  constructor(events: PortEvents) {
    this.#process = fork(WORKER, { serialization: 'advanced', stdio: ['ignore', 2, 2, 'ipc'] });
    running.add(this.#process);
    this.#process
      .on('message', (answer: Answer) => events.answer(answer))
      .on('exit', (code, signal) => {
        running.delete(this.#process);
        events.lost(`its process ended: ${signal ?? `exit code ${code}`}`);
      })
      // Sending failed; the exit that follows gives the reason.
      .on('error', () => {});
  }

  send(order: Order): void {
    if (this.#process.connected) this.#process.send(order);
  }

  disconnect(isHung = false): void {
    if (this.#process.connected) this.#process.disconnect();
    if (isHung) {
      this.#process.kill('SIGKILL');
      return;
    }
    const force = setTimeout(() => this.#process.kill('SIGKILL'), END_MS);
    this.#process.once('exit', () => clearTimeout(force));
  }
}

interface Waiting {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

export class PortWorker implements Worker {
  readonly #port: Port;
  readonly #lostError: (reason: string) => LoadError;
  readonly #waiting = new Map<number, Waiting>();
  #orders = 0;
  /** Why the worker is lost or has crashed. */
  #gone: Error | undefined;
  #silence: NodeJS.Timeout;
  #messages = 0;

  /**
   * @param lostError makes the error for a lost worker
   * @param open opens its port
   */
  constructor(
    lostError: (reason: string) => LoadError,
    open: (events: PortEvents) => Port,
    onReport: (report: WorkerReport) => void,
  ) {
    this.#lostError = lostError;
    this.#silence = setTimeout(() => this.#silent(), START_MS);
    this.#port = open({
      answer: (answer) => {
        this.#received();
        if ('alive' in answer) return;
        if ('report' in answer) return onReport(answer.report);
        if ('crashed' in answer) return this.#end(asError(answer.crashed));
        const waiting = this.#waiting.get(answer.id);
        this.#waiting.delete(answer.id);
        if ('error' in answer) waiting?.reject(asError(answer.error));
        else waiting?.resolve(answer.result);
      },
      lost: (reason) => this.#end(lostError(reason)),
    });
  }

  create(plan: Plan, index: number, epoch: number): Promise<void> {
    return this.order('create', plan, index, epoch);
  }

  connect(): Promise<void> {
    return this.order('connect');
  }

  run(start: number): Promise<Sent> {
    return this.order('run', start);
  }

  drain(finals: readonly number[], areConfirmed: boolean): Promise<void> {
    return this.order('drain', finals, areConfirmed);
  }

  async close(): Promise<void> {
    try {
      if (!this.#gone) await this.order('close');
    } finally {
      this.release();
    }
  }

  stop(): void {
    // If this fails, the next awaited order reports it.
    if (!this.#gone) void this.order('stop').catch(() => {});
  }

  /** Releases the worker without reporting a loss. */
  release(): void {
    clearTimeout(this.#silence);
    this.#port.disconnect();
  }

  order<Result>(step: Step, ...args: unknown[]): Promise<Result> {
    if (this.#gone) return Promise.reject(this.#gone);
    const id = this.#orders++;
    return new Promise<unknown>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#port.send({ id, step, args });
    }) as Promise<Result>;
  }

  #received(): void {
    this.#messages++;
    if (this.#gone) return;
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#silent(), HUNG_MS);
  }

  #silent(): void {
    const messages = this.#messages;
    this.#silence = setTimeout(() => {
      if (this.#messages !== messages) return;
      this.#end(this.#lostError(HUNG));
      this.#port.disconnect(true);
    }, BACKLOG_MS);
  }

  #end(why: Error): void {
    if (this.#gone) return;
    clearTimeout(this.#silence);
    this.#gone = why;
    for (const waiting of this.#waiting.values()) waiting.reject(why);
    this.#waiting.clear();
  }
}

export function toldError(error: unknown): ToldError {
  if (error instanceof LoadError) return { code: error.code, message: error.message };
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  return { message, stack };
}

function asError(told: ToldError): Error {
  if ('code' in told) return new LoadError(told.code, told.message);
  const error = new Error(told.message);
  if (told.stack !== undefined) error.stack = told.stack;
  return error;
}

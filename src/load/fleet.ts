/**
 * The workers of a run: one in this process, several processes, or those of agents, behind one
 * face. Not here: how a worker elsewhere is reached (port.ts).
 */
import type { Agents } from './agent/agents.js';
import { Engine, type Sent } from './engine.js';
import type { WorkerReport } from './measure/worker-report.js';
import type { Plan } from './plan.js';
import { PortWorker, ProcessPort } from './port.js';

/** The steps of `Engine`, wherever it runs. */
export interface Worker {
  connect(): Promise<void>;
  run(start: number): Promise<Sent>;
  drain(finals: readonly number[]): Promise<void>;
  close(): Promise<void>;
  stop(): void;
}

/** All workers of a run, led together. Reports name the worker they come from, from 0. */
export class Fleet {
  readonly #workers: readonly Worker[];
  #closing: Promise<void> | undefined;

  /** @param agents where they are, if not in this process and on this machine */
  static async open(
    plan: Plan,
    epoch: number,
    onReport: (worker: number, report: WorkerReport) => void,
    agents?: Agents,
  ): Promise<Fleet> {
    if (plan.workers === 1 && !agents) {
      return new Fleet([await Engine.create(plan, 0, epoch, (report) => onReport(0, report))]);
    }
    const workers = Array.from({ length: plan.workers }, (_, index) => {
      const report = (report: WorkerReport): void => onReport(index, report);
      if (!agents) {
        return new PortWorker(
          'a worker process ended',
          (events) => new ProcessPort(events),
          report,
        );
      }
      return new PortWorker(agents.lostName(index), (events) => agents.port(index, events), report);
    });
    await Promise.all(
      workers.map((worker, index) =>
        worker.create(plan, index, agents ? agents.theirs(index, epoch) : epoch),
      ),
    );
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

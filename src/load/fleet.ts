/**
 * The workers of a run behind one interface: one in this process, several processes, or workers of
 * agents. Not here: the connection to a worker outside of this process (port.ts).
 */
import type { Agents } from './agent/agents.js';
import { Engine, type Sent } from './engine.js';
import { LoadError } from './error.js';
import type { WorkerReport } from './measure/worker-report.js';
import type { Plan } from './plan.js';
import { HUNG, PortWorker, ProcessPort } from './port.js';

/** The steps of `Engine`, wherever the engine runs. */
export interface Worker {
  connect(): Promise<void>;
  run(start: number): Promise<Sent>;
  drain(finals: readonly number[], areConfirmed: boolean): Promise<void>;
  close(): Promise<void>;
  stop(): void;
}

/**
 * All workers of a run, ordered together. Reports carry the number of their worker, from 0. If one
 * worker is lost, the run ends: the others are stopped, and the remaining steps go to them alone.
 */
export class Fleet {
  readonly #workers: readonly Worker[];
  readonly #gone = new Set<Worker>();
  #lost: string | null = null;
  #closing: Promise<void> | undefined;

  /**
   * @param agents that run the workers, instead of this machine
   * @throws LoadError `bad_protocol`
   */
  static async open(
    plan: Plan,
    epoch: number,
    onReport: (worker: number, report: WorkerReport) => void,
    agents?: Agents,
  ): Promise<Fleet> {
    const { protocol } = plan.target;
    // A protocol file may loop forever: it runs in a process that can be killed.
    if (plan.workers === 1 && !agents && !protocol) {
      return new Fleet([await Engine.create(plan, 0, epoch, (report) => onReport(0, report))]);
    }
    const hint = protocol ? `: perhaps a function of ${protocol.file} does not return` : '';
    const lost = (name: string, reason: string): LoadError =>
      new LoadError('worker_lost', `${name} was lost: ${reason}${reason === HUNG ? hint : ''}`);
    const workers = Array.from({ length: plan.workers }, (_, index) => {
      const report = (report: WorkerReport): void => onReport(index, report);
      if (!agents) {
        return new PortWorker(
          (reason) => lost('a worker process', reason),
          (events) => new ProcessPort(events),
          report,
        );
      }
      return new PortWorker(
        (reason) => lost(`agent ${agents.nameOf(index)}`, reason),
        (events) => agents.port(index, events),
        report,
      );
    });
    const fleet = new Fleet(workers);
    try {
      await fleet.#each((worker) => {
        const index = workers.indexOf(worker as PortWorker);
        return workers[index]!.create(plan, index, agents ? agents.theirs(index, epoch) : epoch);
      });
    } catch (error) {
      for (const worker of workers) worker.release();
      throw error;
    }
    // Workers that were not created yet have not received the stop.
    if (fleet.#lost !== null) fleet.stop();
    return fleet;
  }

  private constructor(workers: readonly Worker[]) {
    this.#workers = workers;
  }

  /** Why a worker was lost, in words; null while none is. */
  get lost(): string | null {
    return this.#lost;
  }

  async connect(): Promise<void> {
    await this.#each((worker) => worker.connect());
  }

  /** @param start µs since the epoch */
  async run(start: number): Promise<Sent> {
    const sent = await this.#each((worker) => worker.run(start));
    return {
      stoppedAt: Math.max(0, ...sent.map(({ stoppedAt }) => stoppedAt)),
      byPublisher: sent.flatMap(({ byPublisher }) => byPublisher),
      finals: sent.flatMap(({ finals }) => finals),
      asked: sent.reduce((sum, { asked }) => sum + asked, 0),
      confirmed: sent.reduce((sum, { confirmed }) => sum + confirmed, 0),
    };
  }

  async drain(finals: readonly number[], areConfirmed: boolean): Promise<void> {
    await this.#each((worker) => worker.drain(finals, areConfirmed));
  }

  stop(): void {
    for (const worker of this.#workers) worker.stop();
  }

  /** May be called again. */
  close(): Promise<void> {
    this.#closing ??= this.#each((worker) => worker.close()).then(() => {});
    return this.#closing;
  }

  /** Runs a step on every remaining worker and collects the results. */
  async #each<Result>(step: (worker: Worker) => Promise<Result>): Promise<Result[]> {
    const led = this.#workers.filter((worker) => !this.#gone.has(worker));
    const answers = await Promise.all(
      led.map(async (worker) => {
        try {
          return [await step(worker)];
        } catch (error) {
          if (!(error instanceof LoadError) || error.code !== 'worker_lost') throw error;
          this.#gone.add(worker);
          this.#lost ??= error.message;
          this.stop();
          return [];
        }
      }),
    );
    return answers.flat();
  }
}

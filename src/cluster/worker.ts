/**
 * One of several workers on one port: a roomcast that follows the primary's commands and is connected
 * to the other workers. It leaves signals to the primary, and shuts down gracefully if the primary
 * dies.
 *
 * V8: it closes what it opens. V10: it reports its metrics to the primary before anyone sees them.
 *
 * Not here: its log (`cli/worker.ts`), the primary (`primary.ts`).
 */
import cluster from 'node:cluster';
import { rmdirSync } from 'node:fs';
import { MeshBroker } from '../broker/mesh/mesh.js';
import { compose } from '../compose.js';
import { ConfigError, Refusal } from '../errors.js';
import { type ListenError, listenersOf } from '../listeners.js';
import type { Log } from '../log.js';
import type { Gauges } from '../metrics/gauges.js';
import { pack } from '../metrics/packed.js';
import type { Gathered } from '../metrics/workers.js';
import type { Config } from '../options/config.js';
import type { Seat } from '../seat.js';
import { type Listening, listen } from '../serve.js';
import { clearInterval, clearTimeout, setInterval, setTimeout } from '../time.js';
import type { Failure, Start, Table, ToPrimary, ToWorker } from './messages.js';
import { listenersIn, pathOf } from './messages.js';
import { Peers } from './peers.js';
import { takeRevocations } from './take-revocations.js';

/** Interval of reporting metrics to the primary, in case the worker dies without a last report. */
const LEAVE_MS = 1000;
/** Timeout for the primary's answer, in milliseconds. */
const GATHER_MS = 2000;

export interface WorkerOptions {
  /** Called once the options are known. */
  createLog(config: Config, slot: number): Log;
  /** Called once the worker serves. */
  served(): void;
  /** Called once the worker has released everything. */
  ended(): void;
}

/** Starts to follow the primary's commands. */
export function joinWorkers(options: WorkerOptions): void {
  const tell = (message: ToPrimary) => {
    // If the primary has just died the send fails; without a callback the error would be uncaught.
    if (process.connected) process.send?.(message, undefined, undefined, () => {});
  };
  let worker: WorkerProcess | null = null;
  process.on('message', (message: ToWorker) => {
    if (message.type === 'start') worker = new WorkerProcess(message.start, options, tell);
    else worker?.obey(message);
  });
  tell({ type: 'here' });
  cluster.worker?.on('disconnect', () => {
    // Otherwise Node exits the process at once.
    if (cluster.worker) cluster.worker.exitedAfterDisconnect = true;
    if (worker === null || worker.hasEnded) options.ended();
    else worker.obey({ type: 'close' });
  });
}

class WorkerProcess {
  hasEnded = false;
  readonly #start: Start;
  readonly #options: WorkerOptions;
  readonly #tell: (message: ToPrimary) => void;
  readonly #log: Log;
  readonly #gatherings = new Map<number, (gathered: Gathered) => void>();
  readonly #closing = new AbortController();
  #gathered = 0;
  #table: Table;
  #mesh: MeshBroker | null = null;
  #served: Listening | null = null;
  #mayOpen: () => void = () => {};
  #mayEnd: () => void = () => {};
  #leave: () => void = () => {};

  constructor(start: Start, options: WorkerOptions, tell: (message: ToPrimary) => void) {
    this.#start = start;
    this.#options = options;
    this.#tell = tell;
    this.#table = start.table;
    this.#log = options.createLog(start.config, start.slot);
    this.#run().catch((error: unknown) => {
      this.#end({ type: 'failed', failure: failureOf(error) });
    });
  }

  obey(message: ToWorker): void {
    switch (message.type) {
      case 'table':
        this.#table = message.table;
        this.#meet();
        return;
      case 'serve':
        this.#mayOpen();
        return;
      case 'stop':
        this.#served?.stopListening();
        this.#tell({ type: 'stopped' });
        return;
      case 'close':
        this.#mayOpen();
        this.#closing.abort();
        return;
      case 'end':
        this.#mayEnd();
        return;
      case 'ping':
        this.#tell({ type: 'pong' });
        return;
      case 'locks':
        this.#log.info({ locks: this.#served?.roomcast.locks() }, 'locks');
        return;
      case 'leave':
        this.#leave();
        return;
      case 'gathered': {
        this.#gatherings.get(message.id)?.(message.gathered);
        this.#gatherings.delete(message.id);
      }
    }
  }

  async #run(): Promise<void> {
    const { config, slot, slots, incarnation, folder } = this.#start;
    const own = pathOf(folder, 'h', slot, incarnation);
    const peers = new Peers({
      slot,
      slots,
      pathPrefix: config.pathPrefix,
      pathOf: (other) => {
        const at = this.#table[other];
        return at === null || at === undefined ? null : pathOf(folder, 'h', other, at);
      },
      listening: () => listenersIn(folder).filter(({ path }) => path !== own),
      ownedRooms: () => this.#mesh?.ownedRooms ?? 0,
      missed: () => composed.recorder.surveyMissed(),
    });
    const seat: Seat = {
      slot,
      slots,
      around: (inner) => {
        this.#mesh = new MeshBroker({ slot, slots, inner });
        return this.#mesh;
      },
      gauges: (own) => new SeatGauges(own, this.#mesh as MeshBroker),
      drained: (timeoutMs) => this.#drained(timeoutMs),
      peers,
      gather: (values) => this.#gather(values),
      addressOf: (request) => peers.addressOf(request),
      forward: (...passed) => peers.forward(...passed),
    };
    const composed = compose({ ...config, log: this.#log }, undefined, seat);
    this.#leave = () => this.#tell({ type: 'left', values: pack(composed.read()) });
    const leaving = setInterval(this.#leave, LEAVE_MS).unref();
    const mesh = this.#mesh as unknown as MeshBroker;
    const mayOpen = new Promise<void>((resolve) => {
      this.#mayOpen = resolve;
    });
    // Publishes from other workers wait until this one is up; it would refuse them without a broker.
    await composed.ready;
    // Rooms first: members at other workers wait for them.
    await mesh.listen(pathOf(folder, 'm', slot, incarnation));
    this.#meet();
    this.#tell({ type: 'meshed' });
    await composed.prepare();
    await peers.listen(own, composed.taker.request);
    // Only now: later revocations are sent to this worker like to all others.
    await takeRevocations(peers, composed.people);
    // The service manager passed the socket to the primary, which listens for this worker.
    if (this.#start.isActivated) process.env['LISTEN_PID'] = String(process.pid);
    // Before the previous worker leaves: a certificate may be invalid.
    const listeners = listenersOf(composed.config, composed.log);
    this.#tell({ type: 'ready' });
    await mayOpen;
    this.#served = await listen(composed, this.#closing.signal, listeners);
    const { url, internalUrl } = this.#served;
    this.#options.served();
    this.#log.info({ incarnation }, 'a worker serves');
    this.#tell({ type: 'serving', url, internalUrl });
    await aborted(this.#closing.signal);
    const report = await this.#served.close();
    clearInterval(leaving);
    this.#leave();
    peers.close();
    if (!process.connected) this.#tidy();
    this.#end({ type: 'closed', report });
  }

  /** Sends the last message, then lets the process exit. */
  #end(last: ToPrimary): void {
    this.hasEnded = true;
    const { ended } = this.#options;
    if (!process.connected) {
      ended();
      return;
    }
    process.send?.(last, undefined, undefined, () => {
      if (process.connected) process.disconnect();
      else ended();
    });
  }

  #drained(timeoutMs: number): Promise<void> {
    if (!process.connected) return Promise.resolve();
    return new Promise((resolve) => {
      const late = setTimeout(resolve, timeoutMs);
      this.#mayEnd = () => {
        clearTimeout(late);
        resolve();
      };
      this.#tell({ type: 'drained' });
    });
  }

  /** Links to the current workers of the other slots. */
  #meet(): void {
    const { slot, folder } = this.#start;
    this.#table.forEach((incarnation, other) => {
      if (other === slot || incarnation === null) return;
      this.#mesh?.moved(other, pathOf(folder, 'm', other, incarnation));
    });
  }

  #gather(values: Float64Array): Promise<Gathered> {
    this.#gathered += 1;
    const id = this.#gathered;
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        this.#gatherings.delete(id);
        // A partial sum would look as if counters had been reset.
        reject(new Refusal('worker_unavailable', 'The metrics of all workers are unavailable.'));
      }, GATHER_MS);
      this.#gatherings.set(id, (gathered) => {
        clearTimeout(late);
        resolve(gathered);
      });
      this.#tell({ type: 'gather', id, values });
    });
  }

  /** Without the primary, the last worker removes the socket folder. */
  #tidy(): void {
    try {
      rmdirSync(this.#start.folder);
    } catch {
      // Other workers still use it.
    }
  }
}

/** Gauges of a worker. A room with members at several workers is counted only at its owner. */
class SeatGauges implements Gauges {
  readonly #own: Gauges;
  readonly #mesh: MeshBroker;

  constructor(own: Gauges, mesh: MeshBroker) {
    this.#own = own;
    this.#mesh = mesh;
  }

  get rooms() {
    return { size: this.#mesh.ownedRooms };
  }

  get members() {
    return this.#own.members;
  }

  get behind() {
    return this.#own.behind;
  }

  get memory() {
    return this.#own.memory;
  }

  get mesh() {
    const { bytes, published, counts } = this.#mesh;
    return { bytes, published, ...counts };
  }
}

const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

function failureOf(error: unknown): Failure {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  if (error instanceof ConfigError) {
    const { code, option } = error;
    return { kind: 'config', message, code, option: option ?? undefined };
  }
  const { code, option } = error as ListenError;
  return { kind: option === undefined ? 'other' : 'listen', message, code, option, stack };
}

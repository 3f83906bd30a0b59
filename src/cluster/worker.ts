/**
 * One of several workers on one port: a roomcast with a seat among the others, which does what the
 * primary says. It leaves signals to the primary, and ends in an orderly way when the primary has gone.
 *
 * V8: what it opens it closes. V10: its numbers are at the primary before anybody sees them.
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

/** How often numbers are left at the primary, for when there is no time for last ones. */
const LEAVE_MS = 1000;
/** How long the primary may take to answer, in milliseconds. */
const GATHER_MS = 2000;

export interface WorkerOptions {
  /** Made once it is known what it has to be like. */
  createLog(config: Config, slot: number): Log;
  /** To be called once it serves. */
  served(): void;
  /** To be called once nothing of the worker is left. */
  ended(): void;
}

/** Takes part from now on. */
export function joinWorkers(options: WorkerOptions): void {
  const tell = (message: ToPrimary) => {
    if (process.connected) process.send?.(message);
  };
  let worker: WorkerProcess | null = null;
  process.on('message', (message: ToWorker) => {
    if (message.type === 'start') worker = new WorkerProcess(message.start, options, tell);
    else worker?.obey(message);
  });
  tell({ type: 'here' });
  cluster.worker?.on('disconnect', () => {
    // Otherwise Node ends the process here and now.
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
    // What members elsewhere publish waits until this one is there, and is refused where it has no broker.
    await composed.ready;
    // Rooms first: members elsewhere wait for them.
    await mesh.listen(pathOf(folder, 'm', slot, incarnation));
    this.#meet();
    this.#tell({ type: 'meshed' });
    await composed.prepare();
    await peers.listen(own, composed.taker.request);
    // Only now: what is revoked from here on comes to it like to all others.
    await takeRevocations(peers, composed.people);
    // It is the primary that was given the socket, and that listens.
    if (this.#start.isActivated) process.env['LISTEN_PID'] = String(process.pid);
    // Before another makes way for it: a certificate may be wrong.
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

  /** Nothing keeps the process once its last word is out. */
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

  /** Turns to those that have the other slots now. */
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
        // Less than all would look as if counters had been set back.
        reject(new Refusal('worker_unavailable', 'The numbers of all workers are not to be had.'));
      }, GATHER_MS);
      this.#gatherings.set(id, (gathered) => {
        clearTimeout(late);
        resolve(gathered);
      });
      this.#tell({ type: 'gather', id, values });
    });
  }

  /** The primary would have: the last worker removes their folder. */
  #tidy(): void {
    try {
      rmdirSync(this.#start.folder);
    } catch {
      // Others are still there.
    }
  }
}

/** Those of a worker: a room that several have members of is counted where it is ordered. */
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

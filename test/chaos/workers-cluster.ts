/** A chaos cluster in memory: several workers on one port. */
import { setTimeout as sleep } from 'node:timers/promises';
import { slotOf } from '../../src/broker/mesh/slots.js';
import { freePort } from '../support/free-port.js';
import { type Process, start } from '../support/spawned.js';
import { type Cluster, ready, residentMiB, type Stop, signal, stopFor } from './cluster.js';
import type { Random } from './random.js';

const SLOTS = 3;
const ALL = Array.from({ length: SLOTS }, (_, slot) => slot);
/** A worker that is stalled for this long is killed, in milliseconds. */
const STALL_MS = 3000;

export class WorkersCluster implements Cluster {
  readonly name = 'memory, three workers';
  readonly stops: Stop[] = [];
  readonly faults = [
    { name: 'a worker is killed', run: (random: Random) => this.#kill(random) },
    {
      name: 'a worker stalls',
      run: (random: Random) => this.#stop(random, random.between(200, 1500)),
    },
    {
      name: 'a worker stalls until it is killed',
      run: (random: Random) => this.#stop(random, STALL_MS + 3000),
    },
    {
      name: 'the primary stalls',
      run: (random: Random) => this.#stopPrimary(random),
    },
    { name: 'the primary is killed', run: () => this.#toAll(() => this.#killPrimary()) },
    { name: 'the workers are replaced', run: () => this.#toAll(() => this.#replaceAll()) },
  ];
  readonly #port: number;
  readonly #struck = new Set<number>();
  /** In some rounds all faults hit one slot, and rooms of the others must notice nothing. */
  #victim: number | null = null;
  #server: Process;

  private constructor(port: number, server: Process) {
    this.#port = port;
    this.#server = server;
  }

  static async start(): Promise<WorkersCluster> {
    const port = await freePort();
    const server = serve(port);
    await server.line('serving');
    return new WorkersCluster(port, server);
  }

  get urls(): string[] {
    return [`http://127.0.0.1:${this.#port}`];
  }

  begin(random: Random): void {
    this.#struck.clear();
    this.stops.length = 0;
    this.#victim = random.next() < 0.3 ? random.pick(ALL) : null;
  }

  async healed(): Promise<void> {
    for (;;) {
      await ready(this.urls[0] as string);
      const answer = await fetch(`${this.urls[0]}/v1/rooms`, { headers: { connection: 'close' } });
      const { workers } = (await answer.json()) as { workers: { missing: readonly number[] } };
      if (workers.missing.length === 0) return;
      await sleep(50);
    }
  }

  /** It is unknown which worker accepted the connection. */
  isOnWay(): boolean {
    return true;
  }

  isUndisturbed(_url: string, room: string): boolean {
    return !this.#struck.has(slotOf(room, SLOTS));
  }

  memory(): Record<string, number> {
    return {
      primary: residentMiB(this.#pid),
      ...Object.fromEntries(ALL.map((slot) => [`worker ${slot}`, residentMiB(this.#of(slot))])),
    };
  }

  async close(): Promise<void> {
    signal(this.#pid, 'SIGCONT');
    this.#server.child.kill('SIGTERM');
    await this.#server.exited;
  }

  get #pid(): number {
    return this.#server.child.pid as number;
  }

  /** The worker that serves in a slot. */
  #of(slot: number): number {
    const served = this.#server.log.filter(
      ({ msg, worker }) => msg === 'a worker serves' && worker === slot,
    );
    return Number(served.at(-1)?.['pid']);
  }

  #strike(random: Random): number {
    const slot = this.#victim ?? random.pick(ALL);
    this.#struck.add(slot);
    return slot;
  }

  async #toAll(run: () => Promise<void>): Promise<void> {
    if (this.#victim !== null) return;
    for (const slot of ALL) this.#struck.add(slot);
    await run();
  }

  async #kill(random: Random): Promise<void> {
    signal(this.#of(this.#strike(random)), 'SIGKILL');
    await sleep(random.between(100, 2000));
  }

  async #stop(random: Random, ms: number): Promise<void> {
    const slot = this.#strike(random);
    this.stops.push(await stopFor(this.#of(slot), ms, `worker ${slot}`));
  }

  /** It only accepts connections: members notice nothing. */
  async #stopPrimary(random: Random): Promise<void> {
    this.stops.push(await stopFor(this.#pid, random.between(200, 2500), 'primary'));
  }

  async #replaceAll(): Promise<void> {
    this.#server.child.kill('SIGHUP');
    const isOver = ({ msg }: { readonly msg?: unknown }) =>
      msg === 'all workers have been replaced' ||
      msg === 'a worker cannot be replaced; the remaining workers stay';
    const before = this.#server.log.filter(isOver).length;
    while (this.#server.log.filter(isOver).length === before) await sleep(50);
  }

  /** The workers close their members and exit; a service manager would restart everything. */
  async #killPrimary(): Promise<void> {
    this.#server.child.kill('SIGKILL');
    // Its output ends when the last worker has exited.
    await this.#server.exited;
    this.#server = serve(this.#port);
    await this.#server.line('serving');
  }
}

const serve = (port: number) =>
  start([
    ...['serve', '--port', String(port), '--workers', String(SLOTS)],
    ...['--worker-stall-ms', String(STALL_MS), '--drain-ms', '200', '--lame-duck-ms', '100'],
    ...['--publish-rate', '0', '--join-rate', '0', '--history-messages', '200'],
  ]);

/** Rooms in memory, ordered by several workers on one port. */
import { setTimeout as sleep } from 'node:timers/promises';
import { slotOf } from '../../src/broker/mesh/slots.js';
import { freePort } from '../support/free-port.js';
import { type Process, start } from '../support/spawned.js';
import { type Cluster, ready, residentMiB, type Stop, signal, stopFor } from './cluster.js';
import type { Random } from './random.js';

const SLOTS = 3;
/** After so long a worker that stands still is killed. */
const STALL_MS = 3000;

export class WorkersCluster implements Cluster {
  readonly name = 'memory, three workers';
  readonly stops: Stop[] = [];
  readonly faults = [
    { name: 'a worker is killed', run: (random: Random) => this.#kill(random) },
    {
      name: 'a worker stands still',
      run: (random: Random) => this.#stop(random, random.between(200, 1500)),
    },
    {
      name: 'a worker stands still until it is killed',
      run: (random: Random) => this.#stop(random, STALL_MS + 3000),
    },
    {
      name: 'the primary stands still',
      run: (random: Random) => stopFor(this.#pid, random.between(200, 2500), this.stops),
    },
    { name: 'the primary is killed', run: () => this.#killPrimary() },
    { name: 'the workers are replaced', run: () => this.#replaceAll() },
  ];
  readonly #port: number;
  readonly #struck = new Set<number>();
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

  begin(): void {
    this.#struck.clear();
    this.stops.length = 0;
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

  isUndisturbed(_url: string, room: string): boolean {
    return !this.#struck.has(slotOf(room, SLOTS));
  }

  memory(): Record<string, number> {
    const slots = Array.from({ length: SLOTS }, (_, slot) => slot);
    return {
      primary: residentMiB(this.#pid),
      ...Object.fromEntries(slots.map((slot) => [`worker ${slot}`, residentMiB(this.#of(slot))])),
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
    const slot = Math.floor(random.next() * SLOTS);
    this.#struck.add(slot);
    return this.#of(slot);
  }

  async #kill(random: Random): Promise<void> {
    signal(this.#strike(random), 'SIGKILL');
    await sleep(random.between(100, 2000));
  }

  async #stop(random: Random, ms: number): Promise<void> {
    await stopFor(this.#strike(random), ms, this.stops);
  }

  async #replaceAll(): Promise<void> {
    for (let slot = 0; slot < SLOTS; slot += 1) this.#struck.add(slot);
    this.#server.child.kill('SIGHUP');
    const isOver = ({ msg }: { readonly msg?: unknown }) =>
      msg === 'all workers are replaced' ||
      msg === 'a worker cannot be replaced; those before stay';
    const before = this.#server.log.filter(isOver).length;
    while (this.#server.log.filter(isOver).length === before) await sleep(50);
  }

  /** The workers take leave of their members and end; a service manager would start it all anew. */
  async #killPrimary(): Promise<void> {
    for (let slot = 0; slot < SLOTS; slot += 1) this.#struck.add(slot);
    this.#server.child.kill('SIGKILL');
    // Its output ends with the last of its workers.
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

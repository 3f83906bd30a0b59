/** Runs `roomcast serve --workers` as users do, and inspects its worker processes. */
import { readFileSync } from 'node:fs';
import { slotOf } from '../../src/broker/mesh/slots.js';
import { parse, sum, unaccounted } from '../metrics/support.js';
import { type ServerProcess, serveProcess } from './process.js';
import { Signal } from './signal.js';

export class WorkersServer {
  readonly #changed = new Signal();

  private constructor(
    readonly server: ServerProcess,
    readonly slots: number,
  ) {
    server.child.stdout?.on('data', () => this.#changed.fire());
  }

  static async start(slots: number, ...flags: string[]): Promise<WorkersServer> {
    const server = await serveProcess('--workers', String(slots), ...flags);
    return new WorkersServer(server, slots);
  }

  get url(): string {
    return this.server.url;
  }

  /** Slot of the worker that owns a room or a session. */
  slotOf(name: string): number {
    return slotOf(name, this.slots);
  }

  /** A room name or session id that maps to a slot. */
  nameOf(slot: number, prefix = 'chat:'): string {
    for (let n = 0; ; n += 1) if (this.slotOf(`${prefix}${n}`) === slot) return `${prefix}${n}`;
  }

  /** Process ids of the workers that have served in a slot, the current one last. */
  pids(slot: number): number[] {
    return this.server.log
      .filter(({ msg, worker }) => msg === 'a worker serves' && worker === slot)
      .map(({ pid }) => Number(pid));
  }

  /** All processes of the server except the primary, including the spare. */
  get children(): number[] {
    const { pid } = this.server.child;
    const listed = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
    return listed.trim().split(' ').filter(Boolean).map(Number);
  }

  kill(slot: number, signal: NodeJS.Signals): void {
    process.kill(this.pids(slot).at(-1) as number, signal);
  }

  /** Resolves once `times` workers have served in a slot. */
  async served(slot: number, times: number): Promise<void> {
    await this.#changed.until(() => this.pids(slot).length >= times);
  }

  /** Resolves once the primary has logged this many ended workers. */
  async noted(ends: number): Promise<void> {
    const isEnd = ({ msg }: { readonly msg?: unknown }) =>
      msg === 'a worker has ended; another one replaces it';
    await this.#changed.until(() => this.server.log.filter(isEnd).length >= ends);
  }

  /**
   * An API answer that covers all workers; repeated while a busy machine keeps a worker from answering
   * in time.
   */
  async whole(path: string): Promise<Record<string, unknown>> {
    for (;;) {
      const answer = await this.json(path);
      const { missing } = answer['workers'] as { missing: readonly number[] };
      if (missing.length === 0) return answer;
    }
  }

  async json(path: string, init?: RequestInit): Promise<Record<string, unknown>> {
    const response = await fetch(this.url + path, init);
    return (await response.json()) as Record<string, unknown>;
  }

  /** Publishes by the HTTP API; resolves with the answer. @throws Error if none arrives in time */
  publish(room: string, data: unknown, timeoutMs = 60_000): Promise<Record<string, unknown>> {
    return this.json(`/v1/rooms/${room}/messages`, {
      method: 'POST',
      signal: AbortSignal.timeout(timeoutMs),
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ data }),
    });
  }

  /** A scrape: the sum of a metric by name, and what V10 leaves unaccounted. */
  async scrape(): Promise<{ sum(name: string): number; unaccounted: number }> {
    const series = parse(await (await fetch(`${this.url}/metrics`)).text());
    return { sum: (name) => sum(series, name), unaccounted: unaccounted(series) };
  }

  /** A scrape that every worker has answered in time. */
  async freshScrape(): ReturnType<WorkersServer['scrape']> {
    for (;;) {
      const scrape = await this.scrape();
      if (scrape.sum('roomcast_workers_stale') === 0) return scrape;
    }
  }
}

/**
 * Samples the server while the load runs: `/metrics` of a roomcast, and `/proc` of a process on this
 * machine. Both are optional, and every figure may be missing.
 * Not here: how the figures are judged (verdict/).
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpuWaitSeconds } from './cpu-wait.js';
import { badOption } from './error.js';
import type { ServerSample } from './measure/result.js';
import { type Buckets, quantileBetween, Scrape } from './prometheus.js';

interface Previous {
  /** On the clock of this process: rates are per elapsed second, whatever `at` counts from. */
  taken: number;
  cpuSeconds: number | null;
  lockHold: Buckets | null;
  delivery: Buckets | null;
}

const SCRAPE_TIMEOUT_MS = 2000;
const MICROS = 1e6;
/** Close reasons of members that were disconnected because they do not read. */
const EVICTED = /reason="(slow_consumer|heartbeat_missed|control_overflow|memory_pressure)"/;

/** Matches a page of metrics with at least one family that this module may use. */
const KNOWN = /^(roomcast|process|nodejs)_/m;

export class ServerProbe {
  /** URL to scrape, or undefined. */
  metricsUrl: string | undefined;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #pid: number | undefined;
  readonly #ticksPerSecond: number = 100;
  #previous: Previous | undefined;
  /** Why there are no metrics; undefined while there are. */
  #missing: string | undefined;

  /**
   * @param pid a process of this (Linux) machine
   * @throws LoadError `bad_option` when there is no such process
   */
  constructor(headers: Readonly<Record<string, string>>, pid: number | undefined) {
    this.#headers = headers;
    this.#pid = pid;
    if (pid === undefined) return;
    this.#ticksPerSecond = clockTicks();
    if (!this.#process()) throw badOption('--server-pid', pid, 'a process of this Linux machine');
  }

  /** Why the server's own metrics are missing; undefined if they are not. */
  get missing(): string | undefined {
    return this.#missing;
  }

  /** @param at seconds since the phases began. Returns null if there is neither metrics nor process. */
  async sample(at: number): Promise<ServerSample | null> {
    const scrape = await this.#scrape();
    const own = this.#process();
    const taken = performance.now();
    if (!scrape && !own) return null;
    const cpuSeconds = own?.cpuSeconds ?? scrape?.sum('process_cpu_seconds_total') ?? null;
    const lockHold = scrape?.buckets('roomcast_lock_hold_seconds') ?? null;
    const delivery = scrape?.buckets('roomcast_delivery_seconds', 'consumer="healthy"') ?? null;
    const previous = this.#previous;
    const sample: ServerSample = {
      at,
      cpuSeconds,
      cpuCores: previous
        ? perSecond(cpuSeconds, previous.cpuSeconds, (taken - previous.taken) / 1e3)
        : null,
      cpuWaitSeconds: own?.cpuWaitSeconds ?? null,
      rssBytes: own?.rssBytes ?? scrape?.sum('process_resident_memory_bytes') ?? null,
      loopDelayP99: micros(scrape?.sum('nodejs_eventloop_lag_p99_seconds')),
      lockHoldP99: previous ? micros(quantileBetween(previous.lockHold, lockHold, 0.99)) : null,
      deliveryP99: previous ? micros(quantileBetween(previous.delivery, delivery, 0.99)) : null,
      queueBytes: scrape?.sum('roomcast_queue_bytes') ?? null,
      queueLimitBytes: scrape?.sum('roomcast_queue_limit_bytes') ?? null,
      members: scrape?.sum('roomcast_members') ?? null,
      dropped: scrape?.sum('roomcast_dropped_total') ?? null,
      evictions:
        scrape?.sum('roomcast_connections_closed_total', EVICTED) ??
        scrape?.sum('roomcast_evictions_total') ??
        null,
    };
    this.#previous = { taken, cpuSeconds, lockHold, delivery };
    return sample;
  }

  async #scrape(): Promise<Scrape | undefined> {
    if (this.metricsUrl === undefined) return;
    try {
      const response = await fetch(this.metricsUrl, {
        headers: this.#headers,
        signal: AbortSignal.timeout(SCRAPE_TIMEOUT_MS),
      });
      const text = await response.text();
      if (response.ok && KNOWN.test(text)) return new Scrape(text);
      this.#missing = response.ok
        ? `${this.metricsUrl} has no metrics that roomcast load knows`
        : `${this.metricsUrl} answers ${response.status}`;
    } catch (error) {
      this.#missing = `${this.metricsUrl}: ${(error as Error).message}`;
    }
    return;
  }

  #process(): Pick<ServerSample, 'cpuSeconds' | 'rssBytes' | 'cpuWaitSeconds'> | undefined {
    if (this.#pid === undefined) return;
    try {
      const stat = readFileSync(`/proc/${this.#pid}/stat`, 'latin1');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const status = readFileSync(`/proc/${this.#pid}/status`, 'latin1');
      return {
        cpuSeconds: (Number(fields[11]) + Number(fields[12])) / this.#ticksPerSecond,
        cpuWaitSeconds: cpuWaitSeconds(this.#pid),
        rssBytes: Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024,
      };
    } catch {
      // The process has ended, or this is not Linux: the caller sees that nothing is known.
      return;
    }
  }
}

function clockTicks(): number {
  try {
    return Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'latin1' })) || 100;
  } catch {
    return 100;
  }
}

function perSecond(now: number | null, before: number | null, seconds: number): number | null {
  return now === null || before === null || seconds <= 0 ? null : (now - before) / seconds;
}

function micros(seconds: number | null | undefined): number | null {
  return seconds === null || seconds === undefined ? null : seconds * MICROS;
}

/**
 * The cluster of a chaos run: its servers, the faults that can be injected, and how each is undone.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from './random.js';

/** A time in which a process was stalled: requests to it started later. */
export interface Stop {
  /** The cluster's name of the process. */
  readonly of: string;
  readonly from: number;
  readonly to: number;
}

/** Memory limit of a process after a round: a little over twice its memory at the start. */
export const MOST_MIB = 256;

export interface Fault {
  readonly name: string;
  /** Injects the fault; resolves when it is undone. */
  run(random: Random): Promise<void>;
}

export interface Cluster {
  readonly name: string;
  readonly faults: readonly Fault[];
  readonly stops: readonly Stop[];
  /** Current addresses for members and publishers. */
  readonly urls: readonly string[];
  /** Begins another round, with no faults yet. */
  begin(random: Random): void;
  /**
   * True if a publish to this address may have waited in the stopped process before it had a deadline.
   */
  isOnWay(stop: Stop, url: string): boolean;
  /** Resolves once everything works again. */
  healed(): Promise<void>;
  /** True if this round had no fault that affects a member at this address in this room. */
  isUndisturbed(url: string, room: string): boolean;
  /** Memory of each server, in MiB. */
  memory(): Readonly<Record<string, number>>;
  close(): Promise<void>;
}

/** Stalls a process for a while; ignores that it may end meanwhile. */
export async function stopFor(pid: number, ms: number, of: string): Promise<Stop> {
  const from = performance.now();
  signal(pid, 'SIGSTOP');
  await sleep(ms);
  signal(pid, 'SIGCONT');
  return { of, from, to: performance.now() };
}

export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Resident memory in MiB; 0 if the process has ended. */
export function residentMiB(pid: number): number {
  try {
    const kib = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0;
    return Math.round(Number(kib) / 1024);
  } catch {
    return 0;
  }
}

/** Processes over the memory limit after a round, when nothing is queued any more; one line each. */
export const tooLarge = (memory: Readonly<Record<string, number>>): string[] =>
  Object.entries(memory)
    .filter(([, mib]) => mib > MOST_MIB)
    .map(([name, mib]) => `memory: ${name} holds ${mib} MiB, ${MOST_MIB} are allowed`);

/** Resolves once a server reports that it is ready. @throws Error after 60 s */
export async function ready(url: string): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (performance.now() < deadline) {
    try {
      const answer = await fetch(`${url}/readyz`, {
        headers: { connection: 'close' },
        signal: AbortSignal.timeout(2000),
      });
      await answer.arrayBuffer();
      if (answer.status === 200) return;
    } catch {
      // Not yet.
    }
    await sleep(50);
  }
  throw new Error(`${url} is not ready, 60 s after everything was undone`);
}

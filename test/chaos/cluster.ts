/**
 * The cluster of a chaos run: its servers, the faults that can be injected, and how each is undone.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from './random.js';

/** A time in which a process stood still: what it was asked meanwhile began later. */
export interface Stop {
  /** Which it was, as its cluster names it. */
  readonly of: string;
  readonly from: number;
  readonly to: number;
}

/** What a process may hold after a round: twice what it has at its start, and some. */
export const MOST_MIB = 256;

export interface Fault {
  readonly name: string;
  /** Resolves when it is undone. */
  run(random: Random): Promise<void>;
}

export interface Cluster {
  readonly name: string;
  readonly faults: readonly Fault[];
  readonly stops: readonly Stop[];
  /** Where members and publishers turn to, now. */
  readonly urls: readonly string[];
  /** Begins another round: nothing has been done to anything yet. */
  begin(random: Random): void;
  /** A publish to this address may have waited in the process of this stop before it had a deadline. */
  isOnWay(stop: Stop, url: string): boolean;
  /** Everything works again. */
  healed(): Promise<void>;
  /** Nothing was done in this round to what a member at this address, in this room, depends on. */
  isUndisturbed(url: string, room: string): boolean;
  /** Of each server, in MiB. */
  memory(): Readonly<Record<string, number>>;
  close(): Promise<void>;
}

/** Has a process stand still for a while. Its end meanwhile is none of ours. */
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

/** What it holds, in MiB; 0 where it has gone. */
export function residentMiB(pid: number): number {
  try {
    const kib = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0;
    return Math.round(Number(kib) / 1024);
  } catch {
    return 0;
  }
}

/** What is wrong with what processes hold after a round, when nothing waits any more; a line each. */
export const tooLarge = (memory: Readonly<Record<string, number>>): string[] =>
  Object.entries(memory)
    .filter(([, mib]) => mib > MOST_MIB)
    .map(([name, mib]) => `memory: ${name} holds ${mib} MiB, ${MOST_MIB} are allowed`);

/** Resolves once a server says that it is ready. @throws Error after 60 s */
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

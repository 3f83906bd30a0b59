/** Owns: how long a process was ready to run and got no CPU. Others on the machine use it then. */
import { readFileSync } from 'node:fs';

/**
 * Seconds since the process started in which its main thread waited for a CPU.
 * Returns null if unknown: outside of Linux, or on a kernel without scheduler statistics.
 */
export function cpuWaitSeconds(pid: number | 'self'): number | null {
  try {
    const [, waited] = readFileSync(`/proc/${pid}/schedstat`, 'latin1').split(' ');
    return Number(waited) / 1e9;
  } catch {
    return null;
  }
}

/**
 * Forks a worker process, or reports why the machine refuses (V12). Node reports that in three ways: it
 * throws (memory); it returns a worker without process and channel (descriptors); it returns a worker
 * with a channel but no process (processes). In the last two it emits an error later, and never an
 * exit. Here the result is always the same: null, and the error later.
 */
import cluster, { type Worker } from 'node:cluster';

/** `refused` is called only if this returns null, and after it has returned. */
export function fork(refused: (error: Error) => void): Worker | null {
  let worker: Worker;
  try {
    worker = cluster.fork();
  } catch (error) {
    process.nextTick(refused, error as Error);
    return null;
  }
  if (worker.process.pid !== undefined) return worker;
  worker.once('error', refused);
  // Node cleans up when a process exits; this one never exits.
  if (worker.isConnected()) worker.process.disconnect();
  delete cluster.workers?.[worker.id];
  return null;
}

/**
 * A process for a worker, or why the machine gives none (V12). Node tells that in three ways: it throws
 * (memory); it returns a worker that has no process and no channel (descriptors), or no process and a
 * channel (processes), and says an error later, and never an exit. Here it is always the same: no worker,
 * and the error later.
 */
import cluster, { type Worker } from 'node:cluster';

/** `refused` is called after this has returned null, and only then. */
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
  // Node does so when a process exits; this one never will.
  if (worker.isConnected()) worker.process.disconnect();
  delete cluster.workers?.[worker.id];
  return null;
}

/** Options of the worker processes that serve one port. */
import { availableParallelism } from 'node:os';
import { integer } from './schema.js';

const WORKERS = 'Workers';

export const workers = {
  workers: integer([1, 0, 256], {
    group: WORKERS,
    unit: 'processes',
    zero: 'one for each core',
    zeroWord: 'auto',
    description: 'Processes that serve the port together; limits apply to all of them together.',
  }),
  workerStallMs: integer([10_000, 1000, 600_000], {
    group: WORKERS,
    unit: 'ms',
    description: 'A worker that is blocked for this long is killed and replaced.',
  }),
};

/** Number of worker processes. */
export const workersOf = ({ workers }: { readonly workers: number }): number =>
  workers === 0 ? availableParallelism() : workers;

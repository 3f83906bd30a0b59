/** Heap in use by this process after garbage collection. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as (options?: { type: 'minor' }) => void;

/** Collects young garbage; objects that have survived two collections are old. */
export const collectYoung = (): void => collect({ type: 'minor' });

/** Collects all garbage. */
export async function collectAll(): Promise<void> {
  // Objects released by finalizers are collected by the next run.
  for (let n = 0; n < 3; n += 1) {
    collect();
    await new Promise(setImmediate);
  }
}

/** Bytes in use, buffers outside the heap included. */
export async function bytesInUse(): Promise<number> {
  await collectAll();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** The cost of a lock, with and without the detector, and of async-mutex in the same run. */
import { Mutex as AsyncMutex } from 'async-mutex';
import { Detector, Mutex, RWLock } from '../../dist/lock/index.js';
import { sink } from './harness.js';

const BLOCKED = 100;
/** Waits that share a signal, as those of a server share its shutdown's signal. */
const BATCH = 10;
const never = new Promise(() => {});

/** @param {Detector} detector */
function section(detector) {
  const lock = new RWLock({ name: 'bench', detector });
  return (/** @type {number} */ n) => {
    for (let i = 0; i < n; i += 1) sink.sum += lock.withReadSync('bench', () => i);
  };
}

/** @param {Detector} detector */
function guard(detector) {
  const lock = new RWLock({ name: 'bench', detector });
  return (/** @type {number} */ n) => {
    for (let i = 0; i < n; i += 1) lock.tryRead('bench')?.release();
  };
}

/** @param {Detector} detector */
function awaited(detector) {
  const lock = new Mutex({ name: 'bench', detector });
  return async (/** @type {number} */ n) => {
    for (let i = 0; i < n; i += 1) (await lock.lock('bench')).release();
  };
}

async function awaitedAsyncMutex(/** @type {number} */ n) {
  for (let i = 0; i < n; i += 1) (await mutex.acquire())();
}
const mutex = new AsyncMutex();

function twoClocks(/** @type {number} */ n) {
  for (let i = 0; i < n; i += 1) sink.sum += performance.now() - performance.now();
}

async function awaitedNothing(/** @type {number} */ n) {
  for (let i = 0; i < n; i += 1) sink.sum += await i;
}

/**
 * A blocked request by a task that holds a lock, so that the detector searches for a cycle. Times the
 * call, not the wait. 100 other tasks are blocked already: in a row, each holding a lock and waiting for
 * the next task's (the search walks all of them), or all behind one holder.
 *
 * @param {Detector} detector
 * @param {boolean} inRow
 */
async function blocking(detector, inRow) {
  const locks = Array.from(
    { length: BLOCKED + 1 },
    () => new RWLock({ name: 'blocked', detector }),
  );
  const [first] = locks;
  for (let i = BLOCKED; i >= 0; i -= 1) {
    await new Promise((begun) => {
      void detector.runTask('blocked', async (task) => {
        if (inRow || i === BLOCKED) await locks[inRow ? i : 0]?.write('bench', { task });
        if (i < BLOCKED) void locks[inRow ? i + 1 : 0]?.write('bench', { task });
        begun(undefined);
        await never;
      });
    });
  }
  return async (/** @type {number} */ n) => {
    let tookMs = 0;
    for (let i = 0; i < n; i += BATCH) {
      const stop = new AbortController();
      const options = { signal: stop.signal };
      const waits = [];
      for (let j = 0; j < BATCH; j += 1) {
        const own = new RWLock({ name: 'own', detector });
        const wait = detector.runTask('bench', async (task) => {
          const held = own.tryWrite('bench', task);
          const from = performance.now();
          const wait = first?.write('bench', { task, ...options });
          tookMs += performance.now() - from;
          await wait?.catch(() => held?.release());
        });
        waits.push(wait);
      }
      stop.abort();
      await Promise.all(waits);
    }
    return tookMs;
  };
}

/** The same wait in async-mutex; its `cancel` replaces the abort. */
async function blockingAsyncMutex(/** @type {number} */ n) {
  const held = new AsyncMutex();
  await held.acquire();
  let tookMs = 0;
  for (let i = 0; i < n; i += 1) {
    const from = performance.now();
    const wait = held.acquire();
    tookMs += performance.now() - from;
    held.cancel();
    await wait.catch(() => {});
  }
  return tookMs;
}

/** @returns {Promise<import('./harness.js').Case[]>} */
export async function cases() {
  const watch = new Detector();
  const off = new Detector({ mode: 'off' });
  const noStacks = new Detector({ captureStacks: 'never' });
  const quiet = { onReport: () => {}, longHoldMs: Infinity, deadlockTimeoutMs: Infinity };
  for (const detector of [watch, noStacks]) detector.configure(quiet);
  return [
    { name: 'withReadSync, watch', n: 10_000, run: section(watch) },
    { name: 'withReadSync, off', n: 10_000, run: section(off) },
    { name: 'tryRead and release, watch', n: 10_000, run: guard(watch) },
    { name: 'tryRead and release, off', n: 10_000, run: guard(off) },
    { name: 'await lock and release, watch', n: 5_000, run: awaited(watch) },
    { name: 'await lock and release, off', n: 5_000, run: awaited(off) },
    { name: 'await acquire and release, async-mutex', n: 5_000, run: awaitedAsyncMutex },
    { name: 'two looks at the clock', n: 10_000, run: twoClocks },
    { name: 'await of a number', n: 5_000, run: awaitedNothing },
    { name: 'blocked wait, 100 in a row, watch', n: 100, run: await blocking(watch, true) },
    { name: 'blocked wait, 100 behind one, watch', n: 100, run: await blocking(watch, false) },
    { name: 'blocked wait, 100 in a row, no stacks', n: 100, run: await blocking(noStacks, true) },
    { name: 'blocked wait, async-mutex', n: 100, run: blockingAsyncMutex },
  ];
}

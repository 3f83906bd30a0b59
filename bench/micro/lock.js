/**
 * What a lock costs, beside async-mutex in the same run: nanoseconds an operation, median and quartiles
 * of rounds that take turns. A round is short (about 2 ms), so that on a shared machine most of them run
 * undisturbed. Build first (`npm run build`), then `node bench/micro/lock.js [rounds]`.
 */
import { Mutex as AsyncMutex } from 'async-mutex';
import { Detector, Mutex, RWLock } from '../../dist/lock/index.js';

const rounds = Number(process.argv[2] ?? 301);
const WARM_UP = 30;
const BLOCKED = 100;
/** Waits that share a signal, as those of a server share that of its shutdown. */
const BATCH = 10;
const never = new Promise(() => {});
let sum = 0;

/** @param {Detector} detector */
function section(detector) {
  const lock = new RWLock({ name: 'bench', detector });
  return (/** @type {number} */ n) => {
    for (let i = 0; i < n; i += 1) sum += lock.withReadSync('bench', () => i);
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
  for (let i = 0; i < n; i += 1) sum += performance.now() - performance.now();
}

async function awaitedNothing(/** @type {number} */ n) {
  for (let i = 0; i < n; i += 1) sum += await i;
}

/**
 * A request that blocks, by a task that holds a lock, so that the search for a cycle is made; timed is
 * the call, not the waiting. Before it, 100 tasks are blocked: in a row, each holding a lock and waiting
 * for the next one's, all of which the search walks; or all behind one holder.
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

/** The same wait in async-mutex, with its cancel for the abort. */
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

const watch = new Detector();
const off = new Detector({ mode: 'off' });
const noStacks = new Detector({ captureStacks: 'never' });
const quiet = { onReport: () => {}, longHoldMs: Infinity, deadlockTimeoutMs: Infinity };
for (const detector of [watch, noStacks]) detector.configure(quiet);

/** @type {[string, number, (n: number) => unknown][]} */
const cases = [
  ['withReadSync, watch', 10_000, section(watch)],
  ['withReadSync, off', 10_000, section(off)],
  ['tryRead and release, watch', 10_000, guard(watch)],
  ['tryRead and release, off', 10_000, guard(off)],
  ['await lock and release, watch', 5_000, awaited(watch)],
  ['await lock and release, off', 5_000, awaited(off)],
  ['await acquire and release, async-mutex', 5_000, awaitedAsyncMutex],
  ['two looks at the clock', 10_000, twoClocks],
  ['await of a number', 5_000, awaitedNothing],
  ['blocked wait, 100 in a row, watch', 100, await blocking(watch, true)],
  ['blocked wait, 100 behind one, watch', 100, await blocking(watch, false)],
  ['blocked wait, 100 in a row, no stacks', 100, await blocking(noStacks, true)],
  ['blocked wait, async-mutex', 100, blockingAsyncMutex],
];

/** @type {number[][]} */
const results = cases.map(() => []);
for (let round = 0; round < rounds + WARM_UP; round += 1) {
  for (const [i, [, n, run]] of cases.entries()) {
    const from = performance.now();
    const ownTimeMs = await run(n);
    const ms = typeof ownTimeMs === 'number' ? ownTimeMs : performance.now() - from;
    if (round >= WARM_UP) results[i]?.push((ms * 1e6) / n);
  }
}
for (const [i, [name]] of cases.entries()) {
  const sorted = (results[i] ?? []).sort((a, b) => a - b);
  const at = (/** @type {number} */ share) =>
    Math.round(sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN);
  const quartiles = `${at(0.25)} to ${at(0.75)}`;
  console.log(
    `${name.padEnd(40)} ${String(at(0.5)).padStart(6)} ns  (${quartiles}, least ${at(0)})`,
  );
}
if (sum === 0) throw new Error('nothing was measured');

/**
 * Properties that hold in any order of events; fast-check generates the schedules.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DeadlockError, Mutex, RWLock, type Task, WaitGroup } from '../../src/lock/index.js';
import { watched } from './support.js';

const RUNS = 300;

describe('one lock', () => {
  const request = fc.record({
    mode: fc.constantFrom('read' as const, 'write' as const),
    /** Turns of the scheduler before the request, during the hold, and before the abort, if any. */
    after: fc.nat(4),
    holds: fc.nat(3),
    abortAfter: fc.option(fc.nat(5), { nil: null }),
  });

  test('excludes, serves in FIFO order, leaks no slot, and settles all waits when closed', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(request, { minLength: 1, maxLength: 12 }),
        fc.option(fc.nat(12), { nil: null }),
        async (scheduler, requests, closeAfter) => {
          const { detector, told } = watched();
          const lock = new RWLock({ name: 'room', detector });
          let readers = 0;
          let writers = 0;
          const asked: number[] = [];
          const served: number[] = [];
          const ended: string[] = [];
          const turns = async (n: number) => {
            for (let i = 0; i < n; i += 1) await scheduler.schedule(Promise.resolve());
          };
          const all = requests.map(async ({ mode, after, holds, abortAfter }, id) => {
            await turns(after);
            const stop = new AbortController();
            if (abortAfter !== null) void turns(abortAfter).then(() => stop.abort('aborted'));
            asked.push(id);
            try {
              const guard = await lock[mode]('site', { signal: stop.signal });
              served.push(id);
              if (mode === 'read') readers += 1;
              else writers += 1;
              expect(writers === 0 || (writers === 1 && readers === 0)).toBe(true);
              await turns(holds);
              if (mode === 'read') readers -= 1;
              else writers -= 1;
              guard.release();
              ended.push('served');
            } catch (error) {
              ended.push(error === 'aborted' ? 'aborted' : (error as { code: string }).code);
            }
          });
          if (closeAfter !== null) void turns(closeAfter).then(() => lock.close('over'));
          await scheduler.waitFor(Promise.all(all));
          await scheduler.waitIdle();

          expect(served).toEqual(asked.filter((id) => served.includes(id)));
          expect(ended).toHaveLength(requests.length);
          for (const end of ended) {
            const known = ['served'];
            if (requests.some(({ abortAfter }) => abortAfter !== null)) known.push('aborted');
            if (closeAfter !== null) known.push('lock_closed');
            expect(known).toContain(end);
          }
          if (closeAfter === null) expect(lock.tryWrite('free')).not.toBeNull();
          else await expect(lock.write('late')).rejects.toMatchObject({ code: 'lock_closed' });
          expect(detector.snapshot().pending).toEqual([]);
          const [read, write] = detector.metrics().locks;
          const counted = (result: 'immediate' | 'waited') =>
            (read?.acquisitions[result] ?? 0) + (write?.acquisitions[result] ?? 0);
          const tries = closeAfter === null ? 1 : 0;
          expect(counted('immediate') + counted('waited')).toBe(served.length + tries);
          expect(told).toEqual([]);
        },
      ),
      { numRuns: RUNS },
    );
  });
});

describe('the detector', () => {
  type Step =
    | { readonly kind: 'read' | 'write'; readonly lock: number }
    | { readonly kind: 'wait'; readonly group: number }
    | { readonly kind: 'release' };
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ kind: fc.constantFrom('read', 'write'), lock: fc.nat(2) }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('wait'), group: fc.nat(1) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('release') }) },
  );
  const program = fc.record({
    steps: fc.array(step, { maxLength: 5 }),
    memberOf: fc.option(fc.nat(1), { nil: null }),
  });
  const programs = fc.array(program, { minLength: 1, maxLength: 6 });

  /** Tasks that acquire locks one after the other, wait for groups in between, and release all at the end. */
  function run(
    mode: 'watch' | 'strict',
    scheduler: fc.Scheduler,
    list: readonly { readonly steps: readonly Step[]; readonly memberOf: number | null }[],
  ) {
    const watching = watched({ mode });
    const { detector } = watching;
    const locks = [0, 1, 2].map((n) => new RWLock({ name: `lock ${n}`, detector }));
    const groups = [0, 1].map((n) => new WaitGroup({ name: `group ${n}`, detector }));
    const errors: unknown[] = [];
    let running = list.length;
    for (const { steps, memberOf } of list) {
      const body = async (task: Task) => {
        const guards: Disposable[] = [];
        try {
          for (const each of steps) {
            await scheduler.schedule(Promise.resolve());
            if (each.kind === 'release') guards.pop()?.[Symbol.dispose]();
            else if (each.kind === 'wait') await groups[each.group]?.wait({ task });
            else {
              const guard = await locks[each.lock]?.[each.kind]('site', { task });
              if (guard !== undefined) guards.push(guard);
            }
          }
        } catch (error) {
          errors.push(error);
        } finally {
          for (const guard of guards) guard[Symbol.dispose]();
          running -= 1;
        }
      };
      if (memberOf === null) void detector.runTask('task', body);
      else void groups[memberOf]?.go('task', body);
    }
    return { ...watching, errors, stuck: () => running };
  }

  test('watch: reports a deadlock exactly when some task is stuck for ever', async () => {
    let stuckRuns = 0;
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), programs, async (scheduler, list) => {
        const { detector, errors, stuck } = run('watch', scheduler, list);
        await scheduler.waitIdle();
        const reports = detector.snapshot().reports.filter(({ kind }) => kind === 'deadlock');
        expect(errors).toEqual([]);
        expect(reports.some(({ over }) => !over)).toBe(stuck() > 0);
        // A deadlock found never ends: nothing in this test can end it.
        expect(reports.every(({ over, certain }) => !over && certain)).toBe(true);
        if (stuck() > 0) stuckRuns += 1;
      }),
      { numRuns: RUNS },
    );
    // Otherwise the property would be vacuous.
    expect(stuckRuns).toBeGreaterThan(RUNS / 20);
    expect(stuckRuns).toBeLessThan(RUNS);
  });

  test('strict: every task ends, and every rejection is a deadlock', async () => {
    let refusedRuns = 0;
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), programs, async (scheduler, list) => {
        const { detector, errors, stuck } = run('strict', scheduler, list);
        await scheduler.waitIdle();
        expect(stuck()).toBe(0);
        for (const error of errors) expect(error).toBeInstanceOf(DeadlockError);
        expect(detector.snapshot()).toMatchObject({ held: [], pending: [] });
        expect(detector.metrics().deadlockedTasks).toBe(0);
        if (errors.length > 0) refusedRuns += 1;
      }),
      { numRuns: RUNS },
    );
    expect(refusedRuns).toBeGreaterThan(RUNS / 20);
  });

  test('locks acquired in one order are never in a deadlock or an inversion', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(fc.subarray([0, 1, 2, 3]), { minLength: 1, maxLength: 8 }),
        async (scheduler, tasks) => {
          const { detector } = watched({ mode: 'strict' });
          const locks = [0, 1, 2, 3].map((n) => new Mutex({ name: `lock ${n}`, detector }));
          const all = tasks.map((wanted) =>
            detector.runTask('task', async (task) => {
              const guards: Disposable[] = [];
              for (const n of wanted) {
                await scheduler.schedule(Promise.resolve());
                guards.push((await locks[n]?.lock('site', { task })) as Disposable);
              }
              for (const guard of guards) guard[Symbol.dispose]();
            }),
          );
          await scheduler.waitFor(Promise.all(all));
          expect(detector.snapshot().reports).toEqual([]);
        },
      ),
      { numRuns: RUNS },
    );
  });
});

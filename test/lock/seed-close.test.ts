/**
 * The first story: `close` holds the lock while it waits for its handlers, and one handler needs the
 * lock (miniredis up to 2.5.0). The naive version, then the correct one, under the same schedule.
 */
import { execFile } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  DeadlockError,
  type Detector,
  LockClosedError,
  Mutex,
  WaitGroup,
} from '../../src/lock/index.js';
import { compileLockModule, follow, gate, pass, settle, watched } from './support.js';

function server(detector: Detector) {
  const lock = new Mutex({ name: 'server', detector });
  const conns = new WaitGroup({ name: 'conns', detector });
  const { open, opened } = gate();
  const del = conns.go('DEL', async (task) => {
    await opened;
    const guard = await lock.lock('DEL', { task });
    guard.release();
  });
  const naive = () =>
    detector.runTask('close', async (task) => {
      const guard = await lock.lock('Server.close', { task });
      try {
        open();
        await conns.wait({ task });
      } finally {
        guard.release();
      }
    });
  const safe = () =>
    detector.runTask('close', async (task) => {
      const guard = await lock.lock('Server.close', { task });
      open();
      lock.close('the server is closing');
      guard.release();
      await conns.wait({ task });
    });
  return { del, naive, safe };
}

describe('on a virtual clock', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test('watch: both tasks are stuck, and one deadlock names both before the clock moves', async () => {
    const { detector, told, incidents } = watched();
    const { del, naive } = server(detector);
    const ends = [follow(del), follow(naive())];
    await settle();
    expect(performance.now()).toBe(0);
    expect(ends.map((end) => end.settled)).toEqual([false, false]);
    const [report, ...more] = incidents('deadlock');
    expect(more).toEqual([]);
    expect(report).toMatchObject({ certain: true, count: 1, ageMs: 0, over: false });
    const [close, handler] = report?.tasks ?? [];
    expect(close).toMatch(/^close#\d+$/);
    expect(handler).toMatch(/^DEL#\d+$/);
    expect(report?.chain).toEqual([close, 'conns', handler, 'server', close]);
    const words = [
      `DEADLOCK (certain) id=${report?.id}  2 tasks wait for each other, found 0 ms after it formed`,
      `  task ${close}  has held lock:server (write) for 0 ms, acquired at Server.close`,
      '                waits for waitgroup:conns (1 member left)',
      `  task ${handler}    is that member (DEL); waits for lock:server (write)`,
      `  cycle: ${close} -> conns -> ${handler} -> server -> ${close}`,
      '  hint: release lock:server before waiting for conns.',
    ];
    const squeezed = (text: string) => text.replace(/ +/g, ' ');
    expect(squeezed(report?.text ?? '')).toBe(squeezed(words.join('\n')));
    // The first report would also come without the deadlock.
    expect(told.map((each) => each.kind)).toEqual(['wait-while-holding', 'deadlock']);
    expect(report?.stacks.map(({ task }) => task)).toEqual([close, handler]);
    expect(report?.stacks[0]?.stack.split('\n')[0]).toContain('seed-close.test.ts');
    expect(detector.metrics()).toMatchObject({ deadlockedTasks: 2, reports: { deadlock: 1 } });
  });

  test('watch: a lasting deadlock is one incident, and causes no other reports', async () => {
    const { detector, told, incidents } = watched();
    const { naive } = server(detector);
    void naive();
    await pass(60_000);
    expect(incidents('deadlock')).toHaveLength(1);
    expect(told.map((each) => each.kind)).toEqual([
      'wait-while-holding',
      'deadlock',
      'deadlock',
      'deadlock',
    ]);
    expect(told.at(-1)).toMatchObject({ count: 3, ageMs: 30_000 });
    expect(told.at(-1)?.text).toContain('lasting 30.0 s, reported 3 times');
  });

  test('strict: the wait that closes the cycle is rejected, and close resolves', async () => {
    const { detector, incidents } = watched({ mode: 'strict' });
    const { del, naive } = server(detector);
    const refused = expect(del).rejects.toThrow(DeadlockError);
    await naive();
    await refused;
    await settle();
    expect(incidents('deadlock')).toHaveLength(1);
    expect(detector.snapshot().reports.at(-1)).toMatchObject({ kind: 'deadlock', over: true });
    expect(detector.metrics().deadlockedTasks).toBe(0);
    expect(detector.snapshot()).toMatchObject({ held: [], pending: [], edges: [] });
    const row = detector.metrics().locks.find(({ mode }) => mode === 'write');
    expect(row?.acquisitions).toMatchObject({ immediate: 1, deadlock: 1 });
  });

  test('correct version: close resolves, DEL gets an error, nothing is reported', async () => {
    const { detector, told } = watched();
    const { del, safe } = server(detector);
    const refused = expect(del).rejects.toThrow(LockClosedError);
    await safe();
    await refused;
    await pass(60_000);
    expect(told).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('as a process', () => {
  let directory = '';
  beforeAll(() => {
    directory = compileLockModule();
  });
  afterAll(() => {
    rmSync(directory, { recursive: true });
  });

  function run(mode: string, close: string) {
    const script = join(directory, `${mode}-${close}.mjs`);
    writeFileSync(
      script,
      `import { configureDetector, Mutex, runTask, WaitGroup } from './lock/index.js';
      configureDetector({ mode: '${mode}' });
      const lock = new Mutex({ name: 'server' });
      const conns = new WaitGroup({ name: 'conns' });
      let open;
      const opened = new Promise((resolve) => { open = resolve; });
      conns.go('DEL', async (task) => {
        await opened;
        (await lock.lock('DEL', { task })).release();
      }).catch((error) => console.log(error.code));
      runTask('close', async (task) => {
        const guard = await lock.lock('Server.close', { task });
        open();
        ${close === 'safe' ? "lock.close('closing'); guard.release();" : ''}
        await conns.wait({ task });
        guard.release();
        console.log('closed');
      });`,
    );
    return new Promise<{ code: unknown; stdout: string; stderr: string }>((resolve) => {
      execFile(process.execPath, [script], { timeout: 15_000 }, (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : (error.code ?? error.signal), stdout, stderr });
      });
    });
  }

  test('naive: the process exits with code 0 and never prints closed', async () => {
    expect(await run('off', 'naive')).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  test('naive, watched: the same exit, reported as stuck-at-exit', async () => {
    const { code, stdout, stderr } = await run('watch', 'naive');
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(stderr).toMatch(/\[deadlock\] LockReport: DEADLOCK \(certain\) id=\w{8} {2}2 tasks/);
    expect(stderr).toMatch(
      /\[stuck-at-exit\] LockReport: STUCK AT EXIT \(certain\) id=\w{8} {2}2 waits that can never end/,
    );
    expect(stderr).toMatch(
      /DEL#\d+ has waited \d+ ms for lock:server \(write\); .*held by close#\d+/,
    );
    expect(stderr.match(/STUCK AT EXIT/g)).toHaveLength(1);
  });

  test('correct version: the process prints closed', async () => {
    expect(await run('watch', 'safe')).toEqual({
      code: 0,
      stdout: 'lock_closed\nclosed\n',
      stderr: '',
    });
  });
});

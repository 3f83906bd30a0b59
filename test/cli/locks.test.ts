import { expect, test } from 'vitest';
import { describeLocks } from '../../src/cli/locks.js';
import { RWLock, snapshot } from '../../src/lock/index.js';
import { run, serveProcess } from '../support/process.js';

test('prints holders and waits', async () => {
  const lock = new RWLock({ name: 'test.cli' });
  const guard = await lock.write('holder');
  const waiting = lock.read('waiter', { timeoutMs: 60_000 });
  const text = describeLocks(snapshot());
  expect(text).toMatch(/lock:test\.cli.* \(write\) by holder for \d+\.\d{3} s, taken at holder/);
  expect(text).toMatch(/waiter waits for lock:test\.cli.* \(read\) for .*, at most 60\.000 s/);
  guard.release();
  (await waiting).release();
});

test('prints the locks of a running server, with its key', async () => {
  const server = await serveProcess('--api-key', 'secret');
  const refused = run(['locks', server.url]);
  expect(await refused.exited).toBe(1);
  expect(refused.stderr).toMatch(/^roomcast: http:\S+ answered 401: .*\n$/);
  const printed = run(['locks', server.url], { env: { ROOMCAST_API_KEY: 'secret' } });
  expect(await printed.exited).toBe(0);
  expect(printed.stdout).toEqual(
    expect.arrayContaining(['detector: watch', 'held: 0', 'waits: 0', 'reports: 0']),
  );
});

test('reports in one line that nothing answers, or that the address is invalid', async () => {
  const { url, child, exited } = await serveProcess();
  child.kill('SIGTERM');
  await exited;
  const gone = run(['locks', url]);
  expect(await gone.exited).toBe(1);
  expect(gone.stderr).toMatch(/^roomcast: http:\S+ does not answer: .*\n$/);
  const wrong = run(['locks', 'nowhere']);
  expect(await wrong.exited).toBe(2);
  expect(wrong.stderr).toBe(
    'roomcast: url "nowhere" is not allowed: give one like http://127.0.0.1:8080\n',
  );
});

test('SIGUSR2 logs the locks', async () => {
  const server = await serveProcess();
  server.child.kill('SIGUSR2');
  expect(await server.line('locks')).toMatchObject({ locks: { mode: 'watch', held: [] } });
});

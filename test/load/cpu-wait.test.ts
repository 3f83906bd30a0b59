import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { expect, onTestFinished, test } from 'vitest';
import { cpuWaitSeconds } from '../../src/load/cpu-wait.js';

test('more busy processes than there are CPUs wait for them in turns', async () => {
  const pids = Array.from({ length: availableParallelism() + 1 }, () => {
    const child = spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' });
    onTestFinished(() => void child.kill('SIGKILL'));
    return child.pid!;
  });
  const waited = () => Math.max(...pids.map((pid) => cpuWaitSeconds(pid) ?? 0));
  await expect.poll(waited).toBeGreaterThan(0.2);
});

test('the wait of a process that does not exist is unknown', () => {
  expect(cpuWaitSeconds(2 ** 22 + 1)).toBeNull();
});

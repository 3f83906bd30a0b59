/**
 * Runs `roomcast load` as users do: a process, its output and exit code; and a load of one second.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

export const MAIN = new URL('../../dist/cli/main.js', import.meta.url).pathname;

/** Flags for a quick load on a `ws` server. */
export const QUICK: readonly string[] = [
  ...['--target', 'ws', '--members', '12', '--rate', '100/s', '--ramp-up', '0'],
  ...['--settle', '200ms', '--warmup', '0', '--calm', '1s', '--drain', '5s'],
];
/** Exit codes: passed, or void if the machine was too busy for a verdict on times. */
export const NOT_FAILED = [0, 3];

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** @param within a command that runs it, such as `ip netns exec` */
export function start(
  args: readonly string[],
  within: readonly string[] = [],
): { child: ChildProcessWithoutNullStreams; ended: Promise<Ended> } {
  const [program = '', ...rest] = [...within, process.execPath, MAIN, 'load', ...args];
  const child = spawn(program, rest);
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return { child, ended: once(child, 'close').then(([code]) => ({ code, stdout, stderr })) };
}

/** A path that is removed after the test. */
export function temporary(): string {
  const path = mkdtempSync(join(tmpdir(), 'load-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

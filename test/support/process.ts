/** The command as its users run it: a process of its own, and what it said. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { onTestFinished } from 'vitest';
import { Signal } from './signal.js';

const MAIN = new URL('../../dist/cli/main.js', import.meta.url).pathname;

export interface ServerProcess {
  readonly url: string;
  readonly child: ChildProcess;
  /** Lines of its log so far, parsed. */
  readonly log: readonly Record<string, unknown>[];
  /** Resolves with the first line, also of the past, that has this message. */
  line(message: string): Promise<Record<string, unknown>>;
  /** Resolves with its exit code. */
  readonly exited: Promise<number | null>;
}

/** `roomcast serve` on a free port; killed when the test is over. */
export async function serveProcess(...flags: string[]): Promise<ServerProcess> {
  const child = spawn(process.execPath, [MAIN, 'serve', '--port', '0', ...flags], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  const log: Record<string, unknown>[] = [];
  const changed = new Signal();
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() as string;
    for (const line of lines) log.push(JSON.parse(line));
    changed.fire();
  });
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  const find = (message: string) => log.find(({ msg }) => msg === message);
  const line = async (message: string) => {
    await changed.until(() => find(message) !== undefined);
    return find(message) as Record<string, unknown>;
  };
  const serving = await line('serving');
  return { url: String(serving['url']), child, log, line, exited };
}

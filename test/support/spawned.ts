/** The command as users run it: a process, and its output. The caller must end it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { endWithUs } from './children.js';
import { Signal } from './signal.js';

const MAIN = new URL('../../dist/cli/main.js', import.meta.url).pathname;

/** A line of the log of `serve`. */
type LogLine = Readonly<Record<string, unknown>>;

export interface Process {
  readonly child: ChildProcess;
  readonly stdout: readonly string[];
  /** Lines of `stdout`, parsed: the log of `serve`. */
  readonly log: readonly LogLine[];
  readonly stderr: string;
  /** Resolves with the first log line that has this message, including earlier ones. */
  line(message: string): Promise<LogLine>;
  /** Resolves with the exit code once all output has arrived; null if a signal ended it. */
  readonly exited: Promise<number | null>;
}

export interface How {
  readonly env?: Record<string, string>;
  /** Arguments for Node. */
  readonly node?: readonly string[];
  /** A command prefix that runs it elsewhere. */
  readonly by?: readonly string[];
}

/** `roomcast` with these arguments. */
export function start(
  args: readonly string[],
  { env = {}, node = [], by = [] }: How = {},
): Process {
  // The environment of the test run must not change its options.
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('ROOMCAST_'));
  const [program, ...rest] = [...by, process.execPath, ...node, MAIN, ...args];
  const child = spawn(program as string, rest, {
    env: { ...Object.fromEntries(inherited), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  endWithUs(child);
  const stdout: string[] = [];
  let stderr = '';
  let hasExited = false;
  const changed = new Signal();
  createInterface({ input: child.stdout }).on('line', (line) => {
    stdout.push(line);
    changed.fire();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const exited = once(child, 'close').then(([code]) => {
    hasExited = true;
    changed.fire();
    return code as number | null;
  });
  const parsed = () => stdout.map((line) => JSON.parse(line) as LogLine);
  return {
    child,
    stdout,
    get log() {
      return parsed();
    },
    get stderr() {
      return stderr;
    },
    async line(message) {
      const find = () => parsed().find(({ msg }) => msg === message);
      await changed.until(() => find() !== undefined || hasExited);
      const line = find();
      if (line) return line;
      throw new Error(`It never said "${message}":\n${stdout.join('\n')}\n${stderr}`);
    },
    exited,
  };
}

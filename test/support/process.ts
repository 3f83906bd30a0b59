/** The command as its users run it: a process of its own, and what it said. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { onTestFinished } from 'vitest';
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
  /** Resolves with the first line of the log, also of the past, that has this message. */
  line(message: string): Promise<LogLine>;
  /** Resolves with the exit code once all output is here; null where a signal ended it. */
  readonly exited: Promise<number | null>;
}

export interface ServerProcess extends Process {
  readonly url: string;
}

/** `roomcast` with these arguments; killed when the test is over. `node`: arguments of Node itself. */
export function run(
  args: readonly string[],
  { env = {}, node = [] }: { env?: Record<string, string>; node?: readonly string[] } = {},
): Process {
  // Options of whoever runs the tests are not what they are about.
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('ROOMCAST_'));
  const child = spawn(process.execPath, [...node, MAIN, ...args], {
    env: { ...Object.fromEntries(inherited), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
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

/** `roomcast serve` on a free port. */
export async function serveProcess(...flags: string[]): Promise<ServerProcess> {
  const server = run(['serve', '--port', '0', ...flags]);
  const { url } = await server.line('serving');
  return Object.assign(server, { url: String(url) });
}

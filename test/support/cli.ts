/** `roomcast` as users run it: the built file, in a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { onTestFinished } from 'vitest';

export const MAIN = 'dist/cli/main.js';

/** A line of the log of `serve`. */
export type LogLine = Record<string, unknown> & { msg: string };

export class Run {
  readonly lines: string[] = [];
  stderr = '';
  readonly #child: ChildProcess;
  readonly #waiting = new Set<() => void>();
  /** Exit code, or the signal that ended it, once all of its output is here. */
  readonly ended: Promise<number | NodeJS.Signals>;

  constructor(args: readonly string[], env: Record<string, string> = {}, node: string[] = []) {
    // Variables of the one who runs the tests are not what they are about.
    const clean = Object.entries(process.env).filter(([name]) => !name.startsWith('ROOMCAST_'));
    this.#child = spawn(process.execPath, [...node, MAIN, ...args], {
      env: { ...Object.fromEntries(clean), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const child = this.#child;
    createInterface({ input: child.stdout! }).on('line', (line) => {
      this.lines.push(line);
      for (const look of this.#waiting) look();
    });
    child.stderr!.on('data', (text) => {
      this.stderr += text;
    });
    this.ended = new Promise((resolve) =>
      child.once('close', (code, signal) => resolve(code ?? signal!)),
    );
    onTestFinished(async () => {
      child.kill('SIGKILL');
      await this.ended;
    });
  }

  get log(): LogLine[] {
    return this.lines.map((line) => JSON.parse(line) as LogLine);
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** The first line of the log with this message; fails when the process ends without it. */
  async line(msg: string): Promise<LogLine> {
    const found = () => this.log.find((line) => line.msg.startsWith(msg));
    const seen = new Promise<void>((resolve) => {
      const look = () => {
        if (!found()) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
    await Promise.race([seen, this.ended]);
    const line = found();
    if (line) return line;
    throw new Error(`no line "${msg}" in:\n${this.lines.join('\n')}\n${this.stderr}`);
  }
}

/** A real Prometheus for tests: Debian's `prometheus` and `promtool`. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.js';

const PROMETHEUS = '/usr/bin/prometheus';
const PROMTOOL = '/usr/bin/promtool';

/** Whether it is installed. If not, its tests are skipped with the reason; in CI they fail. */
export const hasPrometheus =
  process.env['CI'] === 'true' || (existsSync(PROMETHEUS) && existsSync(PROMTOOL));

if (!hasPrometheus) {
  console.warn(
    `Tests with Prometheus are skipped: ${PROMETHEUS} is missing. apt-get install --no-install-recommends prometheus`,
  );
}

/** Runs promtool. `output` is its whole output. */
export function promtool(args: readonly string[], input = ''): { status: number; output: string } {
  const { status, stdout, stderr, error } = spawnSync(PROMTOOL, args, { input, encoding: 'utf8' });
  if (error) throw error;
  return { status: status ?? -1, output: stdout + stderr };
}

/** Creates a temporary directory; `remove` deletes it. */
export function temporary(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'roomcast-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  /** `[seconds since 1970, value]`: one of an instant query. */
  readonly values: readonly (readonly [number, string])[];
}

export class Prometheus {
  readonly url: string;
  readonly #child: ChildProcess;

  private constructor(url: string, child: ChildProcess) {
    this.url = url;
    this.#child = child;
  }

  /** Starts one with this configuration file and its data in `directory`; resolves when it is ready. */
  static async start(config: string, directory: string): Promise<Prometheus> {
    const port = await freePort();
    const child = spawn(
      PROMETHEUS,
      [
        `--config.file=${config}`,
        `--storage.tsdb.path=${join(directory, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`,
        '--log.level=error',
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    let said = '';
    child.stderr?.on('data', (chunk) => {
      said += chunk;
    });
    const prometheus = new Prometheus(`http://127.0.0.1:${port}`, child);
    while (!(await prometheus.#isReady())) {
      if (child.exitCode !== null) throw new Error(`prometheus did not start: ${said}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return prometheus;
  }

  async query(expr: string): Promise<Series[]> {
    const result = await this.#ask<{ metric: Series['metric']; value: [number, string] }>('query', {
      query: expr,
    });
    return result.map(({ metric, value }) => ({ metric, values: [value] }));
  }

  /** Times in seconds since 1970. */
  range(expr: string, start: number, end: number, step: number): Promise<Series[]> {
    return this.#ask('query_range', {
      query: expr,
      start: String(start),
      end: String(end),
      step: String(step),
    });
  }

  async get<T>(path: string): Promise<T> {
    const response = await fetch(`${this.url}${path}`);
    return ((await response.json()) as { data: T }).data;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    this.#child.kill('SIGTERM');
    await once(this.#child, 'exit');
  }

  async #ask<T>(path: string, parameters: Record<string, string>): Promise<T[]> {
    const response = await fetch(`${this.url}/api/v1/${path}?${new URLSearchParams(parameters)}`);
    const answer = (await response.json()) as {
      status: string;
      error?: string;
      data: { result: T[] };
    };
    if (answer.status !== 'success') {
      throw new Error(`${answer.error} in ${parameters['query']}`);
    }
    return answer.data.result;
  }

  async #isReady(): Promise<boolean> {
    // It does not listen yet.
    const response = await fetch(`${this.url}/-/ready`).catch(() => null);
    return response?.ok ?? false;
  }
}

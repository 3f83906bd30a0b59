/** `roomcast demo`: its first minute. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished, vi } from 'vitest';
import { serveProcess } from '../support/process.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const WAIT = { timeout: 50_000, interval: 100 };

function start(...args: string[]): { child: ChildProcess; said(): string } {
  const child = spawn(process.execPath, [MAIN, 'demo', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onTestFinished(() => {
    child.kill('SIGTERM');
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      said += chunk;
    });
  }
  return { child, said: () => said };
}

async function membersOf(url: string): Promise<number> {
  const { total } = (await (await fetch(`${url}/v1/members?limit=1`)).json()) as { total: number };
  return total;
}

it('serves, fills a room, says where to look, and ends both with a signal', async () => {
  const { child, said } = start('--port', '0');
  await vi.waitFor(() => expect(said()).toMatch(/Open {2}http:\S+ {2}and keep it in view/), WAIT);
  const url = /Open {2}(http:\S+)\//.exec(said())?.[1] as string;
  expect(await membersOf(url)).toBe(100);
  expect((await fetch(url)).headers.get('content-type')).toMatch(/^text\/html/);
  // Not the whole process group, as a terminal would.
  child.kill('SIGINT');
  const [code] = await once(child, 'exit');
  expect(code).toBe(0);
  await expect(fetch(url)).rejects.toThrow('fetch failed');
});

it('sends its crowd to a server that runs already', async () => {
  const { url } = await serveProcess();
  const { child, said } = start('--url', url);
  await vi.waitFor(() => expect(said()).toContain('keep it in view'), WAIT);
  expect(await membersOf(url)).toBe(100);
  child.kill('SIGTERM');
  await once(child, 'exit');
  await vi.waitFor(async () => expect(await membersOf(url)).toBe(0), WAIT);
});

it.each([
  [['--speed', '9'], 2, /^roomcast: unknown option '--speed': see roomcast demo --help/],
  [['--url', 'nonsense'], 2, /^roomcast: --url "nonsense" is not allowed: give one like http/],
  [['--port', '99999'], 2, /^roomcast: --port 99999 is not allowed/],
  [
    ['--url', 'http://127.0.0.1:9'],
    1,
    /^roomcast: cannot reach roomcast at 127.0.0.1:9: ECONNREFUSED: nothing/,
  ],
])('%j is refused in one line', async (args, exitCode, line) => {
  const { child, said } = start(...args);
  const [code] = await once(child, 'exit');
  await vi.waitFor(() => expect(said()).toMatch(line), WAIT);
  expect(code).toBe(exitCode);
});

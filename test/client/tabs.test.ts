/**
 * Hidden and frozen tabs in a Chromium of our own, controlled without playwright, which keeps every page
 * visible.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, it, onTestFinished, vi } from 'vitest';
import { WebSocket } from 'ws';
import { ARGS, EXECUTABLE, hasChromium } from '../support/chromium.js';
import { serve } from '../support/server.js';
import { servePages } from './pages.js';

const WAIT = { timeout: 40_000, interval: 50 };

interface Answer {
  readonly id: number;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

/** A Chromium controlled over its debugging port. */
async function chromium() {
  const profile = mkdtempSync(join(tmpdir(), 'roomcast-tabs-'));
  const options = ['--headless=new', '--remote-debugging-port=0', `--user-data-dir=${profile}`];
  const child = spawn(EXECUTABLE, [...ARGS, ...options, 'about:blank'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const exited = once(child, 'exit');
  onTestFinished(async () => {
    // After SIGKILL its child processes would run on for a while and write files.
    child.kill('SIGTERM');
    await exited;
    // Its child processes end later, and `rmSync` does not remove files written meanwhile.
    await rm(profile, { recursive: true, maxRetries: 10 });
  });
  let url = '';
  for await (const line of createInterface({ input: child.stderr })) {
    url = /ws:\S+/.exec(line)?.[0] ?? '';
    if (url !== '') break;
  }
  const socket = new WebSocket(url);
  await once(socket, 'open');
  onTestFinished(() => socket.terminate());
  const answers = new Map<number, (answer: Answer) => void>();
  socket.on('message', (text) => {
    const answer = JSON.parse(String(text)) as Answer;
    answers.get(answer.id)?.(answer);
  });
  let ids = 0;
  return async (method: string, params: object = {}, sessionId?: unknown) => {
    ids += 1;
    const id = ids;
    const answered = new Promise<Answer>((resolve) => answers.set(id, resolve));
    socket.send(JSON.stringify({ id, method, params, sessionId }));
    const { result, error } = await answered;
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result as Record<string, unknown>;
  };
}

it.skipIf(!hasChromium)(
  'a hidden tab continues; a frozen one disconnects, and resumes with an exact gap when it thaws',
  async () => {
    const server = await serve();
    const { origin, close } = await servePages();
    onTestFinished(close);
    const send = await chromium();
    const { targetId: tab } = await send('Target.createTarget', { url: origin });
    const { sessionId } = await send('Target.attachToTarget', { targetId: tab, flatten: true });
    const evaluate = async (expression: string) => {
      const about = { expression, returnByValue: true };
      const { result } = await send('Runtime.evaluate', about, sessionId);
      return (result as { value: unknown }).value;
    };
    const until = (expression: string, value: unknown) =>
      vi.waitFor(async () => expect(await evaluate(expression)).toEqual(value), WAIT);
    const told = 'globalThis.told?.slice(2)';
    const publish = async (...data: string[]) => {
      for (const each of data) await server.publish('a', each);
    };

    await until('typeof start', 'function');
    await evaluate(`start(${JSON.stringify(server.url)})`);
    await until('globalThis.room?.state', 'joined');
    await send('Target.createTarget', { url: 'about:blank' });
    await until('document.visibilityState', 'hidden');
    await publish('1');
    await until(told, ['1']);

    await send('Page.setWebLifecycleState', { state: 'frozen' }, sessionId);
    await vi.waitFor(() => expect(server.members()).toEqual([]), WAIT);
    await publish('2', '3');
    await send('Page.setWebLifecycleState', { state: 'active' }, sessionId);
    const back = ['1', 'suspended', 'connecting', 'online', 'partial 2', 'expired 2-3'];
    await until(told, back);

    await send('Target.activateTarget', { targetId: tab });
    await until('document.visibilityState', 'visible');
    await publish('4');
    await until(told, [...back, '4']);
    expect(server.members()).toHaveLength(1);
  },
);

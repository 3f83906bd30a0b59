/**
 * Runs each example of `examples/client/` against a server of its own. Browser examples are in
 * `test/client/browser.test.ts`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { expect, onTestFinished, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { connect } from '../../client/src/index.js';
import { serve } from '../support/server.js';

const folder = new URL('../../examples/client/', import.meta.url).pathname;
const WAIT = { timeout: 30_000, interval: 50 };

function member(url: string) {
  const client = connect(`${url}/ws`, {
    WebSocket: (url) => new WebSocket(url),
  });
  onTestFinished(() => client.close());
  return client;
}

test('worker.mjs: processes jobs, and continues after a server restart', async () => {
  const first = await serve();
  const child = spawn(process.execPath, [`${folder}worker.mjs`], {
    env: { ...process.env, URL: `${first.url}/ws` },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const said: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => said.push(line));
  const client = member(first.url);
  const [jobs, results] = [client.room('jobs'), client.room('results')];
  const told: unknown[] = [];
  results.on('message', ({ data }) => told.push(data));
  await Promise.all([jobs.join(), results.join()]);
  await vi.waitFor(() => expect(first.rooms().map(({ members }) => members)).toEqual([2, 2]), WAIT);
  await jobs.publish({ a: 1, b: 2 });
  await vi.waitFor(() => expect(told).toEqual([{ job: 1, sum: 3 }]), WAIT);
  const { port } = new URL(first.url);
  await first.close();
  const second = await serve({ port: Number(port) });
  await vi.waitFor(
    () => expect(second.rooms().map(({ members }) => members)).toEqual([2, 2]),
    WAIT,
  );
  await jobs.publish({ a: 2, b: 2 });
  await vi.waitFor(() => expect(told).toHaveLength(2), WAIT);
  expect(said).toContain('lost some jobs: reset');
  child.kill('SIGTERM');
  expect(await once(child, 'exit')).toEqual([0, null]);
});

/** The command ends by its deadline with the right exit code, whatever the server does. */
import { expect, test, vi } from 'vitest';
import { run, serveProcess } from '../support/process.js';

const ARGS = ['--members', '20', '--rate', '50/s', '--ramp-up', '50ms', '--settle', '300ms'].concat(
  ['--warmup', '0', '--drain', '1s'],
);

/** A server in a process of its own, in the middle of a run: it has published ten messages or more. */
async function loaded(...args: string[]) {
  const server = await serveProcess('--publish-rate', '0');
  const load = run(['load', server.url.replace('http', 'ws'), ...ARGS, ...args]);
  await vi.waitFor(
    async () => {
      const metrics = await (await fetch(`${server.url}/metrics`)).text();
      expect(metrics).toMatch(/^roomcast_published_total\S* [1-9]\d/m);
    },
    { timeout: 20_000, interval: 20 },
  );
  const freeze = (): void => void process.kill(server.child.pid!, 'SIGSTOP');
  return { load, freeze };
}

test('a server that freezes before the end and stays frozen has confirmed nothing', async () => {
  const { load, freeze } = await loaded('--calm', '5s');
  freeze();
  // On a busy machine late messages are void.
  expect([1, 3]).toContain(await load.exited);
  const text = load.stdout.join('\n');
  expect(text).toMatch(/^(FAILED: .*(confirmed|flow)|VOID: the generator|VOID: the server)/m);
  expect(text).toMatch(/(FAIL|void) +confirmed .*the last message of 1 of 1 publisher was not/);
}, 60_000);

test('an interrupt ends the run although the server has frozen; a second one ends it at once', async () => {
  const once = await loaded('--calm', '60s');
  once.freeze();
  once.load.child.kill('SIGINT');
  expect([1, 3]).toContain(await once.load.exited);
  expect(once.load.stdout.join('\n')).toMatch(/interrupted/);

  const twice = await loaded('--calm', '60s', '--drain', '60s');
  twice.freeze();
  // Two signals of one kind are one if the process was not scheduled between them.
  twice.load.child.kill('SIGINT');
  twice.load.child.kill('SIGTERM');
  expect(await twice.load.exited).toBe(130);
}, 90_000);

/** Each example of `examples/embed/` is run as it stands. Express is not here: `package.test.ts` runs it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { expect, onTestFinished, test } from 'vitest';
import { connectReading } from '../support/reading-peer.js';

const folder = new URL('../../examples/embed/', import.meta.url).pathname;

/** Where it serves. */
async function run(name: string): Promise<string> {
  const child = spawn(process.execPath, [folder + name], {
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill());
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  return String(line);
}

test.each(['fastify.mjs', 'plain.mjs'])(
  '%s: the app answers, and rooms are beside it',
  async (name) => {
    const url = await run(name);
    expect(await (await fetch(url)).text()).toBe('the app');
    const peer = await connectReading('websocket', url);
    peer.say({ type: 'join', id: 1, room: 'a' });
    peer.say({ type: 'publish', id: 2, room: 'a', data: 'hello' });
    await peer.until(() => peer.events.some(({ type }) => type === 'message'));
  },
);

test('moderation.mjs: who says a bad word is out', async () => {
  const url = await run('moderation.mjs');
  const [good, bad] = [
    await connectReading('websocket', url),
    await connectReading('xhr-streaming', url),
  ];
  for (const peer of [good, bad]) {
    peer.say({ type: 'join', id: 1, room: 'a' });
    await peer.until(() => peer.events.some(({ type }) => type === 'joined'));
  }
  bad.say({ type: 'publish', id: 2, room: 'a', data: 'spam' });
  expect(await bad.closed).toBe(4003);
  await good.until(() => JSON.stringify(good.events).includes('was removed'));
});

test('each is under fifty lines', () => {
  for (const name of readdirSync(folder)) {
    expect(readFileSync(folder + name, 'utf8').split('\n').length, name).toBeLessThan(50);
  }
});

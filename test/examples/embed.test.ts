/**
 * Runs the examples of `examples/embed/` and `examples/testing/`. Those with Express, Nest, vitest and
 * jest are run from the package by `package.test.ts`.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { get } from 'node:https';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { certificate } from '../support/certificate.js';
import { connectReading } from '../support/reading-peer.js';

const folder = new URL('../../examples/embed/', import.meta.url).pathname;

/** The process of an example, and the URL that it prints. */
async function start(name: string, ...args: string[]) {
  const child = spawn(process.execPath, [folder + name, ...args], {
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill());
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  return { child, url: String(line) };
}

const run = async (...args: Parameters<typeof start>) => (await start(...args)).url;

test.each(['fastify.mjs', 'plain.mjs'])(
  '%s: serves the app and the rooms on one port, and ends at SIGTERM, after its members',
  async (name) => {
    const { child, url } = await start(name);
    expect(await (await fetch(url)).text()).toBe('the app');
    const peer = await connectReading('websocket', url);
    peer.say({ type: 'join', id: 1, room: 'a' });
    peer.say({ type: 'publish', id: 2, room: 'a', data: 'hello' });
    await peer.until(() => peer.events.some(({ type }) => type === 'message'));
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    expect(await peer.closed).toBe(4200);
    expect(await exited).toEqual([0, null]);
  },
);

test('moderation.mjs: masks bad words, and kicks repeat offenders', async () => {
  const url = await run('moderation.mjs');
  const [good, bad] = [
    await connectReading('websocket', url),
    await connectReading('xhr-streaming', url),
  ];
  for (const peer of [good, bad]) {
    peer.say({ type: 'join', id: 1, room: 'a' });
    await peer.until(() => peer.events.some(({ type }) => type === 'joined'));
  }
  const texts = ['hello', 'Spam', 'spam and spam', 'spam'];
  for (const text of texts) bad.say({ type: 'publish', room: 'a', data: { text } });
  expect(await bad.closed).toBe(4003);
  const heard = () => good.events.flatMap((event) => ('data' in event ? event.data : []));
  await good.until(() => heard().length >= 3);
  expect(heard()).toEqual([{ text: 'hello' }, { text: '****' }, { text: '**** and ****' }]);
});

test('https.mjs: serves the app and the rooms over TLS', async () => {
  const { tlsCert, tlsKey } = certificate();
  const url = await run('https.mjs', tlsCert, tlsKey);
  const insecure = { rejectUnauthorized: false };
  expect(url).toMatch(/^https:/);
  const [answer] = await once(get(url, insecure), 'response');
  expect(answer.statusCode).toBe(200);
  answer.resume();
  const socket = new WebSocket(`${url.replace('https', 'wss')}/ws`, insecure);
  const [welcome] = await once(socket, 'message');
  expect(String(welcome)).toContain('"welcome"');
  socket.terminate();
});

test('score.node.mjs passes under node:test', async () => {
  const file = new URL('../../examples/testing/score.node.mjs', import.meta.url).pathname;
  const { stdout } = await promisify(execFile)(process.execPath, ['--test', file]);
  expect(stdout).toMatch(/pass 1$/m);
});

test.each(['embed', 'testing', 'client'])(
  'each file in %s is under fifty lines and named in the README',
  (of) => {
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
    const all = new URL(`../../examples/${of}/`, import.meta.url).pathname;
    for (const name of readdirSync(all)) {
      expect(readFileSync(all + name, 'utf8').split('\n').length, name).toBeLessThan(50);
      expect(readme).toContain(`\`${name}\``);
    }
  },
);

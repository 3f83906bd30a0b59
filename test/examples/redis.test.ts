/** Runs `examples/redis/`: two processes and a Redis. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { expect, onTestFinished, test } from 'vitest';
import { connectReading } from '../support/reading-peer.js';
import { hasRedis, startRedis } from '../support/redis-server.js';

const program = new URL('../../examples/redis/app.mjs', import.meta.url).pathname;

test.skipIf(!hasRedis)('app.mjs: a message published at one reaches the other', async () => {
  const redis = await startRedis();
  onTestFinished(() => redis.close());
  const start = async () => {
    const child = spawn(process.execPath, [program], {
      env: { ...process.env, PORT: '0', REDIS_URL: redis.url },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    const lines = createInterface({ input: child.stdout });
    return { child, url: String((await once(lines, 'line'))[0]) };
  };
  const [a, b] = [await start(), await start()];
  expect(await (await fetch(a.url)).text()).toBe('the app');
  const peer = await connectReading('websocket', b.url);
  peer.say({ type: 'join', id: 1, room: 'chat:lobby' });
  await peer.until(() => peer.events.some(({ type }) => type === 'joined'));
  const say = () => fetch(`${a.url}/say`, { method: 'POST', body: 'hello' });
  expect(await (await say()).text()).toBe('message 1\n');
  await peer.until(() => peer.events.some((event) => 'data' in event));
  expect(peer.events.find((event) => 'data' in event)).toMatchObject({ data: { text: 'hello' } });

  await redis.kill();
  await expect.poll(async () => (await say()).status).toBe(503);
  b.child.kill('SIGTERM');
  expect(await peer.closed).toBe(4200);
});

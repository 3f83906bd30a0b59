/**
 * Nodes in processes of their own, over one Redis: one is killed, stalled, or isolated by its network
 * in one direction. Members of the other notice nothing (V23), and members of the one are told what
 * they missed (V21), accounted for from logs. Failures of Redis itself: `redis-faults.test.ts`.
 */
import { describe, expect, onTestFinished, test } from 'vitest';
import type { LoggingMember } from '../support/logging-member.js';
import { NetworkNamespace, whyNoNamespaces } from '../support/network-namespace.js';
import { run } from '../support/process.js';
import { RedisScene } from '../support/redis-scene.js';
import { hasRedis } from '../support/redis-server.js';

const ROOM = 'chat:lobby';

const burst = (scene: RedisScene, count: number) =>
  Promise.all(Array.from({ length: count }, () => scene.publish(0, ROOM)));

const messages = ({ logs }: LoggingMember) =>
  logs.flatMap(({ told }) => told.filter(({ type }) => type === 'message')).length;

/** Starts another node of the scene's cluster as users do. */
async function startNode(redisUrl: string, by: string[] = [], ...flags: string[]) {
  const server = run(
    ['serve', '--broker', 'redis', '--redis-url', redisUrl, '--broker-tick-ms', '200', ...flags],
    { by },
  );
  const { url } = await server.line('serving');
  return { server, url: String(url) };
}

describe.skipIf(!hasRedis)('a node', () => {
  test('that is killed makes its members reconnect, and they are told what they missed', async () => {
    const scene = await RedisScene.start({ nodes: 1 });
    const { server, url } = await startNode(scene.redis.url, [], '--port', '0');
    const [a, b] = [await scene.join(0, ROOM), await scene.join(url, ROOM)];
    await burst(scene, 10);
    await b.until(() => messages(b) === 10);
    server.child.kill('SIGKILL');
    await b.until(() => false);
    await burst(scene, 10);
    await a.until(() => messages(a) === 20);
    b.comeBack(scene.nodes[0]?.server.url as string);
    await b.joined();
    expect(await scene.account([0], [a])).toEqual([]);
    expect(messages(b)).toBeLessThan(messages(a));
  });

  test('that is stalled delays only its own members, and continues from its position', async () => {
    const scene = await RedisScene.start({ nodes: 1 });
    const { server, url } = await startNode(scene.redis.url, [], '--port', '0');
    const [a, b] = [await scene.join(0, ROOM), await scene.join(url, ROOM)];
    await burst(scene, 10);
    server.child.kill('SIGSTOP');
    await burst(scene, 20);
    await a.until(() => messages(a) === 30);
    // Redis buffers unsent data for longer than the heartbeat timeout.
    await new Promise((resolve) => setTimeout(resolve, 700));
    server.child.kill('SIGCONT');
    expect(await scene.account([0], [a, b])).toEqual([]);
  });
});

describe.skipIf(!hasRedis || whyNoNamespaces !== null)('a node with a network of its own', () => {
  test.each(['up', 'down'] as const)(
    'isolated from Redis in one direction (%s) reports it, and the others notice nothing',
    async (direction) => {
      const network = new NetworkNamespace();
      onTestFinished(() => network.close());
      const scene = await RedisScene.start({
        nodes: 1,
        redis: ['--bind', '0.0.0.0', '--protected-mode', 'no'],
      });
      const redisUrl = `redis://${network.redisAddress}:${scene.redis.port}`;
      const { url } = await startNode(
        redisUrl,
        network.by,
        '--host',
        network.address,
        '--port',
        '0',
      );
      const [a, b] = [await scene.join(0, ROOM), await scene.join(url, ROOM)];
      await burst(scene, 10);
      await b.until(() => messages(b) === 10);
      network.cut(direction);
      await scene.until(b, 'suspended');
      expect((await fetch(`${url}/readyz`)).status).toBe(503);
      await burst(scene, 20);
      await a.until(() => messages(a) === 30);
      network.heal();
      await scene.until(b, 'up');
      // The log had all of it.
      expect(await scene.account([0], [a, b])).toEqual([]);
      expect(b.notices).toEqual(['suspended', 'up']);
    },
  );
});

/**
 * An unsuitable Redis is refused with a message that says what would do; a risky setting is warned
 * about.
 */
import { createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { Misconfigured } from '../../../src/broker/redis/link.js';
import { RedisNode as Node } from '../../support/redis-node.js';
import { hasRedis, startRedis } from '../../support/redis-server.js';
import { serve } from '../../support/server.js';

/**
 * A fake Redis that reports a version and answers everything else with OK; logs the commands it gets.
 */
async function redisOf(version: string) {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      for (const [, words = ''] of chunk.toString().matchAll(/\*\d+\r\n((?:\$\d+\r\n.*\r\n)+)/g)) {
        const command = words
          .replaceAll(/\$\d+\r\n/g, '')
          .trim()
          .replaceAll('\r\n', ' ');
        asked.push(command);
        const info = `redis_version:${version}\r\nrun_id:${'a'.repeat(40)}\r\n`;
        socket.write(command.startsWith('INFO') ? `$${info.length}\r\n${info}\r\n` : '+OK\r\n');
      }
    });
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as { port: number };
  return { url: `redis://127.0.0.1:${port}`, asked };
}

it.each(['6.0.16', '5.0.7', ''])(
  'a Redis "%s" is too old, and gets no further command',
  async (version) => {
    const { url, asked } = await redisOf(version);
    await expect(serve({ broker: 'redis', redisUrl: url })).rejects.toMatchObject({
      code: 'bad_option',
      option: 'redisUrl',
      message: expect.stringMatching(
        /^redisUrl \(not shown\) cannot be used: it is Redis (\S+|of unknown version); 6\.2 or later is needed; give [^\n]+$/,
      ),
    });
    expect(asked.filter((command) => !/^(INFO|HELLO|CLIENT|SELECT)/.test(command))).toEqual([]);
  },
);

describe.skipIf(!hasRedis)('a Redis', () => {
  const opened: { close(): unknown }[] = [];
  afterEach(async () => {
    for (const each of opened.splice(0).reverse()) await each.close();
  });
  const node = async (...options: string[]) => {
    const redis = await startRedis(...options);
    opened.push(redis);
    const made = new Node({ url: redis.url, clusterName: 'c' });
    opened.push(made.broker);
    return { redis, made };
  };

  it('at an address with the database number 0 is used without asking for a database', async () => {
    const redis = await startRedis();
    opened.push(redis);
    await redis.ask('CONFIG', 'RESETSTAT');
    const server = await serve({ broker: 'redis', redisUrl: `${redis.url}/0` });
    expect(await server.publish('a', 1)).toMatchObject({ seq: 1 });
    expect(await redis.ask('INFO', 'commandstats')).not.toContain('cmdstat_select');
  });

  it('with an eviction policy causes a warning that names the policy', async () => {
    const { made } = await node('--maxmemory-policy', 'allkeys-lru');
    await made.until(() => made.advice.length > 0);
    expect(made.advice).toEqual([
      expect.stringMatching(/^Redis has maxmemory-policy allkeys-lru: [^\n]+; set noeviction$/),
    ]);
  });

  it('with foreign data under the cluster name is refused and left untouched', async () => {
    const redis = await startRedis();
    opened.push(redis);
    await redis.ask('SET', 'rc1:c:term', 'of somebody');
    const made = new Node({ url: redis.url, clusterName: 'c' });
    opened.push(made.broker);
    await made.until(() => made.causes.length > 0);
    expect(made.causes[0]).toBeInstanceOf(Misconfigured);
    expect(made.causes[0]?.message).toBe(
      'the key rc1:c:term does not belong to roomcast; choose another cluster name',
    );
    expect(() => made.broker.publish('r', { data: '1', from: null }, { deadline: 1e9 })).toThrow(
      expect.objectContaining({ code: 'broker_unavailable' }),
    );
    expect(await redis.ask('KEYS', '*')).toEqual(['rc1:c:term']);
    expect(await redis.ask('GET', 'rc1:c:term')).toBe('of somebody');
  });

  it('ignores and counts foreign messages in our channels', async () => {
    const { redis, made } = await node();
    await made.up();
    await made.broker.subscribe('r', new AbortController().signal);
    const say = (text: string) => redis.ask('PUBLISH', 'rc1:c:c:r', text);
    for (const text of ['', 'hello', '{"a":1}', '1 2 e', '1 1 e 1 -\nnot ours']) await say(text);
    const deadline = performance.now() + 5000;
    await made.broker.publish('r', { data: '"ours"', from: null }, { deadline });
    await made.until(() => made.said.some((each) => Array.isArray(each) && each[1] === 'ours'));
    expect(made.broker.counts.unreadable).toBeGreaterThanOrEqual(3);
    expect(made.said).toEqual([[1, 'ours']]);
    expect(made.broker.counts.links).toBe(1);
  });

  it('delivers the message of ours whose number a malformed one has', async () => {
    const { redis, made } = await node();
    await made.up();
    const { epoch } = await made.broker.subscribe('r', new AbortController().signal);
    await redis.ask('PUBLISH', 'rc1:c:c:r', `1 1 ${epoch} 1 -\n2 1 [`);
    await made.until(() => made.broker.counts.unreadable > 0);
    const deadline = performance.now() + 5000;
    await made.broker.publish('r', { data: '"ours"', from: null }, { deadline });
    await made.until(() => made.said.length > 0);
    expect(made.said).toEqual([[1, 'ours']]);
  });
});

/** Log lines about an outage of the broker. */
import { describe, expect, it } from 'vitest';
import { openBroker } from '../../src/broker/open.js';
import { defaults } from '../../src/options/config.js';
import { hasRedis, startRedis } from '../support/redis-server.js';

describe.skipIf(!hasRedis)('the log', () => {
  it('has one line per cause of an outage, including later causes', async () => {
    const redis = await startRedis();
    const lines: string[] = [];
    const line = (_: object, text: string) => void lines.push(text);
    const log = { info: line, warn: line, error: line };
    const config = { ...defaults, broker: 'redis' as const, redisUrl: redis.url };
    const { broker, ready } = openBroker(undefined, config, log);
    await ready;
    await redis.kill();
    await expect.poll(() => lines.join()).toContain('ECONNREFUSED');
    await redis.start('--requirepass', 'secret');
    await expect.poll(() => lines.join()).toContain('NOAUTH');
    expect(new Set(lines).size).toBe(lines.length);
    await redis.kill();
    await redis.start();
    await expect.poll(() => lines.at(-1)).toBe('Redis is back');
    await broker.close();
    await redis.close();
  });
});

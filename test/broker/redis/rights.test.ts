/** A Redis user with missing rights is detected at the start, before a room is half written. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as boards from '../../../src/broker/redis/board-scripts.js';
import { Misconfigured } from '../../../src/broker/redis/link.js';
import * as logs from '../../../src/broker/redis/log-scripts.js';
import { RIGHTS } from '../../../src/broker/redis/rights.js';
import * as scripts from '../../../src/broker/redis/scripts.js';
import { RedisNode as Node } from '../../support/redis-node.js';
import { hasRedis, type RedisServer, startRedis } from '../../support/redis-server.js';

/** Commands that the scripts run. */
const COMMANDS = [
  ...new Set(
    [...Object.values(scripts), ...Object.values(logs), ...Object.values(boards)]
      .flatMap((each) => (typeof each === 'object' ? [each.text] : []))
      .flatMap((text) => [...text.matchAll(/(?:call|write)\('([A-Z]+)'/g)].map(([, name]) => name)),
  ),
].sort() as string[];

const rights = (): string[] => {
  const text = readFileSync(new URL('../../../docs/redis.md', import.meta.url), 'utf8');
  const found = /With an ACL, a user needs:\n\n((?: {4}.+\n)+)/.exec(text)?.[1];
  return found?.trim().split(/\s+/) ?? [];
};

describe('the required rights', () => {
  it('are those of all scripts, and docs/redis.md lists them', () => {
    expect(COMMANDS.length).toBeGreaterThan(15);
    for (const command of COMMANDS) {
      expect(RIGHTS.text).toMatch(new RegExp(`(?:try|call)\\('${command}'`));
      expect(rights()).toContain(`+${command.toLowerCase()}`);
    }
  });
});

describe.skipIf(!hasRedis)('a user of Redis', () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(async () => {
    await redis.close();
  });

  /**
   * The refusal that a node gets if its user has the required rights with these changes; null if it
   * connects.
   */
  const told = async (...less: string[]): Promise<string | null> => {
    await redis.ask('ACL', 'SETUSER', 'u', 'reset', 'on', '>p', ...rights(), ...less);
    const url = redis.url.replace('redis://', 'redis://u:p@');
    const node = new Node({ url, clusterName: 'c' });
    await node.until(() => node.causes.length > 0 || node.broker.state() === 'up');
    await node.broker.close();
    const [cause] = node.causes;
    if (cause === undefined) return null;
    expect(cause).toBeInstanceOf(Misconfigured);
    expect(cause.message).not.toContain('\n');
    return cause.message;
  };

  it('with the rights in docs/redis.md can connect', async () => {
    expect(await told()).toBe(null);
  });

  it.each(COMMANDS)('without the right to run %s is refused with that reason', async (command) => {
    expect((await told(`-${command.toLowerCase()}`))?.toUpperCase()).toContain(command);
  });

  it.each([
    ['scripts', ['-evalsha'], /evalsha/],
    ['subscribing', ['-subscribe'], /subscribe/],
    ['the logs', ['resetkeys', '~rc1:c:m:*', '~rc1:c:term'], /keys/],
    ['the channels of rooms', ['resetchannels', '&rc1:c:t:*'], /PUBLISH/],
  ])('without access to %s is refused with that reason', async (_, less, why) => {
    expect(await told(...less)).toMatch(why);
  });

  it('that loses the right to write numbers blocks no room for others', async () => {
    await redis.ask('ACL', 'SETUSER', 'w', 'reset', 'on', '>p', ...rights());
    const url = redis.url.replace('redis://', 'redis://w:p@');
    const one = await new Node({ url, clusterName: 'c' }).up();
    const two = await new Node({ url: redis.url, clusterName: 'c' }).up();
    const publish = ({ broker }: Node, data: string) =>
      broker.publish('r', { data, from: null }, { deadline: performance.now() + 3000 });
    await two.broker.subscribe('r', new AbortController().signal);
    const { epoch } = await publish(one, '1');
    await redis.ask('ACL', 'SETUSER', 'w', '-hset');
    await expect(publish(one, '2')).rejects.toMatchObject({ code: 'broker_uncertain' });
    expect(await publish(two, '3')).toEqual({ seq: 2, epoch });
    await two.until(() => two.said.length === 2);
    expect(two.said).toEqual([
      [1, 1],
      [2, 3],
    ]);
    // An uncounted message is never delivered.
    await publish(one, '4').catch(() => {});
    const late = await new Node({ url: redis.url, clusterName: 'c' }).up();
    await late.broker.subscribe('r', new AbortController().signal, { seq: 1, epoch });
    await late.until(() => late.said.length === 1);
    expect((await publish(two, '5')).seq).toBe(3);
    await late.until(() => late.said.length === 2);
    expect(late.said).toEqual([
      [2, 3],
      [3, 5],
    ]);
    await late.broker.close();
    await one.broker.close();
    await two.broker.close();
  });
});

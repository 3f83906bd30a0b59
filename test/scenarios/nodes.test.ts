/**
 * Workers of one machine and another node over one Redis, run as users run them. Rooms are one across
 * all of them, and a crash costs only reported losses, by the account of publishers and members (V20 to
 * V22).
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Published } from '../support/accounting.js';
import { audit } from '../support/accounting.js';
import { LoggingMember } from '../support/logging-member.js';
import { type ServerProcess, serveProcess } from '../support/process.js';
import { hasRedis, KEEPS_DATA, type RedisServer, startRedis } from '../support/redis-server.js';
import { WorkersServer } from '../support/workers.js';

const QUICK = ['--drain-ms', '0', '--lame-duck-ms', '0', '--broker-tick-ms', '200'];
const SLOTS = 2;

describe.skipIf(!hasRedis)('workers and a node over Redis', () => {
  let redis: RedisServer;
  let flags: readonly string[];

  beforeAll(async () => {
    redis = await startRedis(...KEEPS_DATA);
    flags = [...QUICK, '--broker', 'redis', '--redis-url', redis.url];
  });

  afterAll(async () => {
    await redis.close();
  });

  test('rooms are one, a dead worker costs only its members, and a lost Redis is reported', {
    timeout: 120_000,
  }, async () => {
    const [workers, node] = await Promise.all([
      WorkersServer.start(SLOTS, ...flags),
      serveProcess(...flags),
    ]);
    const rooms = Array.from({ length: SLOTS }, (_, slot) => workers.nameOf(slot));
    const published: Published[] = [];
    async function publish(server: Pick<ServerProcess, 'url'>, room: string): Promise<boolean> {
      const index = published.length;
      const payload = JSON.stringify(`p${index}`);
      const sentAt = performance.now();
      const deadline = sentAt + 5000;
      const note = (answer: Published['answer']) => {
        published[index] = { room, payload, sentAt, deadline, answer };
      };
      note('pending');
      try {
        const response = await fetch(`${server.url}/v1/rooms/${room}/messages`, {
          method: 'POST',
          signal: AbortSignal.timeout(20_000),
          headers: { 'content-type': 'application/json' },
          body: `{"data":${payload}}`,
        });
        const answer = (await response.json()) as { code?: string; epoch: string; seq: number };
        if (response.ok) note(answer);
        else note(answer.code === 'broker_uncertain' ? 'uncertain' : 'refused');
      } catch {
        // Its connection has ended: it may have been published.
        note('uncertain');
      }
      return typeof published[index]?.answer === 'object';
    }
    const members: LoggingMember[] = [];
    const join = async (url: string) => {
      const member = new LoggingMember(url, `m${members.length}`, rooms);
      members.push(member);
      await member.joined();
    };
    for (let n = 0; n < 2 * SLOTS; n += 1) await join(workers.url);
    for (let n = 0; n < 2; n += 1) await join(node.url);
    const living = () => members.filter(({ isClosed }) => !isClosed);
    const toldOf = (type: string) =>
      living().map(({ logs }) =>
        logs.map(({ told }) => told.filter((each) => each.type === type).length),
      );
    const none = () => living().map(() => rooms.map(() => 0));
    /** Publishes a message in each room that all members receive. */
    const meet = async () => {
      for (const room of rooms) {
        for (const server of [workers, node]) while (!(await publish(server, room)));
        const { payload } = published.at(-1) as Published;
        for (const member of living()) {
          await member.until(() =>
            member.logs.some(
              (log) =>
                log.room === room &&
                log.told.some((each) => each.type === 'message' && each.payload === payload),
            ),
          );
        }
      }
    };

    for (const room of rooms) {
      await Promise.all(
        Array.from({ length: 20 }, (_, n) => publish(n % 2 === 0 ? workers : node, room)),
      );
    }
    await meet();
    expect(published.every(({ answer }) => typeof answer === 'object')).toBe(true);
    expect([toldOf('gap'), toldOf('reset')]).toEqual([none(), none()]);
    const before = await workers.freshScrape();
    expect(before.unaccounted).toBe(0);
    expect(before.sum('roomcast_members')).toBe(2 * SLOTS);
    expect(before.sum('roomcast_published_total')).toBe(published.length);
    expect(before.sum('roomcast_redis_links_total')).toBe(SLOTS);
    expect(await workers.whole(`/v1/rooms/${rooms[0]}`)).toMatchObject({ members: 2 * SLOTS });

    // Messages published while the owner of a room is down come from the log.
    workers.kill(0, 'SIGKILL');
    const during = rooms.flatMap((room) =>
      Array.from({ length: 20 }, (_, n) => publish(n % 2 === 0 ? workers : node, room)),
    );
    await workers.served(0, 2);
    await Promise.all(during);
    await meet();
    expect(living()).toHaveLength(SLOTS + 2);
    expect([toldOf('gap'), toldOf('reset')]).toEqual([none(), none()]);
    expect((await workers.freshScrape()).unaccounted).toBe(0);

    // Restarted with its data, then empty.
    const once = () => living().map(() => rooms.map(() => 1));
    const twice = () => living().map(() => rooms.map(() => 2));
    for (const [what, resets] of [
      ['data', once],
      ['nothing', twice],
    ] as const) {
      if (what === 'nothing') await redis.ask('FLUSHALL');
      await redis.kill();
      const into = await Promise.all(rooms.map((room) => publish(node, room)));
      expect(into).toEqual([false, false]);
      await redis.start();
      for (const { url } of [workers, node]) {
        await expect.poll(async () => (await fetch(`${url}/readyz`)).status).toBe(200);
      }
      await meet();
      if (what === 'data') expect([what, toldOf('reset')]).toEqual([what, resets()]);
      // The FLUSHALL may be noticed before the restart.
      else for (const each of toldOf('reset').flat()) expect([2, 3]).toContain(each);
    }
    const after = await workers.freshScrape();
    expect(after.unaccounted).toBe(0);
    expect(after.sum('roomcast_worker_restarts_total')).toBe(1);
    const logs = members.flatMap((member) => member.logs);
    expect(audit(published, logs)).toEqual([]);

    const ended = [workers.server, node].map(async (server) => {
      server.child.kill('SIGTERM');
      return server.exited;
    });
    expect(await Promise.all(ended)).toEqual([0, 0]);
  });
});

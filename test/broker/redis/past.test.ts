/**
 * History from a room's log in a real Redis, and the size of that log, compared with a list (V18).
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { Publication, Range } from '../../../src/broker/broker.js';
import { Keys } from '../../../src/broker/redis/keys.js';
import { RedisBroker } from '../../../src/broker/redis/redis.js';
import type { HistoryPolicy } from '../../../src/options/config.js';
import { hasRedis, type RedisServer, startRedis } from '../../support/redis-server.js';

const never = () => new AbortController().signal;
const soon = () => ({ deadline: performance.now() + 5000 });
const ALL = { from: 1, to: Number.MAX_SAFE_INTEGER, maxMessages: 100_000, maxBytes: 1e9 };
const KEEPS: HistoryPolicy = { historyMessages: 1000, historyBytes: 1e6, historyMs: 60_000 };

let clusters = 0;

describe.skipIf(!hasRedis)('the history of a room in Redis', () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.close());

  /** Starts a node, in its own cluster by default. */
  async function start(policy: Partial<HistoryPolicy> = {}, cluster = `past${++clusters}`) {
    let isUp = () => {};
    const up = new Promise<void>((resolve) => {
      isUp = resolve;
    });
    const broker = new RedisBroker(
      {
        url: redis.url,
        clusterName: cluster,
        kept: { messages: 0, ms: 0 },
        history: () => ({ ...KEEPS, ...policy }),
        idleRoomMs: 60_000,
        tickMs: 1000,
        positionCheckMs: 60_000,
        resumeRoomsPerSecond: 50_000,
        timeoutMs: 2000,
      },
      { linked: () => isUp(), unlinked() {}, refuses() {}, advice() {} },
    );
    await up;
    const close = () => broker.close();
    const log = new Keys(cluster).log('r');
    type Entry = [id: string, fields: string[]];
    const entries = () => redis.ask('XRANGE', log, '-', '+') as Promise<Entry[]>;
    return {
      broker,
      cluster,
      close,
      keys: new Keys(cluster),
      /** One turn, so one commit. */
      publish: (...data: string[]) =>
        Promise.all(
          data.map((each) => broker.publish('r', { data: each, from: null }, { ...soon() })),
        ),
      read: (range: Partial<Range> = {}) => broker.history('r', { ...ALL, ...range }),
      /** Bytes of all commits of the room in Redis. */
      async held() {
        return (await entries()).map(([, [, message]]) => Buffer.byteLength(message as string));
      },
      /** Makes all messages older by this much, as if the time had passed. */
      async age(ms: number) {
        const all = await entries();
        await redis.ask('DEL', log);
        for (const [id, [name, message, ...more]] of all) {
          const older = (message as string).replace(
            /^(\d+ \d+ \S+) (\d+)/,
            (_, before: string, at: string) => `${before} ${Number(at) - ms}`,
          );
          await redis.ask('XADD', log, id, name as string, older, ...more);
        }
      },
    };
  }

  const open = async (policy?: Partial<HistoryPolicy>, cluster?: string) => {
    const node = await start(policy, cluster);
    onTestFinished(node.close);
    return node;
  };

  const seqs = (publications: readonly Publication[]) => publications.map(({ seq }) => seq);
  const numbers = (from: number, to: number) =>
    Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i);

  it('equals a list model, whatever is published, read and purged', async () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ publish: fc.integer({ min: 1, max: 9 }) }) },
      { weight: 1, arbitrary: fc.record({ purge: fc.nat(40) }) },
      {
        weight: 2,
        arbitrary: fc.record({
          from: fc.integer({ min: 1, max: 40 }),
          length: fc.nat(30),
          maxMessages: fc.integer({ min: 1, max: 20 }),
          maxBytes: fc.constantFrom(1, 20, 100, 1e6),
        }),
      },
    );
    let purged = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 5, maxLength: 25, size: 'max' }),
        fc.integer({ min: 1, max: 15 }),
        async (steps, historyMessages) => {
          const node = await start({ historyMessages });
          const all: string[] = [];
          let through = 0;
          for (const each of steps) {
            if ('publish' in each) {
              const data = numbers(1, each.publish).map((n) => `"${all.length + n} é"`);
              all.push(...data);
              await node.publish(...data);
            } else if ('purge' in each) {
              await node.broker.purge('r', each.purge);
              through = Math.max(through, Math.min(each.purge, all.length));
              purged += 1;
            } else {
              const { from, length, maxMessages, maxBytes } = each;
              const to = from + length;
              const past = await node.read({ from, to, maxMessages, maxBytes });
              const oldest = Math.max(1, all.length - historyMessages + 1, through + 1);
              const given: number[] = [];
              let bytes = 0;
              for (const seq of numbers(Math.max(from, oldest), Math.min(to, all.length))) {
                bytes += Buffer.byteLength(all[seq - 1] as string);
                if (given.length > 0 && (given.length === maxMessages || bytes > maxBytes)) break;
                given.push(seq);
              }
              expect([past.seq, past.oldest]).toEqual([all.length, oldest]);
              expect(seqs(past.publications)).toEqual(given);
              for (const { seq, data } of past.publications) expect(data).toBe(all[seq - 1]);
            }
          }
          await node.close();
        },
      ),
      { numRuns: 60 },
    );
    expect(purged).toBeGreaterThan(10);
  });

  it('stays within its byte bound for commits of any size, and always keeps the latest', async () => {
    const { publish, read, held } = await open({ historyBytes: 3000 });
    for (let n = 0; n < 40; n += 1) {
      await publish(...numbers(0, n % 5).map(() => JSON.stringify('x'.repeat((n * 37) % 600))));
      const bytes = await held();
      const sum = bytes.reduce((all, each) => all + each, 0);
      expect(sum <= 3000 || bytes.length === 1, `${bytes}`).toBe(true);
      // And no fewer: one more commit would not fit.
      const { oldest, seq, publications } = await read();
      expect(seqs(publications)).toEqual(numbers(oldest, seq));
      if (n > 10) expect(sum).toBeGreaterThan(3000 - 5 * 700);
    }
    await publish(JSON.stringify('x'.repeat(5000)));
    expect(await held()).toHaveLength(1);
    expect((await read()).publications).toHaveLength(1);
  });

  it('returns each message until it expires, and no longer', async () => {
    const { publish, read, held, age } = await open({ historyMs: 60_000 });
    for (let n = 0; n < 5; n += 1) await publish('1', '2');
    await age(20_000);
    expect((await read()).oldest).toBe(1);
    await age(40_000);
    // Without a later publish, expired messages are still stored but not returned.
    expect(await read()).toMatchObject({ seq: 10, oldest: 11, publications: [] });
    await publish('3');
    expect(await read()).toMatchObject({ seq: 11, oldest: 11, publications: [{ data: '3' }] });
    expect(await held()).toHaveLength(1);
  });

  it('is found if only the later part of a long log has not expired', async () => {
    const { publish, cluster, age } = await open({ historyMs: 120_000 });
    for (let n = 0; n < 50; n += 1) await publish('1', '2', '3');
    await age(60_000);
    for (let n = 0; n < 7; n += 1) await publish('4', '5');
    // Another node, whose policy is smaller.
    const { read } = await open({ historyMs: 60_000 }, cluster);
    const past = await read();
    expect([past.oldest, past.seq]).toEqual([151, 164]);
    expect(seqs(past.publications)).toEqual(numbers(151, 164));
  });

  it('covers only the current epoch', async () => {
    const { publish, read, broker, keys } = await open();
    await publish('1', '2');
    const { epoch } = await read();
    // As after a failover: another primary with all data of the first.
    const term = String(await redis.ask('HGET', keys.term, 'id'));
    await redis.ask('HSET', keys.meta('r'), 't', `${term} of before`);
    expect(await broker.subscribe('r', never())).toMatchObject({ seq: 2 });
    expect(await read()).toMatchObject({ seq: 2, oldest: 3, publications: [] });
    await publish('3');
    const past = await read();
    expect(past.epoch).not.toBe(epoch);
    expect(past.publications).toMatchObject([{ seq: 3, epoch: past.epoch, data: '3' }]);
  });

  it('starts at once when it is switched on, with the log that nodes kept for themselves', async () => {
    const off = await open({ historyMessages: 0 });
    await off.publish('1');
    expect(await off.read()).toMatchObject({ seq: 1, oldest: 2, publications: [] });
    const on = await open({ historyMessages: 10 }, off.cluster);
    await on.publish('2');
    expect(await on.read()).toMatchObject({ seq: 2, oldest: 2, publications: [{ data: '2' }] });
  });

  it('is refused without a connection', async () => {
    const own = await startRedis();
    onTestFinished(() => own.close());
    let lost = () => {};
    const gone = new Promise<void>((resolve) => {
      lost = resolve;
    });
    const broker = new RedisBroker(
      {
        url: own.url,
        clusterName: 'x',
        kept: { messages: 0, ms: 0 },
        history: () => KEEPS,
        idleRoomMs: 60_000,
        tickMs: 100,
        positionCheckMs: 60_000,
        resumeRoomsPerSecond: 50_000,
        timeoutMs: 500,
      },
      { linked: () => void own.kill(), unlinked: () => lost(), refuses() {}, advice() {} },
    );
    onTestFinished(() => broker.close());
    await gone;
    const unavailable = expect.objectContaining({ code: 'broker_unavailable' });
    expect(() => broker.history('r', ALL)).toThrow(unavailable);
    expect(() => broker.purge('r', 1)).toThrow(unavailable);
  });
});

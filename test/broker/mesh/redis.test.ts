/** Workers over Redis: the broker contract, and one account while workers die and are replaced. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Broker, Position } from '../../../src/broker/broker.js';
import type { RedisConfig } from '../../../src/broker/redis/config.js';
import { RedisBroker } from '../../../src/broker/redis/redis.js';
import { brokerContract } from '../../contract/broker.js';
import { audit } from '../../support/accounting.js';
import { BrokerRun } from '../../support/broker-run.js';
import { roomOf, TestMesh } from '../../support/mesh.js';
import { hasRedis, KEEPS_DATA, type RedisServer, startRedis } from '../../support/redis-server.js';

const SLOTS = 3;
const KEEPS = { historyBytes: 1_048_576, historyMs: 300_000 };
const never = () => new AbortController().signal;
const soon = (ms = 5000) => ({ deadline: performance.now() + ms });
const payload = (data: string) => ({ data, from: null });
const QUICKLY = { interval: 5 };
const up = (broker: Broker) => expect.poll(() => broker.state(), QUICKLY).toBe('up');

/**
 * Resolves when everything published before is delivered, over the next link if the current one ends.
 */
async function settled(broker: RedisBroker): Promise<void> {
  for (let isDone = false; !isDone; ) {
    await up(broker);
    const { links } = broker.counts;
    broker.settled().then(() => {
      isDone = true;
    });
    await expect.poll(() => isDone || broker.counts.links > links, QUICKLY).toBe(true);
  }
}

/** Workers that share one Redis, each with its own connections. */
class Workers {
  static #clusters = 0;
  readonly inner: RedisBroker[] = [];
  readonly #closed = new Set<Broker>();
  mesh!: TestMesh;

  static async start(url: string, config: Partial<RedisConfig> = {}): Promise<Workers> {
    Workers.#clusters += 1;
    const clusterName = `mesh${Workers.#clusters}`;
    const workers = new Workers();
    workers.mesh = await TestMesh.start(SLOTS, async (slot) => {
      const broker = new RedisBroker(
        {
          url,
          clusterName,
          kept: { messages: 100, ms: 60_000 },
          idleRoomMs: 60_000,
          tickMs: 200,
          positionCheckMs: 60_000,
          resumeRoomsPerSecond: 50_000,
          timeoutMs: 1000,
          ...config,
        },
        { linked() {}, unlinked() {}, refuses() {}, advice() {} },
      );
      workers.inner[slot] = broker;
      const close = broker.close.bind(broker);
      broker.close = () => {
        workers.#closed.add(broker);
        return close();
      };
      await up(broker);
      return broker;
    });
    return workers;
  }

  get nodes(): readonly Broker[] {
    return this.mesh.nodes;
  }

  async up(): Promise<void> {
    await Promise.all(this.inner.map(up));
  }

  /** Resolves once everything published is delivered or reported lost. */
  async settle(rooms: readonly string[]): Promise<void> {
    // A closed broker never becomes `up`.
    const living = this.inner.filter((broker) => !this.#closed.has(broker));
    await Promise.all(living.map(settled));
    for (const broker of living) {
      for (const room of rooms)
        await expect.poll(() => broker.state(room), QUICKLY).not.toBe('suspended');
    }
    await this.mesh.settle();
  }
}

describe.skipIf(!hasRedis)('a mesh over Redis', () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedis(...KEEPS_DATA);
  });
  afterAll(async () => {
    await redis.close();
  });

  brokerContract(
    'mesh over Redis',
    async ({ messages } = { messages: 0 }) => {
      const history = () => ({ ...KEEPS, historyMessages: messages });
      const workers = await Workers.start(redis.url, { kept: { messages: 0, ms: 0 }, history });
      let next = 0;
      return {
        node: async () => workers.nodes[next++ % SLOTS] as Broker,
        settle: () => workers.settle(['a', 'b', '__proto__']),
        close: () => workers.mesh.close(),
      };
    },
    { nodes: SLOTS, history: true, runs: 15 },
  );

  it('replacing a worker costs its rooms nothing', async () => {
    const { mesh, nodes } = await Workers.start(redis.url);
    const room = roomOf(0, SLOTS, 'room');
    const told: unknown[] = [];
    nodes[1]?.onDeliver(({ seq }) => told.push(seq));
    nodes[1]?.onLost((_, to) => told.push(`lost ${to}`));
    nodes[1]?.onReset((_, { seq }) => told.push(`reset ${seq}`));
    await nodes[1]?.subscribe(room, never());
    for (const data of ['1', '2']) await nodes[2]?.publish(room, payload(data), soon());
    mesh.kill(0);
    await expect.poll(() => nodes[1]?.state(room)).toBe('suspended');
    // Its link to Redis outlives those to the other workers, as with a stalled worker.
    await nodes[0]?.publish(room, payload('3'), soon());
    await mesh.replace(0);
    await nodes[2]?.publish(room, payload('4'), soon());
    await expect.poll(() => told).toEqual([1, 2, 3, 4]);
    await mesh.close();
  });

  it('a subscriber from an old epoch does not set others back', async () => {
    const workers = await Workers.start(redis.url);
    const { mesh, nodes } = workers;
    const room = roomOf(0, SLOTS, 'room');
    const run = new BrokerRun();
    await run.join(nodes[1] as Broker, 'one', [room]);
    for (let n = 0; n < 20; n += 1) run.publish(nodes[1] as Broker, room);
    await run.settled();
    const before = (await nodes[2]?.publish(room, payload('"x"'), soon())) as Position;
    run.published.push({
      room,
      payload: '"x"',
      sentAt: 0,
      deadline: Number.POSITIVE_INFINITY,
      answer: before,
    });
    await redis.kill();
    await redis.start();
    await workers.up();
    run.publish(nodes[0] as Broker, room);
    await run.settled();
    // Redis kept its data over the restart, so the old epoch is still known.
    const back: unknown[] = [];
    nodes[2]?.onReset((_, position, was) => back.push([position.seq, was.seq]));
    nodes[2]?.onDeliver(({ seq, epoch }) => back.push([seq, epoch === before.epoch]));
    await nodes[2]?.subscribe(room, never(), { epoch: before.epoch, seq: 5 });
    await workers.settle([room]);
    run.publish(nodes[0] as Broker, room);
    await run.settled();
    await workers.settle([room]);
    // The reset depends on whether it subscribed before or after the first message of the new epoch.
    const told = [
      [21, 5],
      [22, false],
      [23, false],
    ];
    expect([told, [[22, 5], told[2]]]).toContainEqual(back);
    expect(audit(run.published, run.members)).toEqual([]);
    await mesh.close();
  });

  it('has a consistent account while workers die and are replaced', async () => {
    const rooms = [0, 1, 2].map((slot) => roomOf(slot, SLOTS, 'a'));
    const step = fc.record({
      what: fc.constantFrom(
        ...(['publish', 'publish', 'publish', 'publish', 'settle', 'kill', 'replace'] as const),
        ...(['cut', 'restart', 'flush'] as const),
      ),
      node: fc.nat(SLOTS - 1),
      room: fc.nat(rooms.length - 1),
      count: fc.integer({ min: 1, max: 20 }),
    });
    let resets = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 20 }), async (steps) => {
        const workers = await Workers.start(redis.url, { kept: { messages: 30, ms: 60_000 } });
        const { mesh } = workers;
        const run = new BrokerRun();
        const leave: (() => void)[] = [];
        const join = async (slot: number) => {
          leave[slot] = await run.join(workers.nodes[slot] as Broker, `${slot}`, rooms);
        };
        for (let slot = 0; slot < SLOTS; slot += 1) await join(slot);
        for (const { what, node, room, count } of steps) {
          if (what === 'publish') {
            for (let n = 0; n < count; n += 1) {
              run.publish(workers.nodes[node] as Broker, rooms[room] as string);
            }
          } else if (what === 'settle') await workers.settle(rooms);
          else if (what === 'kill' || what === 'replace') {
            leave[node]?.();
            if (what === 'kill') mesh.kill(node);
            await mesh.replace(node);
            await join(node);
          } else if (what === 'cut') {
            const which = count % 2 === 0 ? 'pubsub' : 'normal';
            await redis.ask('CLIENT', 'KILL', 'TYPE', which, 'SKIPME', 'yes');
          } else if (what === 'flush') await redis.ask('FLUSHALL');
          else {
            await redis.kill();
            await redis.start();
          }
        }
        await run.settled();
        // After it nothing is in transit, and subscribers that are behind notice.
        for (const room of rooms) {
          const last = () => run.publish(workers.nodes[0] as Broker, room);
          await expect.poll(last, QUICKLY).toBe(true);
        }
        await workers.settle(rooms);
        expect(audit(run.published, run.members)).toEqual([]);
        resets += run.members
          .flatMap(({ told }) => told)
          .filter(({ type }) => type === 'reset').length;
        await mesh.close();
      }),
      { numRuns: 5, endOnFailure: true },
    );
    expect(resets).toBeGreaterThan(0);
  }, 120_000);
});

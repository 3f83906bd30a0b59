/**
 * Checks every broker with one account of all publish answers and all deliveries, and checks that the
 * account detects known broker faults.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Broker } from '../../src/broker/broker.js';
import { MemoryBroker } from '../../src/broker/memory.js';
import type { RedisBroker } from '../../src/broker/redis/redis.js';
import { audit } from '../support/accounting.js';
import { BrokerRun } from '../support/broker-run.js';
import { roomOf, TestMesh } from '../support/mesh.js';
import { MUTATIONS, MutantBroker } from '../support/mutant-broker.js';
import { RedisNode } from '../support/redis-node.js';
import { hasRedis, type RedisServer, startRedis } from '../support/redis-server.js';

const SLOTS = 3;
/** Two rooms per slot. */
const ROOMS = [0, 1, 2].flatMap((slot) => [roomOf(slot, SLOTS, 'a'), roomOf(slot, SLOTS, 'b')]);
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('the account', () => {
  it('of a memory broker is consistent', async () => {
    const run = new BrokerRun();
    const broker = new MemoryBroker();
    await run.join(broker, 'node', ROOMS, () => true);
    for (let n = 0; n < 200; n += 1) run.publish(broker, ROOMS[n % ROOMS.length] as string);
    await run.settled();
    expect(audit(run.published, run.members)).toEqual([]);
    broker.close();
  });

  it('of a mesh is consistent while workers die and are replaced', async () => {
    const step = fc.record({
      what: fc.constantFrom('publish', 'publish', 'publish', 'publish', 'turn', 'kill', 'replace'),
      node: fc.nat(SLOTS - 1),
      room: fc.nat(ROOMS.length - 1),
      count: fc.integer({ min: 1, max: 20 }),
    });
    let uncertain = 0;
    let resets = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        const mesh = await TestMesh.start(SLOTS, () => new MemoryBroker());
        const run = new BrokerRun();
        const leave: (() => void)[] = [];
        const struck = new Set<number>();
        const join = async (slot: number) => {
          leave[slot] = await run.join(mesh.nodes[slot] as Broker, `${slot}`, ROOMS);
        };
        for (let slot = 0; slot < SLOTS; slot += 1) await join(slot);
        for (const { what, node, room, count } of steps) {
          if (what === 'turn') await turn();
          else if (what === 'publish') {
            for (let n = 0; n < count; n += 1) {
              run.publish(mesh.nodes[node] as Broker, ROOMS[room] as string);
            }
          } else {
            struck.add(node);
            leave[node]?.();
            // Others notice when their links end, or when they are told of the replacement.
            if (what === 'kill') mesh.kill(node);
            await mesh.replace(node);
            await join(node);
          }
        }
        await run.settled();
        await mesh.settle();
        expect(audit(run.published, run.members)).toEqual([]);
        uncertain += run.published.filter(({ answer }) => answer === 'uncertain').length;
        resets += run.members
          .flatMap(({ told }) => told)
          .filter(({ type }) => type === 'reset').length;
        // Undisturbed rooms at undisturbed workers see only messages.
        for (const { told, room, endedAt, name } of run.members) {
          if (endedAt !== null || struck.has(Number(name)) || struck.has(mesh.slotOf(room)))
            continue;
          expect(told.filter(({ type }) => type !== 'message')).toHaveLength(1);
        }
        await mesh.close();
      }),
      { numRuns: 25 },
    );
    // The runs covered both outcomes.
    expect(resets).toBeGreaterThan(0);
    expect(uncertain).toBeGreaterThan(0);
  });

  /** The rule that names each fault. */
  const RULES: Record<(typeof MUTATIONS)[number], RegExp> = {
    'reused numbers': /^1: .* is ".*" and "/,
    'lost tail': /^3: .* ends at /,
    'lost in the middle': /^1: .* is ".*" and "/,
    resend: /^6: .* twice in an epoch/,
    reorder: /^2: .* is told of .* after /,
    'silent resubscribe': /^8: .* is told of a gap/,
    'older data': /^2: .* is told of .* after /,
    'refused and yet published': /^5: /,
  };
  const isNamed = (mutation: (typeof MUTATIONS)[number], faults: readonly string[]) =>
    faults.some((fault) => RULES[mutation].test(fault));
  /** Faults with similar symptoms: neither is mistaken for the other. */
  const ALIKE = ['lost tail', 'silent resubscribe'] as const;
  const expectFault = (mutation: (typeof MUTATIONS)[number], faults: readonly string[]) => {
    expect(faults.filter((fault) => RULES[mutation].test(fault))).not.toEqual([]);
    for (const other of ALIKE) {
      if ((ALIKE as readonly string[]).includes(mutation)) {
        expect(isNamed(other, faults)).toBe(other === mutation);
      }
    }
  };

  it.each(MUTATIONS)('of a memory broker detects the fault: %s', async (mutation) => {
    const run = new BrokerRun();
    const broker = new MutantBroker(new MemoryBroker(), mutation);
    await run.join(broker, 'node', ROOMS, () => true);
    for (let n = 0; n < 60; n += 1) {
      if (n === 30) broker.strike();
      run.publish(broker, ROOMS[n % 2] as string);
    }
    await run.settled();
    expectFault(mutation, audit(run.published, run.members));
    await broker.close();
  });

  describe.skipIf(!hasRedis)('over Redis', () => {
    let redis: RedisServer;
    let clusters = 0;
    beforeAll(async () => {
      redis = await startRedis();
    });
    afterAll(async () => {
      await redis.close();
    });

    /** One of two nodes has the fault, from the middle of the run on. */
    const account = async (mutation: (typeof MUTATIONS)[number] | null) => {
      clusters += 1;
      const clusterName = `c${clusters}`;
      const config = { url: redis.url, clusterName };
      const nodes = await Promise.all([1, 2].map(() => new RedisNode(config).up()));
      const [one, two] = nodes.map(({ broker }) => broker) as [RedisBroker, RedisBroker];
      const struck = mutation === null ? one : new MutantBroker(one, mutation);
      const run = new BrokerRun();
      await run.join(struck, 'one', ROOMS, () => true);
      await run.join(two, 'two', ROOMS, () => true);
      const settled = async () => {
        await run.settled();
        await Promise.all([one.settled(), two.settled()]);
      };
      for (let n = 0; n < 60; n += 1) {
        if (n === 30) {
          await settled();
          if (struck instanceof MutantBroker) struck.strike();
        }
        void run.publish(struck, ROOMS[n % 2] as string);
      }
      await settled();
      await Promise.all([one.close(), two.close()]);
      return audit(run.published, run.members);
    };

    it('is consistent', async () => {
      expect(await account(null)).toEqual([]);
    });

    it.each(MUTATIONS)('detects a fault in one node: %s', async (mutation) => {
      expectFault(mutation, await account(mutation));
    });
  });

  it.each(MUTATIONS)('of a mesh detects a fault in one worker: %s', async (mutation) => {
    const mutants: MutantBroker[] = [];
    const mesh = await TestMesh.start(SLOTS, (slot) => {
      const inner = new MemoryBroker();
      if (slot !== 0) return inner;
      const mutant = new MutantBroker(inner, mutation);
      mutants.push(mutant);
      return mutant;
    });
    const run = new BrokerRun();
    for (const [slot, node] of mesh.nodes.entries())
      await run.join(node, `${slot}`, ROOMS, () => true);
    for (let n = 0; n < 60; n += 1) {
      if (n === 30) {
        await run.settled();
        mutants[0]?.strike();
      }
      run.publish(mesh.nodes[n % SLOTS] as Broker, ROOMS[n % 2] as string);
    }
    await run.settled();
    await mesh.settle();
    const faults = audit(run.published, run.members);
    // The mesh delivers no number twice or out of order: such a fault shows as a loss.
    expect(faults.some((fault) => /^[1-8]: /.test(fault))).toBe(true);
    await mesh.close();
  });
});

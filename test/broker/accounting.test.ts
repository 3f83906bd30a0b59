/**
 * One account for every broker: what publishers were answered and members were told, added up. And that
 * it catches what brokers are known to do.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Broker } from '../../src/broker/broker.js';
import { MemoryBroker } from '../../src/broker/memory.js';
import { audit } from '../support/accounting.js';
import { BrokerRun } from '../support/broker-run.js';
import { roomOf, TestMesh } from '../support/mesh.js';
import { MUTATIONS, MutantBroker } from '../support/mutant-broker.js';

const SLOTS = 3;
/** Of each slot two. */
const ROOMS = [0, 1, 2].flatMap((slot) => [roomOf(slot, SLOTS, 'a'), roomOf(slot, SLOTS, 'b')]);
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('the account', () => {
  it('of a memory broker adds up', async () => {
    const run = new BrokerRun();
    const broker = new MemoryBroker();
    await run.join(broker, 'node', ROOMS, () => true);
    for (let n = 0; n < 200; n += 1) run.publish(broker, ROOMS[n % ROOMS.length] as string);
    await run.settled();
    expect(audit(run.published, run.members)).toEqual([]);
    broker.close();
  });

  it('of a mesh adds up, whatever dies and is replaced', async () => {
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
            // Others find out when their links end, or when they are told to turn to another.
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
        // Rooms of a worker that nothing happened to are as if nothing had.
        for (const { told, room, endedAt, name } of run.members) {
          if (endedAt !== null || struck.has(Number(name)) || struck.has(mesh.slotOf(room)))
            continue;
          expect(told.filter(({ type }) => type !== 'message')).toHaveLength(1);
        }
        await mesh.close();
      }),
      { numRuns: 25 },
    );
    // It has seen what it is about.
    expect(resets).toBeGreaterThan(0);
    expect(uncertain).toBeGreaterThan(0);
  });

  const RULES: Record<(typeof MUTATIONS)[number], RegExp> = {
    'reused numbers': /^1: /,
    'lost tail': /^3: /,
    'lost in the middle': /^1: /,
    resend: /^6: /,
    reorder: /^2: /,
    'silent resubscribe': /^(3|4): /,
    'older data': /^2: /,
    'refused and yet published': /^5: /,
  };

  it.each(MUTATIONS)('of a memory broker with a fault does not: %s', async (mutation) => {
    const run = new BrokerRun();
    const broker = new MutantBroker(new MemoryBroker(), mutation);
    await run.join(broker, 'node', ROOMS);
    for (let n = 0; n < 60; n += 1) {
      if (n === 30) broker.strike();
      run.publish(broker, ROOMS[n % 2] as string);
    }
    await run.settled();
    const faults = audit(run.published, run.members);
    expect(faults.some((fault) => RULES[mutation].test(fault))).toBe(true);
    await broker.close();
  });

  it.each(MUTATIONS)('of a mesh with a fault in one worker does not: %s', async (mutation) => {
    const mutants: MutantBroker[] = [];
    const mesh = await TestMesh.start(SLOTS, (slot) => {
      const inner = new MemoryBroker();
      if (slot !== 0) return inner;
      const mutant = new MutantBroker(inner, mutation);
      mutants.push(mutant);
      return mutant;
    });
    const run = new BrokerRun();
    for (const [slot, node] of mesh.nodes.entries()) await run.join(node, `${slot}`, ROOMS);
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
    // The mesh lets through no number twice or backwards: what such a fault costs is missing then.
    expect(faults.some((fault) => /^[1-6]: /.test(fault))).toBe(true);
    await mesh.close();
  });
});

/**
 * The contract of `src/broker/broker.ts`, sentence by sentence. Every broker calls it, with a way to
 * make the nodes of one cluster; a broker of a single process has one.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Broker, Position, Publication } from '../../src/broker/broker.js';

export interface BrokerCluster {
  /** A node that is connected to all others made so far; delivers nowhere yet. */
  node(): Promise<Broker>;
  /** Resolves once whatever was published is delivered. */
  settle(): Promise<void>;
  close(): Promise<void>;
}

const never = () => new AbortController().signal;
const payload = (data: string) => ({ data, from: null });
const soon = () => ({ deadline: performance.now() + 5000 });

export function brokerContract(
  name: string,
  start: () => Promise<BrokerCluster>,
  { nodes }: { nodes: number },
): void {
  /** A cluster with one node, and what it has delivered. */
  const open = async () => {
    const cluster = await start();
    const broker = await cluster.node();
    const delivered: Publication[] = [];
    broker.onDeliver((publication) => delivered.push(publication));
    return { cluster, broker, delivered };
  };

  describe(`the contract of a broker: ${name}`, () => {
    it('counts from 1 in each room, and says where a publication is', async () => {
      const { cluster, broker } = await open();
      const first = await broker.publish('a', payload('1'), soon());
      const second = await broker.publish('a', payload('2'), soon());
      const other = await broker.publish('b', payload('3'), soon());
      expect([first.seq, second.seq, other.seq]).toEqual([1, 2, 1]);
      expect(second.epoch).toBe(first.epoch);
      expect(first.epoch).not.toBe('');
      await cluster.close();
    });

    it('subscribes at the position after which it delivers', async () => {
      const { cluster, broker, delivered } = await open();
      const before = await broker.publish('a', payload('"before"'), soon());
      expect(await broker.subscribe('a', never())).toEqual(before);
      await broker.publish('a', payload('"after"'), soon());
      await cluster.settle();
      expect(delivered.map(({ seq, data }) => [seq, data])).toEqual([[before.seq + 1, '"after"']]);
      await cluster.close();
    });

    it('subscribes a room nobody has published to at 0', async () => {
      const { cluster, broker } = await open();
      const { seq, epoch } = await broker.subscribe('a', never());
      expect(seq).toBe(0);
      expect((await broker.publish('a', payload('1'), soon())).epoch).toBe(epoch);
      await cluster.close();
    });

    it('passes on what it was given, and says when and where it took it', async () => {
      const { cluster, broker, delivered } = await open();
      const { epoch } = await broker.subscribe('a', never());
      const data = '{"any":["JSON","\\ud83d","\\u0000"," "],"n":1e3}';
      const started = Date.now();
      await broker.publish('a', { data, from: 'member', key: 'k' }, soon());
      await broker.publish('a', { data: 'null', from: null }, soon());
      await cluster.settle();
      expect(delivered).toMatchObject([
        { room: 'a', seq: 1, epoch, data, from: 'member', key: 'k' },
        { room: 'a', seq: 2, epoch, data: 'null', from: null },
      ]);
      expect(delivered[1]?.key).toBeUndefined();
      for (const { at } of delivered) {
        expect(at).toBeGreaterThanOrEqual(started);
        expect(at).toBeLessThanOrEqual(Date.now());
      }
      await cluster.close();
    });

    it('publishes what has the same uid in a room once', async () => {
      const { cluster, broker, delivered } = await open();
      await broker.subscribe('a', never());
      const named = (uid: string) => ({ ...soon(), uid });
      const first = await broker.publish('a', payload('1'), named('u'));
      const other = await broker.publish('a', payload('2'), named('v'));
      expect(await broker.publish('a', payload('1'), named('u'))).toEqual(first);
      expect(other.seq).toBe(2);
      // Another room's, though names and uid joined are the same.
      expect((await broker.publish('au', payload('1'), named(''))).seq).toBe(1);
      expect((await broker.publish('a', payload('3'), named('__proto__'))).seq).toBe(3);
      await cluster.settle();
      expect(delivered.map(({ seq }) => seq)).toEqual([1, 2, 3]);
      await cluster.close();
    });

    it('delivers nothing of a room that is not subscribed, or no longer', async () => {
      const { cluster, broker, delivered } = await open();
      await broker.publish('a', payload('1'), soon());
      await broker.subscribe('a', never());
      await broker.unsubscribe('a', never());
      await broker.publish('a', payload('2'), soon());
      await cluster.settle();
      expect(delivered).toEqual([]);
      await cluster.close();
    });

    it('goes on counting, in the same epoch, where nobody was for a while', async () => {
      const { cluster, broker } = await open();
      await broker.subscribe('a', never());
      await broker.publish('a', payload('1'), soon());
      await broker.unsubscribe('a', never());
      const between = await broker.publish('a', payload('2'), soon());
      expect(between.seq).toBe(2);
      expect(await broker.subscribe('a', never())).toEqual(between);
      await cluster.close();
    });

    it('bears to be told twice', async () => {
      const { cluster, broker, delivered } = await open();
      await broker.unsubscribe('a', never());
      const first = await broker.subscribe('a', never());
      expect(await broker.subscribe('a', never())).toEqual(first);
      await broker.publish('a', payload('1'), soon());
      await cluster.settle();
      expect(delivered).toHaveLength(1);
      await broker.unsubscribe('a', never());
      await broker.unsubscribe('a', never());
      await cluster.close();
    });

    it('closes, and delivers nothing from then on', async () => {
      const { cluster, broker, delivered } = await open();
      await broker.subscribe('a', never());
      await broker.close();
      try {
        await broker.publish('a', payload('1'), soon());
      } catch {
        // It may refuse, too.
      }
      await cluster.settle();
      expect(delivered).toEqual([]);
      await cluster.close();
    });

    it('delivers every publication once and in order, from each subscription to its end', async () => {
      const step = fc.record({
        node: fc.nat(nodes - 1),
        room: fc.constantFrom('a', 'b', '__proto__'),
        what: fc.constantFrom('publish', 'publish', 'publish', 'subscribe', 'unsubscribe'),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
          const cluster = await start();
          const brokers = await Promise.all(Array.from({ length: nodes }, () => cluster.node()));
          const delivered = brokers.map(() => new Map<string, number[]>());
          const expected = brokers.map(() => new Map<string, number[]>());
          const subscribed = brokers.map(() => new Map<string, Position>());
          brokers.forEach((broker, node) => {
            broker.onDeliver(({ room, seq, epoch }) => {
              const seqs = delivered[node]!.get(room) ?? [];
              delivered[node]!.set(room, [...seqs, seq]);
              expect(epoch).toBe(subscribed[node]!.get(room)?.epoch);
            });
          });
          const counts = new Map<string, number>();
          for (const { node, room, what } of steps) {
            const broker = brokers[node]!;
            if (what === 'subscribe') {
              const position = await broker.subscribe(room, never());
              expect(position.seq).toBe(counts.get(room) ?? 0);
              subscribed[node]!.set(room, position);
            } else if (what === 'unsubscribe') {
              await cluster.settle();
              await broker.unsubscribe(room, never());
              subscribed[node]!.delete(room);
            } else {
              const { seq } = await broker.publish(room, payload('1'), soon());
              expect(seq).toBe((counts.get(room) ?? 0) + 1);
              counts.set(room, seq);
              subscribed.forEach((rooms, each) => {
                if (!rooms.has(room)) return;
                expected[each]!.set(room, [...(expected[each]!.get(room) ?? []), seq]);
              });
            }
          }
          await cluster.settle();
          expect(delivered).toEqual(expected);
          await cluster.close();
        }),
        { numRuns: 50 },
      );
    });
  });
}

/**
 * The contract of `src/broker/broker.ts`, sentence by sentence. Every broker calls it, with a way to
 * make the nodes of one cluster; a broker of a single process has one.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Broker, Position, Publication, Range } from '../../src/broker/broker.js';

/** What a cluster of a test is to keep of the past; nothing without. */
export interface Keeping {
  /** Messages a room. */
  readonly messages: number;
}

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

/** `history`: whether the broker keeps any. */
export function brokerContract(
  name: string,
  start: (keeping?: Keeping) => Promise<BrokerCluster>,
  { nodes, history, runs = 50 }: { nodes: number; history: boolean; runs?: number },
): void {
  /** A cluster with one node, and what it has delivered. */
  const open = async (keeping?: Keeping) => {
    const cluster = await start(keeping);
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

    it('passes on who, what and to whom not, where it was told', async () => {
      const { cluster, broker, delivered } = await open();
      await broker.subscribe('a', never());
      const whom = { from: 'm', user: 'u', except: 'm' };
      const all = { data: '1', ...whom, key: 'k', event: 'e', trace: 't' };
      await broker.publish('a', all, soon());
      await cluster.settle();
      expect(delivered).toMatchObject([all]);
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

    it('carries out calls for a room in the order they were made, before any has an answer', async () => {
      const { cluster, broker, delivered } = await open();
      await broker.subscribe('a', never());
      const answers = Array.from({ length: 20 }, (_, n) =>
        broker.publish('a', payload(`${n}`), soon()),
      );
      const positions = await Promise.all(answers);
      await cluster.settle();
      expect(positions.map(({ seq }) => seq)).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
      expect(delivered.map(({ data }) => data)).toEqual(
        Array.from({ length: 20 }, (_, n) => `${n}`),
      );
      await cluster.close();
    });

    it('takes nothing after its deadline', async () => {
      const { cluster, broker, delivered } = await open();
      await broker.subscribe('a', never());
      const late = async () =>
        broker.publish('a', payload('"late"'), { deadline: performance.now() - 1 });
      await expect(late()).rejects.toThrow();
      expect(await broker.publish('a', payload('1'), soon())).toMatchObject({ seq: 1 });
      await cluster.settle();
      expect(delivered.map(({ data }) => data)).toEqual(['1']);
      await cluster.close();
    });

    it('says that what a node has missed in another epoch is unknown', async () => {
      const { cluster, broker, delivered } = await open();
      const resets: [string, Position, Position][] = [];
      const lost: number[] = [];
      broker.onReset((...reset) => resets.push(reset));
      broker.onLost((_, to) => lost.push(to));
      const position = await broker.publish('a', payload('1'), soon());
      const was = { seq: 7, epoch: `${position.epoch} of before` };
      expect(await broker.subscribe('a', never(), was)).toEqual(position);
      await cluster.settle();
      const { epoch } = position;
      expect(resets).toEqual([['a', { epoch, seq: expect.any(Number) }, was]]);
      // What was published in the new one before may come behind the reset, or be told to be lost.
      const told = [resets[0]![1].seq, ...delivered.map(({ seq }) => seq), ...lost];
      expect(Math.max(...told)).toBe(position.seq);
      await cluster.close();
    });

    it('says that what a node has missed is lost where nothing of it is kept', async () => {
      const { cluster, broker, delivered } = await open();
      const lost: unknown[] = [];
      broker.onLost((room, to) => lost.push([room, to]));
      const since = await broker.publish('a', payload('1'), soon());
      // Nothing was missed.
      await broker.subscribe('a', never(), since);
      await broker.unsubscribe('a', never());
      await cluster.settle();
      expect(lost).toEqual([]);
      const latest = await broker.publish('a', payload('2'), soon());
      expect(await broker.subscribe('a', never(), since)).toEqual(latest);
      await cluster.settle();
      // Unless it has come all the same.
      const came = delivered.map(({ seq }) => seq);
      expect([lost, came]).toEqual(came.length === 0 ? [[['a', 2]], []] : [[], [2]]);
      await cluster.close();
    });

    it('is up', async () => {
      const { cluster, broker } = await open();
      await broker.subscribe('a', never());
      expect([broker.state(), broker.state('a')]).toEqual(['up', 'up']);
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
          const subscribed = brokers.map(() => new Set<string>());
          const epochs = new Map<string, Set<string>>();
          const append = <V>(lists: Map<string, V[]>, room: string, ...values: V[]) => {
            if (values.length > 0) lists.set(room, [...(lists.get(room) ?? []), ...values]);
          };
          const inEpoch = (room: string, epoch: string) =>
            epochs.set(room, (epochs.get(room) ?? new Set()).add(epoch));
          brokers.forEach((broker, node) => {
            broker.onDeliver(({ room, seq, epoch }) => {
              append(delivered[node]!, room, seq);
              inEpoch(room, epoch);
            });
          });
          const counts = new Map<string, number>();
          /** Counts up to which everything is delivered, and rooms that had a subscriber since. */
          let settledAt = new Map<string, number>();
          const shared = new Set<string>();
          const settle = async () => {
            await cluster.settle();
            settledAt = new Map(counts);
            shared.clear();
            for (const rooms of subscribed) for (const room of rooms) shared.add(room);
          };
          for (const { node, room, what } of steps) {
            const broker = brokers[node]!;
            if (what === 'subscribe') {
              const isAgain = subscribed[node]!.has(room);
              // Told twice it says what it has delivered up to.
              if (isAgain) await settle();
              const { seq, epoch } = await broker.subscribe(room, never());
              const count = counts.get(room) ?? 0;
              // What other subscribers have not received yet, it may receive with them.
              const least = shared.has(room) ? (settledAt.get(room) ?? 0) : count;
              expect(seq).toBeGreaterThanOrEqual(least);
              expect(seq).toBeLessThanOrEqual(count);
              const late = Array.from({ length: count - seq }, (_, n) => seq + 1 + n);
              if (!isAgain) append(expected[node]!, room, ...late);
              inEpoch(room, epoch);
              subscribed[node]!.add(room);
              shared.add(room);
            } else if (what === 'unsubscribe') {
              await settle();
              await broker.unsubscribe(room, never());
              subscribed[node]!.delete(room);
            } else {
              const { seq, epoch } = await broker.publish(room, payload('1'), soon());
              expect(seq).toBe((counts.get(room) ?? 0) + 1);
              counts.set(room, seq);
              inEpoch(room, epoch);
              subscribed.forEach((rooms, each) => {
                if (rooms.has(room)) append(expected[each]!, room, seq);
              });
            }
          }
          await settle();
          expect(delivered).toEqual(expected);
          for (const each of epochs.values()) expect(each.size).toBe(1);
          await cluster.close();
        }),
        { numRuns: runs },
      );
    });
  });

  describe.runIf(history)(`what a broker keeps: ${name}`, () => {
    const all = { from: 1, to: Number.MAX_SAFE_INTEGER, maxMessages: 1000, maxBytes: 1e6 };
    const seqs = (publications: readonly Publication[]) => publications.map(({ seq }) => seq);
    const read = (broker: Broker, range: Partial<Range> = {}) =>
      (broker as Required<Broker>).history('a', { ...all, ...range }, never());
    const purge = (broker: Broker, through: number) =>
      (broker as Required<Broker>).purge('a', through, never());
    const publish = async (broker: Broker, ...texts: string[]) => {
      for (const data of texts) await broker.publish('a', payload(data), soon());
    };

    it('is what was delivered, byte for byte, rising and without a hole', async () => {
      const { cluster, broker, delivered } = await open({ messages: 10 });
      const { epoch } = await broker.subscribe('a', never());
      const whole = { data: '{"漢":"\\u0000"}', from: 'm', user: 'u', key: 'k', event: 'e' };
      await broker.publish('a', { ...whole, except: 'm' }, soon());
      await publish(broker, '2', '3');
      await broker.publish('b', payload('"of another room"'), soon());
      await cluster.settle();
      const past = await read(broker);
      expect(past).toEqual({ seq: 3, epoch, oldest: 1, publications: delivered });
      expect(seqs(past.publications)).toEqual([1, 2, 3]);
      await cluster.close();
    });

    it('is also of rooms that nobody is subscribed to', async () => {
      const { cluster, broker } = await open({ messages: 10 });
      await publish(broker, '1', '2');
      await broker.subscribe('a', never());
      await broker.unsubscribe('a', never());
      await publish(broker, '3');
      const past = await read(broker);
      expect(past.publications.map(({ data }) => data)).toEqual(['1', '2', '3']);
      await cluster.close();
    });

    it('has no hole from the oldest on, which it names', async () => {
      const { cluster, broker } = await open({ messages: 3 });
      await publish(broker, '1', '2', '3', '4', '5');
      expect(await read(broker)).toMatchObject({ seq: 5, oldest: 3 });
      expect(seqs((await read(broker)).publications)).toEqual([3, 4, 5]);
      expect(seqs((await read(broker, { from: 4 })).publications)).toEqual([4, 5]);
      expect(seqs((await read(broker, { to: 2 })).publications)).toEqual([]);
      await cluster.close();
    });

    it('is within the bounds asked for, and at least one where there is one', async () => {
      const { cluster, broker } = await open({ messages: 10 });
      await publish(broker, '"é"', '"漢字"', '3', '4');
      expect(seqs((await read(broker, { maxMessages: 2 })).publications)).toEqual([1, 2]);
      expect(seqs((await read(broker, { from: 2, to: 3 })).publications)).toEqual([2, 3]);
      expect(seqs((await read(broker, { maxBytes: 12 })).publications)).toEqual([1, 2]);
      expect(seqs((await read(broker, { maxBytes: 11 })).publications)).toEqual([1]);
      expect(seqs((await read(broker, { from: 2, maxBytes: 1 })).publications)).toEqual([2]);
      await cluster.close();
    });

    it('is never beyond the end', async () => {
      const { cluster, broker } = await open({ messages: 10 });
      await publish(broker, '1', '2');
      const beyond = await read(broker, { from: 3 });
      expect(beyond).toMatchObject({ seq: 2, oldest: 1, publications: [] });
      await cluster.close();
    });

    it('is empty of a room nothing is known of', async () => {
      const { cluster, broker } = await open({ messages: 10 });
      expect(await read(broker)).toMatchObject({ seq: 0, oldest: 1, publications: [] });
      await cluster.close();
    });

    it('has a publication before it is delivered', async () => {
      const { cluster, broker } = await open({ messages: 10 });
      const found: unknown[] = [];
      broker.onDeliver(({ seq }) => {
        found.push(
          Promise.resolve(read(broker)).then(({ publications }) =>
            seqs(publications).includes(seq),
          ),
        );
      });
      await broker.subscribe('a', never());
      await publish(broker, '1', '2', '3');
      await cluster.settle();
      expect(await Promise.all(found)).toEqual([true, true, true]);
      await cluster.close();
    });

    it('ends where it was purged, and numbers go on', async () => {
      const { cluster, broker } = await open({ messages: 10 });
      await publish(broker, '1', '2', '3');
      const { epoch } = await read(broker);
      await purge(broker, 2);
      expect(await read(broker)).toMatchObject({ epoch, seq: 3, oldest: 3 });
      await purge(broker, Number.MAX_SAFE_INTEGER);
      expect(await read(broker)).toMatchObject({ epoch, seq: 3, oldest: 4, publications: [] });
      await publish(broker, '4');
      await purge(broker, 1);
      const past = await read(broker);
      expect([past.epoch, past.oldest, seqs(past.publications)]).toEqual([epoch, 4, [4]]);
      await cluster.close();
    });

    it('is what a node that comes back has missed, delivered before what is new', async () => {
      const { cluster, broker, delivered } = await open({ messages: 3 });
      const lost: unknown[] = [];
      broker.onLost((room, to) => lost.push([room, to]));
      const since = await broker.publish('a', payload('1'), soon());
      await publish(broker, '2', '3');
      await broker.subscribe('a', never(), since);
      await publish(broker, '4');
      await cluster.settle();
      expect(seqs(delivered)).toEqual([2, 3, 4]);
      // What is kept no longer is a hole before what is delivered, or is told.
      await broker.unsubscribe('a', never());
      await publish(broker, '5', '6', '7', '8');
      await broker.subscribe('a', never(), { ...since, seq: 4 });
      await cluster.settle();
      expect(seqs(delivered)).toEqual([2, 3, 4, 6, 7, 8]);
      expect([[], [['a', 5]]]).toContainEqual(lost);
      await cluster.close();
    });
  });
}

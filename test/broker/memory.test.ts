import { describe, expect, it } from 'vitest';
import { MemoryBroker } from '../../src/broker/memory.js';
import { brokerContract } from '../contract/broker.js';

brokerContract(
  'memory',
  async () => {
    const broker = new MemoryBroker();
    return {
      node: async () => broker,
      settle: async () => {},
      close: async () => broker.close(),
    };
  },
  { nodes: 1 },
);

const payload = { data: '1', from: null };
const soon = { deadline: Number.POSITIVE_INFINITY };

describe('MemoryBroker', () => {
  it('answers at once, and delivers before it answers', () => {
    const broker = new MemoryBroker();
    const order: string[] = [];
    broker.onDeliver(({ seq }) => order.push(`delivered ${seq}`));
    broker.subscribe('a');
    order.push(`published ${broker.publish('a', payload, soon).seq}`);
    expect(order).toEqual(['delivered 1', 'published 1']);
  });

  it('forgets the topic that has rested longest when there are more than 10,000 (V3)', () => {
    const broker = new MemoryBroker();
    broker.onDeliver(() => {});
    broker.subscribe('subscribed');
    const epochs = new Map<string, string>();
    const publish = (room: string) => {
      const { seq, epoch } = broker.publish(room, payload, soon);
      epochs.set(room, epoch);
      return seq;
    };
    for (let n = 0; n < 10_000; n += 1) expect(publish(`r${n}`)).toBe(1);
    // Used again: no longer the one that has rested longest.
    expect(publish('r0')).toBe(2);
    const forgotten = epochs.get('r1');
    publish('one more');
    expect(publish('r0')).toBe(3);
    expect(publish('r2')).toBe(2);
    expect(publish('subscribed')).toBe(1);
    // It starts over, and says so.
    expect(publish('r1')).toBe(1);
    expect(epochs.get('r1')).not.toBe(forgotten);
  });

  it('gives no two topics, and no two runs, the same epoch', () => {
    const epochs = [new MemoryBroker(), new MemoryBroker()].flatMap((broker) =>
      ['a', 'b'].map((room) => broker.publish(room, payload, soon).epoch),
    );
    expect(new Set(epochs).size).toBe(4);
  });
});

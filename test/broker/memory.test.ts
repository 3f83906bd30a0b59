import { describe, expect, it, vi } from 'vitest';
import { MemoryBroker } from '../../src/broker/memory.js';
import { commandLimits, defaults } from '../../src/options/config.js';
import type { Asked } from '../../src/protocol/codec.js';
import { checkPublish } from '../../src/protocol/fields.js';
import { JsonCodec } from '../../src/protocol/json.js';
import { brokerContract } from '../contract/broker.js';
import { bytesInUse } from '../support/heap.js';

brokerContract(
  'memory',
  async (keeping) => {
    const broker = new MemoryBroker({ ...defaults, historyMessages: keeping?.messages ?? 0 });
    return {
      node: async () => broker,
      settle: async () => {},
      close: async () => broker.close(),
    };
  },
  { nodes: 1, history: true },
);

const payload = { data: '1', from: null };
const limits = commandLimits(defaults);
const soon = { deadline: Number.POSITIVE_INFINITY };

describe('MemoryBroker', () => {
  it('answers synchronously, and delivers before it answers', () => {
    const broker = new MemoryBroker();
    const order: string[] = [];
    broker.onDeliver(({ seq }) => order.push(`delivered ${seq}`));
    broker.subscribe('a');
    order.push(`published ${broker.publish('a', payload, soon).seq}`);
    expect(order).toEqual(['delivered 1', 'published 1']);
  });

  it('forgets the longest idle topic when there are too many (V3)', () => {
    const broker = new MemoryBroker({ ...defaults, idleRooms: 100, historyMessages: 10 });
    broker.onDeliver(() => {});
    broker.subscribe('subscribed');
    const epochs = new Map<string, string>();
    const publish = (room: string) => {
      const { seq, epoch } = broker.publish(room, payload, soon);
      epochs.set(room, epoch);
      return seq;
    };
    for (let n = 0; n < 100; n += 1) expect(publish(`r${n}`)).toBe(1);
    // Used again, so it is no longer the longest idle one.
    expect(publish('r0')).toBe(2);
    const forgotten = epochs.get('r1');
    publish('one more');
    expect(publish('r0')).toBe(3);
    expect(publish('r2')).toBe(2);
    expect(publish('subscribed')).toBe(1);
    // It starts over, in a new epoch.
    expect(publish('r1')).toBe(1);
    expect(epochs.get('r1')).not.toBe(forgotten);
    // Its history is gone too.
    expect(broker.kept.evicted.idle).toBe(2);
    expect(broker.kept.messages).toBe(104);
  });

  it('applies the history policy of each namespace', () => {
    const namespaces = { chat: { historyMessages: 2 }, none: { historyMessages: 0 } };
    const broker = new MemoryBroker({ ...defaults, historyMessages: 1, namespaces });
    const oldest = (room: string) => {
      for (let n = 0; n < 5; n += 1) broker.publish(room, payload, soon);
      return broker.history(room, { from: 1, to: 9, maxMessages: 9, maxBytes: 9 }).oldest;
    };
    expect(['a', 'chat:a', 'none:a', 'constructor:a'].map(oldest)).toEqual([5, 4, 6, 5]);
  });

  it('applies changed history options', () => {
    const config = { ...defaults, historyMessages: 5 };
    const broker = new MemoryBroker(config);
    const publish = (n: number) => {
      for (let i = 0; i < n; i += 1) broker.publish('a', payload, soon);
    };
    const seqs = () =>
      broker
        .history('a', { from: 1, to: 99, maxMessages: 99, maxBytes: 99 })
        .publications.map(({ seq }) => seq);
    const become = (historyMessages: number) => {
      config.historyMessages = historyMessages;
      broker.reload();
    };
    publish(6);
    become(3);
    expect(seqs()).toEqual([4, 5, 6]);
    become(0);
    publish(1);
    expect([seqs(), broker.kept.messages, broker.kept.bytes]).toEqual([[], 0, 0]);
    become(2);
    expect(seqs()).toEqual([]);
    publish(3);
    expect(seqs()).toEqual([9, 10]);
    broker.close();
  });

  it('remembers the epoch of a room whose history was read, as of an idle one', () => {
    const broker = new MemoryBroker({ ...defaults, idleRooms: 1 });
    const range = { from: 1, to: 9, maxMessages: 9, maxBytes: 9 };
    const { epoch } = broker.history('a', range);
    expect(broker.publish('a', payload, soon)).toEqual({ seq: 1, epoch });
    broker.history('b', range);
    expect(broker.publish('a', payload, soon).epoch).not.toBe(epoch);
  });

  it.each([
    ['short', (n: number) => ({ n })],
    ['of 1 KB', (n: number) => String(n).padStart(1000, '-')],
    ['of 3-byte characters', (n: number) => `${n}${'漢'.repeat(300)}`],
    ['ASCII but for one character', (n: number) => `${'x'.repeat(600)}${n}漢`],
  ])('counts at least the heap cost of messages that are %s (V3)', async (_, value) => {
    // Many, so that what else is on the heap does not matter.
    const count = 60_000;
    const bounds = { historyMessages: count, historyBytes: 1e9, historyBytesTotal: 1e9 };
    const broker = new MemoryBroker({ ...defaults, ...bounds });
    broker.publish('a', payload, soon);
    const before = await bytesInUse();
    for (let n = 1; n < count; n += 1) {
      broker.publish('a', { data: JSON.stringify(value(n)), from: null }, soon);
    }
    const grown = (await bytesInUse()) - before;
    const { messages, bytes } = broker.kept;
    expect(messages).toBe(count);
    expect(grown).toBeLessThanOrEqual(bytes);
    expect(grown).toBeGreaterThan(0.7 * bytes);
    broker.close();
  });

  it.each([
    ['as short as it may be', ''],
    ['as long as is read past', `"uid":"${'u'.repeat(64)}",`],
    ['of 60 KB', `"junk":"${'j'.repeat(60_000)}",`],
  ])('counts at least the heap cost of messages after a head that is %s (V3)', async (_, head) => {
    const count = head.length > 1000 ? 5000 : 10_000;
    const bounds = { historyMessages: count, historyBytes: 1e9, historyBytesTotal: 1e9 };
    const broker = new MemoryBroker({ ...defaults, ...bounds });
    const codec = new JsonCodec();
    const publishNext = (n: number) => {
      // As received from a socket: a separate string.
      const frame = `{"type":"publish","room":"a",${head}"data":"${String(n).padStart(13, 'x')}"}`;
      const { fields, data } = codec.decode(Buffer.from(frame).toString('latin1')) as Asked;
      const checked = checkPublish('a', fields['data'], undefined, undefined, limits, data);
      broker.publish('a', { data: checked.data, from: null }, soon);
    };
    // By then the engine has compiled this code, too.
    const first = count / 10;
    for (let n = 0; n < first; n += 1) publishNext(n);
    const already = broker.kept.bytes;
    const before = await bytesInUse();
    for (let n = first; n < count; n += 1) publishNext(n);
    const grown = (await bytesInUse()) - before;
    const { messages, bytes } = broker.kept;
    expect(messages).toBe(count);
    expect(grown).toBeLessThanOrEqual(bytes - already);
    broker.close();
  });

  it('leaves no timer when it is closed (V8)', () => {
    vi.useFakeTimers();
    const broker = new MemoryBroker({ ...defaults, historyMessages: 10 });
    broker.publish('a', payload, soon);
    expect(vi.getTimerCount()).toBe(1);
    broker.close();
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
  });

  it('never uses an epoch twice, for two topics or in two runs', () => {
    const epochs = [new MemoryBroker(), new MemoryBroker()].flatMap((broker) =>
      ['a', 'b'].map((room) => broker.publish(room, payload, soon).epoch),
    );
    expect(new Set(epochs).size).toBe(4);
  });
});

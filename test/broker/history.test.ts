import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Publication } from '../../src/broker/broker.js';
import { EVICTIONS, type Eviction, History, type Kept } from '../../src/broker/history.js';
import { bytesInUse } from '../support/heap.js';

const nothing = (): Kept => ({
  messages: 0,
  bytes: 0,
  evicted: Object.fromEntries(EVICTIONS.map((why) => [why, 0])) as Record<Eviction, number>,
});

const publication = (seq: number, data: string, more: Partial<Publication> = {}): Publication => ({
  room: 'a',
  seq,
  epoch: 'e',
  at: 0,
  data,
  from: null,
  ...more,
});

const policy = (historyMessages: number, historyBytes = 1e9, historyMs = 1e9) => ({
  historyMessages,
  historyBytes,
  historyMs,
});

const everything = { from: 1, to: 2 ** 53 - 1, maxMessages: 1e9, maxBytes: 1e9 };

/** Counted cost of a publication, measured with an otherwise empty history. */
function costOf(one: Publication): number {
  const kept = nothing();
  new History(policy(1), kept).append(one, 0);
  return kept.bytes;
}

describe('History', () => {
  it('keeps the same as an array model, within count, bytes and age, without a hole (V18)', () => {
    const bounds = fc.record({
      historyMessages: fc.integer({ min: 1, max: 40 }),
      historyBytes: fc.integer({ min: 1024, max: 20_000 }),
      historyMs: fc.integer({ min: 1, max: 100 }),
    });
    const publish = fc.record({
      what: fc.constant('publish' as const),
      data: fc.constantFrom(
        '1',
        '"é"',
        '"漢字"',
        'x'.repeat(700),
        '漢'.repeat(300),
        'x'.repeat(3e4),
      ),
      key: fc.option(fc.constantFrom('k', 'k'.repeat(200)), { nil: undefined }),
      ms: fc.nat(20),
    });
    const other = fc.record({
      what: fc.constantFrom('expire' as const, 'purge' as const, 'drop' as const),
      ms: fc.nat(60),
      through: fc.nat(80),
    });
    const read = fc.record({
      what: fc.constant('read' as const),
      from: fc.integer({ min: 1, max: 90 }),
      to: fc.nat(90),
      maxMessages: fc.integer({ min: 1, max: 50 }),
      maxBytes: fc.nat(2000),
    });
    const steps = fc.array(fc.oneof(publish, publish, publish, other, read), { maxLength: 80 });
    fc.assert(
      fc.property(bounds, steps, (given, all) => {
        const kept = nothing();
        const history = new History(given, kept);
        let model: { one: Publication; bytes: number; at: number }[] = [];
        let seq = 0;
        let now = 0;
        const gone = { count: 0, bytes: 0, age: 0, total: 0, idle: 0, purge: 0 };
        const sum = () => model.reduce((bytes, each) => bytes + each.bytes, 0);
        const old = () => {
          const young = model.filter(({ at }) => at > now - given.historyMs);
          gone.age += model.length - young.length;
          model = young;
        };
        for (const step of all) {
          if (step.what === 'publish') {
            now += step.ms;
            seq += 1;
            const one = publication(seq, step.data, { key: step.key });
            const bytes = costOf(one);
            old();
            model.push({ one, bytes, at: now });
            while (model.length > given.historyMessages) {
              model.shift();
              gone.count += 1;
            }
            while (sum() > given.historyBytes) {
              model.shift();
              gone.bytes += 1;
            }
            history.append(one, now);
          } else if (step.what === 'expire') {
            now += step.ms;
            old();
            history.expire(now);
          } else if (step.what === 'purge') {
            const left = model.filter(({ one }) => one.seq > step.through);
            gone.purge += model.length - left.length;
            model = left;
            history.evict('purge', step.through);
          } else if (step.what === 'drop') {
            gone.total += model.length;
            model = [];
            history.evict('total');
          } else if ('from' in step) {
            const found = history.read(step);
            let bytes = 0;
            const expected = model
              .map(({ one }) => one)
              .filter((one) => one.seq >= step.from && one.seq <= step.to)
              .slice(0, step.maxMessages)
              .filter((one, i) => {
                bytes += Buffer.byteLength(one.data);
                return i === 0 || bytes <= step.maxBytes;
              });
            expect(found).toEqual(expected);
          }
          expect(history.read(everything)).toEqual(model.map(({ one }) => one));
          expect(history.oldest).toBe(seq - model.length + 1);
          expect(history.length).toBe(model.length);
          expect(kept).toEqual({ messages: model.length, bytes: sum(), evicted: gone });
          expect(history.length).toBeLessThanOrEqual(given.historyMessages);
          expect(kept.bytes).toBeLessThanOrEqual(given.historyBytes);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('returns the same publication objects that were appended', () => {
    const history = new History(policy(2), nothing());
    const one = publication(1, '"x"');
    history.append(one, 0);
    expect(history.read(everything)[0]).toBe(one);
  });

  it('shrinks the ring after evictions', async () => {
    const kept = nothing();
    const history = new History(policy(500_000), kept);
    const before = await bytesInUse();
    const one = publication(0, '1');
    for (let seq = 1; seq <= 500_000; seq += 1) history.append({ ...one, seq }, 0);
    history.evict('purge', 499_990);
    // Of the 4 MB of its slots.
    expect((await bytesInUse()) - before).toBeLessThan(2_000_000);
    expect(history.read(everything).map(({ seq }) => seq)).toEqual(
      Array.from({ length: 10 }, (_, i) => 499_991 + i),
    );
  });
});

/**
 * Frames between workers arrive unchanged, however they are split and whoever else receives them.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Publication } from '../../../src/broker/broker.js';
import { FrameReader, FrameWriter, HEAD, KIND } from '../../../src/broker/mesh/frames.js';

const text = fc.string({ unit: 'grapheme', maxLength: 20 });
const maybe = fc.option(text, { nil: undefined });
/** Some do not fit into the rest of a slab, or into a whole one. */
const data = fc
  .tuple(text, fc.constantFrom(0, 0, 0, 10_000, 70_000))
  .map(([begin, more]) => JSON.stringify(begin + 'é'.repeat(more)));
const publication: fc.Arbitrary<Publication> = fc.record({
  room: fc.constant('room'),
  seq: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  epoch: fc.constant('epoch'),
  at: fc.integer({ min: 0, max: 2 ** 52 }),
  data,
  from: fc.option(text, { nil: null }),
  user: maybe,
  key: maybe,
  event: maybe,
  except: maybe,
  trace: maybe,
});

function read(bytes: Buffer): [room: number, publication: Publication][] {
  const reader = new FrameReader();
  const all: [number, Publication][] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + HEAD + bytes.readUInt32BE(at);
    expect(reader.begin(bytes, at + HEAD, end)).toBe(KIND.message);
    all.push([reader.u32(), reader.publication('room', 'epoch')]);
    at = end;
  }
  return all;
}

it('a publication is the same for each subscriber (V6)', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          publication,
          // A publication may be sent again much later, from history to a returning subscriber.
          isSame: fc.boolean(),
          guests: fc.array(fc.nat({ max: 2 }), { maxLength: 4 }),
          taken: fc.option(fc.nat({ max: 2 }), { freq: 1 }),
        }),
        { maxLength: 12 },
      ),
      (steps) => {
        const links = [0, 1, 2].map(() => ({
          writer: new FrameWriter(),
          taken: [] as Buffer[],
          expected: [] as [number, Publication][],
        }));
        let last: Publication | null = null;
        for (const [number, step] of steps.entries()) {
          const told: Publication = step.isSame && last !== null ? last : step.publication;
          last = told;
          for (const guest of step.guests) {
            const { writer, expected } = links[guest]!;
            writer.begin(KIND.message).u32(number).publication(told).end();
            expected.push([number, told]);
          }
          if (step.taken !== null) links[step.taken]?.taken.push(links[step.taken]!.writer.take());
        }
        for (const { writer, taken, expected } of links) {
          expect(read(Buffer.concat([...taken, writer.take()]))).toEqual(expected);
        }
      },
    ),
  );
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Event } from '../../src/protocol/events.js';
import { JsonCodec } from '../../src/protocol/json.js';

const codec = new JsonCodec();

/** Text with every code unit there is, paired surrogates or not. */
const anyText = fc
  .array(fc.oneof(fc.integer({ min: 0, max: 0xffff }), fc.integer({ min: 0xd800, max: 0xdfff })))
  .map((units) => String.fromCharCode(...units));

describe('an event', () => {
  it('is the JSON of itself, without what is not there', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.integer(), fc.string(), fc.constant(undefined)),
        anyText,
        fc.nat(),
        (id, room, seq) => {
          const events: Event[] = [
            { type: 'joined', id, room, seq, epoch: 'e', members: 1 },
            { type: 'gap', room, from: seq, to: seq, count: 1, reason: 'overflow' },
            { type: 'error', id, code: 'bad_room', message: room },
          ];
          for (const event of events) {
            const read = JSON.parse(codec.encode(event)) as Event;
            expect(read).toEqual(event);
            expect('id' in read).toBe('id' in event && event.id !== undefined);
          }
        },
      ),
    );
  });
});

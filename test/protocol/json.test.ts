import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Refusal } from '../../src/errors.js';

import { commandLimits, defaults } from '../../src/options/config.js';
import type { Fields } from '../../src/protocol/codec.js';
import type { Event } from '../../src/protocol/events.js';
import { checkPublish } from '../../src/protocol/fields.js';
import { JsonCodec } from '../../src/protocol/json.js';

const codec = new JsonCodec();

/** Text with every code unit there is, paired surrogates or not. */
const anyText = fc
  .array(fc.oneof(fc.integer({ min: 0, max: 0xffff }), fc.integer({ min: 0xd800, max: 0xdfff })))
  .map((units) => String.fromCharCode(...units));

describe('an event', () => {
  it('is encoded as JSON, without undefined fields', () => {
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

/** The slow path: reads a frame by `JSON.parse` only. */
function plainly(text: string) {
  let fields: unknown;
  try {
    fields = JSON.parse(text);
  } catch {
    return 'bad_json';
  }
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) return 'bad_command';
  return fields;
}

const limits = commandLimits(defaults);

/** The result of a publish, or its error. */
function checkedAs(fields: Fields, data?: string) {
  const { room, key, uid } = fields;
  try {
    return checkPublish(room, fields['data'], key, uid, limits, data);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { code: error.code, message: error.message };
  }
}

/** Expects the codec to read `text` as the slow path does; returns whether it took the fast path. */
function readsPlainly(text: string): boolean {
  const asked = codec.decode(text);
  const plain = plainly(text);
  if (typeof plain === 'string') {
    expect(asked).toMatchObject({ refusal: { code: plain } });
    return false;
  }
  if ('refusal' in asked) {
    expect(asked.refusal.code).toBe('bad_command');
    const { id } = plain as { id?: unknown };
    expect(typeof id === 'number' && Number.isFinite(id)).toBe(false);
    return false;
  }
  expect(asked.fields).toEqual(plain);
  expect(asked.id).toEqual((plain as { id?: unknown }).id);
  if (asked.data !== undefined) expect(asked.data).toBe(JSON.stringify(asked.fields['data']));
  expect(checkedAs(asked.fields, asked.data)).toEqual(checkedAs(plain as Fields));
  return asked.data !== undefined;
}

/**
 * Frames that resemble a publish of a plain string, and some that are one. In full:
 *
 *     ROOMCAST_TEST_RUNS=1000000 npx vitest run test/protocol/json.test.ts
 */
describe('a frame whose data is a plain string', () => {
  const RUNS = Number(process.env['ROOMCAST_TEST_RUNS'] ?? 5000);
  const ascii = fc.string({ unit: 'binary-ascii', maxLength: 30 });
  const plain = fc.stringMatching(/^[ !#-[\]-~]{0,40}$/);
  const value = fc.oneof(
    { weight: 6, arbitrary: plain.map((each) => JSON.stringify(each)) },
    { weight: 2, arbitrary: fc.string({ unit: 'binary' }).map((each) => JSON.stringify(each)) },
    { weight: 2, arbitrary: ascii.map((each) => `"${each}"`) },
    { weight: 2, arbitrary: fc.json() },
    {
      weight: 1,
      arbitrary: fc.constantFrom('', '"', '1e999', '-0', '01', '{', '}', '[]', '"a","data":"b"'),
    },
  );
  const name = fc.constantFrom(
    ...['type', 'room', 'data', 'id', 'key', 'uid', '__proto__', 'toString', '', 'da\\u0074a'],
  );
  const field = fc
    .tuple(name, fc.oneof(value, fc.constantFrom('"publish"', '"a"', '7')))
    .map(([key, json]) => `"${key}":${json}`);
  const usual = fc
    .tuple(fc.array(field, { minLength: 1, maxLength: 4 }), plain)
    .map(([head, data]) => `{${head.join(',')},"data":${JSON.stringify(data)}}`);
  /** Frames as most clients write them, and similar ones. */
  const digits = fc.oneof(
    fc.maxSafeNat().map(String),
    fc.constantFrom('0', '00', '01', '-1', '1.5', '1e3', '', '999999999999999', '9999999999999999'),
  );
  const common = fc
    .tuple(
      fc.constantFrom(
        '{"type":"publish"',
        '{"type":"publish" ',
        '{"type":"join"',
        '{"type" :"publish"',
      ),
      fc.option(
        digits.map((id) => `,"id":${id}`),
        { nil: '' },
      ),
      fc
        .oneof(
          plain.map((each) => JSON.stringify(each)),
          value,
        )
        .map((room) => `,"room":${room}`),
      fc.constantFrom('', '', '', ',"key":"k"', ',"id":3', ','),
      fc.oneof(
        plain.map((each) => JSON.stringify(each)),
        value,
      ),
    )
    .map(([opening, id, room, more, data]) => `${opening}${id}${room}${more},"data":${data}}`);
  const unusual = fc
    .record({
      head: fc.array(field, { maxLength: 4 }),
      opening: fc.constantFrom(
        '{',
        '{',
        '{',
        '{',
        '{ ',
        '',
        '[',
        '{{',
        '{"a":{"b":1',
        '{"a":"',
        '{,',
      ),
      data: value,
      before: fc.constantFrom(',"data":', ',"data":', ',"data":', ',"data": ', '"data":', ''),
      closing: fc.constantFrom('}', '}', '}', '}', '}}', '', ' }', '} ', ']', '\n', '"}'),
    })
    .map(({ head, opening, data, before, closing }) =>
      [opening, head.join(','), before, data, closing].join(''),
    );

  it(
    'is read as JSON.parse reads it',
    () => {
      let short = 0;
      fc.assert(
        fc.property(fc.oneof(usual, common, unusual), (text) => {
          if (readsPlainly(text)) short += 1;
        }),
        { numRuns: RUNS },
      );
      // Otherwise the slow path was compared with itself.
      expect(short / RUNS).toBeGreaterThan(0.05);
    },
    60_000 + RUNS,
  );

  it.each([
    ['{"type":"publish","room":"a","data":"hello"}', true],
    ['{"type":"publish","id":1,"room":"a","key":"k","uid":"u","data":""}', true],
    ['{"data":"x","room":"a","data":"y"}', true],
    ['{"room":"a" ,"data":"y"}', true],
    ['{"data":"x"}', false],
    ['{,"data":"x"}', false],
    ['{ ,"data":"x"}', false],
    ['[,"data":"x"}', false],
    ['{"a":{"b":1,"data":"x"}', false],
    ['{"a":{"b":1,"data":"x"}}', false],
    ['{"a":",\\"data\\":","data":"x"}', true],
    ['{"a":",","data":"x","data":"y"}', false],
    ['{"room":"a","data":"x\\n"}', false],
    ['{"room":"a","data":"\u007f"}', false],
    ['{"room":"a","data":"ü"}', false],
    ['{"room":"a","data":"x"}\n', false],
    ['{"id":1e999,"data":"x"}', false],
    ['{"__proto__":1,"data":"x"}', true],
  ])('%s', (text, isShort) => {
    expect(readsPlainly(text)).toBe(isShort);
  });

  it('is encoded as JSON.stringify does, whatever the names', () => {
    fc.assert(
      fc.property(fc.oneof(plain, anyText), fc.oneof(plain, anyText), (room, from) => {
        const text = codec.encodeMessage({ room, seq: 1, from, at: 2, data: '3' });
        expect(text).toBe(JSON.stringify({ type: 'message', room, seq: 1, from, at: 2, data: 3 }));
      }),
    );
  });
});

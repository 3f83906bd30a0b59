/** Decoding of commands: every frame is a fully checked command or is refused (V11). */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { REFUSAL, Refusal } from '../../../src/errors.js';
import type { Checked, CommandLimits } from '../../../src/protocol/fields.js';
import { JsonCodec } from '../../../src/protocol/json.js';
import { commandOf } from '../../../src/session/commands/index.js';

const LIMITS = {
  maxCommandBytes: 4096,
  maxRoomNameLength: 200,
  roomNamePattern: /^[A-Za-z0-9_=@,.;:/+~-]+$/,
  maxJsonDepth: 32,
  maxMessageBytes: 65_536,
};
/** Any name a pattern could allow. */
const LENIENT = { ...LIMITS, roomNamePattern: /[\s\S]/ };

const codec = new JsonCodec();

/** Reads a frame as a session does. */
function read(text: string, limits: CommandLimits = LIMITS) {
  const asked = codec.decode(text);
  const { id } = asked;
  if ('refusal' in asked) return { type: 'refused', id, refusal: asked.refusal };
  try {
    const command = commandOf(asked.fields, Buffer.byteLength(text), limits);
    return { type: command.type, id, checked: command.check(asked.fields, limits) };
  } catch (error) {
    if (error instanceof Refusal) return { type: 'refused', id, refusal: error };
    throw error;
  }
}

/** The code of the refusal, or the type of the command. */
const outcome = (text: string): string => {
  const { type, refusal } = read(text);
  return refusal?.code ?? type;
};

/** Text with every code unit there is, paired surrogates or not. */
const anyText = fc
  .array(fc.oneof(fc.integer({ min: 0, max: 0xffff }), fc.integer({ min: 0xd800, max: 0xdfff })))
  .map((units) => String.fromCharCode(...units));

/** Any name that UTF-8 can carry. */
const anyName = fc.string({ unit: 'binary', minLength: 1, maxLength: 100 });

const anyField = fc.oneof(
  fc.jsonValue(),
  anyText,
  fc.constantFrom(undefined, null, 0, -1, 1.5, '', '__proto__', 'constructor', [], {}, true),
);

describe('decoding', () => {
  it('never throws for any text: it is a command or is refused with a code (V11)', () => {
    const bytes = fc.uint8Array({ maxLength: 300 }).map((each) => Buffer.from(each).toString());
    const command = fc
      .record({
        type: fc.oneof(fc.constantFrom('join', 'leave', 'publish', 'ping'), anyField),
        id: anyField,
        room: fc.oneof(fc.constant('a'), anyField),
        data: anyField,
        key: anyField,
        __proto__: fc.constant(null),
      })
      .map((each) => JSON.stringify(each));
    const cut = fc.tuple(command, fc.nat()).map(([text, at]) => text.slice(0, at % text.length));
    const any = fc.oneof(anyText, bytes, command, command, cut, fc.json());
    fc.assert(
      fc.property(any, fc.constantFrom(LIMITS, LENIENT), (text, limits) => {
        const result = read(text, limits);
        if (result.refusal !== undefined) {
          expect(Object.keys(REFUSAL)).toContain(result.refusal.code);
          expect(result.refusal.message.length).toBeLessThan(300);
        } else {
          expect(['join', 'leave', 'publish', 'ping']).toContain(result.type);
        }
        const { id } = result;
        if (id !== undefined) expect(JSON.parse(JSON.stringify(id))).toBe(id);
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    ['', 'bad_json'],
    ['{', 'bad_json'],
    ['\u0000', 'bad_json'],
    ['\ufeff{"type":"ping"}', 'bad_json'],
    ["{'type':'ping'}", 'bad_json'],
    ['{"type":"ping"}{"type":"ping"}', 'bad_json'],
    ['NaN', 'bad_json'],
    ['null', 'bad_command'],
    ['[]', 'bad_command'],
    ['"ping"', 'bad_command'],
    ['1e999', 'bad_command'],
    ['{}', 'bad_command'],
    ['{"type":1}', 'bad_command'],
    ['{"type":"PING"}', 'bad_command'],
    ['{"type":"__proto__"}', 'bad_command'],
    ['{"type":["ping"]}', 'bad_command'],
    ['{"__proto__":{"type":"ping"}}', 'bad_command'],
    ['{"type":"ping"}', 'ping'],
    ['{"type":"ping","id":null}', 'bad_command'],
    ['{"type":"ping","id":{}}', 'bad_command'],
    ['{"type":"ping","id":1e999}', 'bad_command'],
    ['{"type":"ping","id":-1e999}', 'bad_command'],
    [`{"type":"ping","id":"${'x'.repeat(64)}"}`, 'ping'],
    [`{"type":"ping","id":"${'x'.repeat(65)}"}`, 'bad_command'],
    ['{"type":"ping","unknown":[1]}', 'ping'],
    ['{"type":"join"}', 'bad_room'],
    ['{"type":"join","room":1}', 'bad_room'],
    ['{"type":"join","room":["a"]}', 'bad_room'],
    ['{"type":"join","room":""}', 'bad_room'],
    ['{"type":"join","room":"a b"}', 'bad_room'],
    ['{"type":"join","room":"\\ud800"}', 'bad_room'],
    ['{"type":"join","room":"\\u0000"}', 'bad_room'],
    [`{"type":"join","room":"${'r'.repeat(200)}"}`, 'join'],
    [`{"type":"join","room":"${'r'.repeat(201)}"}`, 'bad_room'],
    ['{"type":"join","room":"__proto__"}', 'join'],
    ['{"type":"leave","room":"constructor"}', 'leave'],
    [`{"type":"join","room":"a","pad":"${'x'.repeat(5000)}"}`, 'command_too_big'],
    [`{"type":"nothing","pad":"${'x'.repeat(5000)}"}`, 'command_too_big'],
    ['{"type":"join","room":"a","since":{"epoch":"e","seq":0}}', 'join'],
    ['{"type":"join","room":"a","since":{"epoch":"e","seq":9007199254740991,"more":1}}', 'join'],
    ['{"type":"join","room":"a","since":{"seq":1}}', 'bad_position'],
    ['{"type":"join","room":"a","since":{"epoch":"e"}}', 'bad_position'],
    ['{"type":"join","room":"a","since":{"epoch":"","seq":1}}', 'bad_position'],
    ['{"type":"join","room":"a","since":{"epoch":1,"seq":1}}', 'bad_position'],
    [`{"type":"join","room":"a","since":{"epoch":"${'e'.repeat(65)}","seq":1}}`, 'bad_position'],
    ['{"type":"join","room":"a","since":{"epoch":"e","seq":-1}}', 'bad_position'],
    ['{"type":"join","room":"a","since":{"epoch":"e","seq":1.5}}', 'bad_position'],
    ['{"type":"join","room":"a","since":{"epoch":"e","seq":9007199254740992}}', 'bad_position'],
    ['{"type":"join","room":"a","since":{"epoch":"e","seq":1e999}}', 'bad_position'],
    ['{"type":"join","room":"a","since":{"epoch":"e","seq":"1"}}', 'bad_position'],
    ['{"type":"join","room":"a","since":{"epoch":"e","seq":null}}', 'bad_position'],
    ['{"type":"join","room":"a","since":{"__proto__":{"epoch":"e","seq":1}}}', 'bad_position'],
    ['{"type":"join","room":"a","since":null}', 'bad_position'],
    ['{"type":"join","room":"a","since":41}', 'bad_position'],
    ['{"type":"join","room":"a","since":["e",1]}', 'bad_position'],
    ['{"type":"join","room":"a","last":1}', 'join'],
    ['{"type":"join","room":"a","last":0}', 'bad_position'],
    ['{"type":"join","room":"a","last":-1}', 'bad_position'],
    ['{"type":"join","room":"a","last":1e15}', 'join'],
    ['{"type":"join","room":"a","last":1e16}', 'bad_position'],
    ['{"type":"join","room":"a","last":"1"}', 'bad_position'],
    ['{"type":"join","room":"a","last":1,"since":{"epoch":"e","seq":1}}', 'bad_position'],
    ['{"type":"join","room":"a","presence":true}', 'join'],
    ['{"type":"join","room":"a","presence":1}', 'bad_command'],
    ['{"type":"history","room":"a","from":1,"to":9007199254740991}', 'history'],
    ['{"type":"history","room":"a","from":43,"to":43,"epoch":"e"}', 'history'],
    ['{"type":"history","room":"a","last":1e15}', 'history'],
    ['{"type":"history","room":"a","before":43,"last":50}', 'history'],
    ['{"type":"history","room":1,"last":1}', 'bad_room'],
    ['{"type":"history","room":"a"}', 'bad_position'],
    ['{"type":"history","room":"a","from":1}', 'bad_position'],
    ['{"type":"history","room":"a","to":1}', 'bad_position'],
    ['{"type":"history","room":"a","from":2,"to":1}', 'bad_position'],
    ['{"type":"history","room":"a","from":0,"to":1}', 'bad_position'],
    ['{"type":"history","room":"a","from":-1,"to":1}', 'bad_position'],
    ['{"type":"history","room":"a","from":1.5,"to":2}', 'bad_position'],
    ['{"type":"history","room":"a","from":1,"to":9007199254740992}', 'bad_position'],
    ['{"type":"history","room":"a","from":1,"to":1e999}', 'bad_position'],
    ['{"type":"history","room":"a","from":"1","to":2}', 'bad_position'],
    ['{"type":"history","room":"a","from":1,"to":2,"epoch":""}', 'bad_position'],
    ['{"type":"history","room":"a","from":1,"to":2,"epoch":1}', 'bad_position'],
    ['{"type":"history","room":"a","from":1,"to":2,"last":1}', 'bad_position'],
    ['{"type":"history","room":"a","from":1,"to":2,"before":3}', 'bad_position'],
    ['{"type":"history","room":"a","last":1,"epoch":"e"}', 'bad_position'],
    ['{"type":"history","room":"a","last":0}', 'bad_position'],
    ['{"type":"history","room":"a","last":1e16}', 'bad_position'],
    ['{"type":"history","room":"a","last":1,"before":0}', 'bad_position'],
    ['{"type":"history","room":"a","before":3}', 'bad_position'],
    [`{"type":"history","room":"a","last":1,"pad":"${'x'.repeat(5000)}"}`, 'command_too_big'],
    ['{"type":"publish","room":"a"}', 'bad_command'],
    ['{"type":"publish","room":"a","data":1,"uid":"u"}', 'publish'],
    ['{"type":"publish","room":"a","data":1,"uid":""}', 'bad_command'],
    ['{"type":"publish","room":"a","data":1,"uid":1}', 'bad_command'],
    [`{"type":"publish","room":"a","data":1,"uid":"${'u'.repeat(65)}"}`, 'bad_command'],
    ['{"type":"publish","room":"a","data":null}', 'publish'],
    ['{"type":"publish","room":1,"data":null}', 'bad_room'],
    ['{"type":"publish","room":"a","data":1,"key":1}', 'bad_command'],
    ['{"type":"publish","room":"a","data":1,"key":""}', 'bad_command'],
    ['{"type":"publish","room":"a","data":1,"key":null}', 'bad_command'],
    ['{"type":"publish","room":"a","data":1,"key":"__proto__"}', 'publish'],
    [`{"type":"publish","room":"a","data":1,"key":"${'k'.repeat(201)}"}`, 'bad_command'],
    ['{"type":"publish","room":"a","data":1e999}', 'bad_command'],
    ['{"type":"publish","room":"a","data":{"a":[-1e999]}}', 'bad_command'],
    [`{"type":"publish","room":"a","data":"${'x'.repeat(60_000)}"}`, 'publish'],
    ['['.repeat(65_536), 'bad_json'],
    [`${'['.repeat(32_768)}${']'.repeat(32_768)}`, 'bad_command'],
    [`{"type":"ping","pad":${'['.repeat(2000)}${']'.repeat(2000)}}`, 'ping'],
    [`{"type":${'['.repeat(30_000)}${']'.repeat(30_000)}}`, 'command_too_big'],
    [`{"id":${'['.repeat(30_000)}${']'.repeat(30_000)}}`, 'bad_command'],
  ])('%.60s is %s', (text, expected) => {
    expect(outcome(text)).toBe(expected);
  });

  it('counts levels of arrays and objects', () => {
    const nested = (levels: number, open: string, close: string) =>
      `{"type":"publish","room":"a","data":${open.repeat(levels)}1${close.repeat(levels)}}`;
    for (const [open, close] of [
      ['[', ']'],
      ['{"a":', '}'],
      ['{"__proto__":', '}'],
    ] as const) {
      expect(outcome(nested(32, open, close))).toBe('publish');
      expect(outcome(nested(33, open, close))).toBe('too_deep');
      expect(outcome(nested(8000, open, close))).toBe('too_deep');
    }
  });

  it('returns the id if it could be read, also for a refused frame', () => {
    expect(read('{"type":"nothing","id":7}')).toMatchObject({ type: 'refused', id: 7 });
    expect(read('{"type":"ping","id":""}')).toMatchObject({ type: 'ping', id: '' });
    expect(read('{"type":"ping","id":0}')).toMatchObject({ type: 'ping', id: 0 });
    expect(read('{"id":{}}').id).toBeUndefined();
    expect(read('{"id":7').id).toBeUndefined();
  });

  it('says what is wrong without echoing a flood', () => {
    const result = read(`{"type":"join","room":"${' '.repeat(200)}"}`);
    expect(result.refusal?.message).toBe(
      `room ${JSON.stringify(' '.repeat(40))} does not match ^[A-Za-z0-9_=@,.;:/+~-]+$.`,
    );
    const huge = read(`{"type":"${'x'.repeat(4000)}"}`);
    expect(huge.refusal?.message.length).toBeLessThan(150);
  });

  it('refuses names that UTF-8 does not have, since other nodes would read another one', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        fc.pre(text.length > 0 && text.length <= 64);
        const all = [
          { room: text, data: 1 },
          { room: 'a', data: 1, key: text },
          { room: 'a', data: 1, uid: text },
        ].map((fields) => read(JSON.stringify({ type: 'publish', ...fields }), LENIENT).type);
        const isCarried = Buffer.from(text).toString() === text;
        expect(all).toEqual(Array(3).fill(isCarried ? 'publish' : 'refused'));
      }),
      { numRuns: 500 },
    );
  });

  it('does not modify prototypes', () => {
    read(
      '{"type":"publish","room":"a","data":{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}}',
    );
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });
});

describe('a publication', () => {
  it('carries any JSON value through unchanged', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 8 }), anyName, anyName, (data, room, key) => {
        const command = read(JSON.stringify({ type: 'publish', room, data, key }), LENIENT);
        expect(command.type).toBe('publish');
        const publish = command.checked as Checked;
        expect(publish.room).toBe(room);
        expect(publish.key).toBe(key);
        // What JSON makes of the value: -0 is 0.
        const plain: unknown = JSON.parse(JSON.stringify(data));
        expect(JSON.parse(publish.data)).toEqual(plain);
        const text = codec.encodeMessage({ ...publish, seq: 7, from: 'm', at: 1234 });
        expect(text).not.toContain('\n');
        expect(JSON.parse(text)).toEqual({
          type: 'message',
          room,
          seq: 7,
          from: 'm',
          at: 1234,
          data: plain,
          key,
        });
      }),
      { numRuns: 500 },
    );
  });

  it('has no key if none was given, and null if it has no member', () => {
    const text = codec.encodeMessage({ room: 'a', seq: 1, from: null, at: 2, data: '{"b":[1]}' });
    expect(text).toBe('{"type":"message","room":"a","seq":1,"from":null,"at":2,"data":{"b":[1]}}');
  });

  it('keeps a field called __proto__', () => {
    const { data } = read(
      '{"type":"publish","room":"a","data":{"__proto__":{"x":1},"toJSON":"no"}}',
    ).checked as Checked;
    expect(data).toBe('{"__proto__":{"x":1},"toJSON":"no"}');
  });
});

/** The permissions of a token, compared with an oracle that interprets the claim directly. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Grants, MAX_PATTERNS, patternOf } from '../../src/auth/grants.js';
import { ACTIONS, type Action } from '../../src/room/identity.js';

type Claim = Record<string, Action[]>;

/** The oracle: interprets the claim at each call. */
function says(claim: Claim, action: Action, room: string): boolean {
  return Object.keys(claim).some((pattern) => {
    const isHit = pattern.endsWith('*')
      ? room.slice(0, pattern.length - 1) === pattern.slice(0, -1)
      : room === pattern;
    return isHit && (claim[pattern] as Action[]).includes(action);
  });
}

/** Few letters, so that patterns match rooms often. */
const name = fc.string({ unit: fc.constantFrom('a', 'b', ':'), minLength: 1, maxLength: 4 });
const odd = fc.constantFrom('__proto__', 'constructor', 'toString', '__proto__:a');
const room = fc.oneof({ weight: 6, arbitrary: name }, { weight: 1, arbitrary: odd });
const pattern = fc.oneof(
  room,
  room.map((text) => `${text}*`),
  fc.constant('*'),
);
const actions = fc.subarray([...ACTIONS]);
const claim = fc
  .array(fc.tuple(pattern, actions), { maxLength: 8 })
  // Built from JSON, so that `__proto__` is an ordinary key.
  .map(
    (entries) =>
      JSON.parse(
        `{${entries.map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`)}}`,
      ) as Claim,
  );

const everything = (rooms: string[], ask: (action: Action, room: string) => void) => {
  for (const each of rooms) for (const action of ACTIONS) ask(action, each);
};

describe('grants', () => {
  it('allow what the claim says, no more and no less', () => {
    fc.assert(
      fc.property(claim, fc.array(room, { minLength: 1 }), (granted, rooms) => {
        const grants = new Grants(granted, 'rooms');
        everything(rooms, (action, each) =>
          expect([each, action, grants.allow(action, each)]).toEqual([
            each,
            action,
            says(granted, action, each),
          ]),
        );
      }),
      { numRuns: 500 },
    );
  });

  it('only add permissions, in any order', () => {
    fc.assert(
      fc.property(claim, claim, fc.array(room, { minLength: 1 }), (one, more, rooms) => {
        const both = { ...more, ...one };
        const [few, many, turned] = [
          new Grants(one, 'rooms'),
          new Grants(both, 'rooms'),
          new Grants(Object.fromEntries(Object.entries(both).reverse()), 'rooms'),
        ];
        everything(rooms, (action, each) => {
          if (few.allow(action, each)) expect(many.allow(action, each)).toBe(true);
          if (!Object.hasOwn(both, '__proto__')) {
            expect(turned.allow(action, each)).toBe(many.allow(action, each));
          }
        });
      }),
    );
  });

  it('are empty if the claim is missing', () => {
    expect(new Grants(undefined, 'rooms').allow('join', 'a')).toBe(false);
  });

  it.each([
    [null, 'rooms is null; it must be {'],
    [[], 'rooms is an array; it must be {'],
    ['chat:*', 'rooms is "chat:*"; it must be {'],
    [{ 'a*b': ['join'] }, 'the pattern "a*b"; a * is allowed at its end only'],
    [{ '**': ['join'] }, 'the pattern "**"'],
    [{ '': ['join'] }, 'the pattern ""'],
    [{ a: 'join' }, 'rooms "a" is "join"; it must be an array'],
    [{ a: ['write'] }, 'rooms "a" has "write"; the actions are join, publish, history, presence'],
    [{ a: [['join']] }, 'rooms "a" has an array'],
    [
      Object.fromEntries(Array.from({ length: MAX_PATTERNS + 1 }, (_, n) => [`${n}`, []])),
      'rooms has 101 patterns; 100 are allowed',
    ],
  ])('are rejected for %j', (granted, says) => {
    expect(() => new Grants(granted, 'rooms')).toThrow(
      expect.objectContaining({ code: 'token_invalid', message: expect.stringContaining(says) }),
    );
  });
});

it('a pattern is a name or a prefix', () => {
  expect(patternOf('a:b')).toEqual({ text: 'a:b', isPrefix: false });
  expect(patternOf('a:*')).toEqual({ text: 'a:', isPrefix: true });
  expect(patternOf('*')).toEqual({ text: '', isPrefix: true });
  for (const none of ['', 'a*b', '*a', '**', 5, null]) expect(patternOf(none)).toBeNull();
});

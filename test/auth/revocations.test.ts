/** Revocations, compared with an oracle that keeps a list: limited in number, and kept as long as requested. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Alarms } from '../../src/auth/alarms.js';
import {
  type Revocation,
  type RevocationRequest,
  Revocations,
  type Subject,
} from '../../src/auth/revocations.js';

const NOW = Date.UTC(2026, 0, 1);
let alarms: Alarms;

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
  alarms = new Alarms();
});
afterEach(() => {
  alarms.close();
  vi.useRealTimers();
});

const start = (max = 100, toleranceMs = 10_000) => new Revocations(max, toleranceMs, alarms);
/** A new id, which has not been lifted. */
const add = (revocations: Revocations, asked: unknown) => revocations.add(asked) as Revocation;
const subject = (given: Partial<Subject>): Subject => ({
  user: '42',
  tokenId: null,
  issuedAt: NOW - 1000,
  ...given,
});

it('a user or a token is revoked everywhere or in some rooms', () => {
  const revocations = start();
  const { id } = add(revocations, { user: '42' });
  expect(revocations.everywhere(subject({}))).toMatchObject({ id, user: '42' });
  expect(revocations.everywhere(subject({ user: '43' }))).toBeNull();
  expect(revocations.inRoom(subject({}), 'a')).toBe(true);
  expect(revocations.remove(id)).toBe(true);
  expect(revocations.remove(id)).toBe(false);
  expect(revocations.everywhere(subject({}))).toBeNull();

  revocations.add({ token: 't1', room: 'chat:*' });
  const has = subject({ tokenId: 't1' });
  expect(revocations.everywhere(has)).toBeNull();
  expect(['chat:a', 'chat', 'news'].map((room) => revocations.inRoom(has, room))).toEqual([
    true,
    false,
    false,
  ]);
  expect(revocations.inRoom(subject({ tokenId: 't2' }), 'chat:a')).toBe(false);
});

it.each([
  ['issued before', NOW - 1, true],
  ['issued by a clock that is ahead', NOW + 10_000, true],
  ['issued later', NOW + 10_001, false],
  ['that does not say when it was issued', null, true],
])('a token %s', (_, issuedAt, isCut) => {
  const revocations = start();
  revocations.add({ user: '42' });
  expect(revocations.everywhere(subject({ issuedAt })) !== null).toBe(isCut);
});

it('an entry expires on time, within a second, and leaves nothing', () => {
  const revocations = start();
  revocations.add({ user: '42', keepMs: 60_000 });
  vi.advanceTimersByTime(59_999);
  expect(revocations.size).toBe(1);
  vi.advanceTimersByTime(1001);
  expect([revocations.size, alarms.size]).toEqual([0, 0]);
  expect(revocations.inRoom(subject({}), 'a')).toBe(false);
});

it('reports when the limit is reached, and evicts none for another', () => {
  const revocations = start(2);
  revocations.add({ user: '1' });
  expect(revocations.isFull).toBe(false);
  revocations.add({ user: '2' });
  expect(revocations.isFull).toBe(true);
  revocations.add({ user: '3' });
  expect(revocations.list().map(({ user }) => user)).toEqual(['1', '2', '3']);
});

describe('revocations from another worker', () => {
  it.each(['remove', 'lift'] as const)(
    'sent more than once are one revocation, and %s ends it',
    (end) => {
      const revocations = start();
      const first = revocations.add({ user: '42', before: 1 }, 'x');
      expect(revocations.add({ user: '42', before: 2 }, 'x')).toBe(first);
      revocations.take({ id: 'x', user: '42', before: 3, until: NOW + 1000 });
      expect([revocations.list(), alarms.size]).toEqual([[first], 1]);
      expect(revocations[end]('x')).toBe(true);
      expect(revocations.inRoom(subject({ issuedAt: null }), 'a')).toBe(false);
      expect([revocations.size, alarms.size]).toEqual([0, 0]);
    },
  );

  it('that were lifted meanwhile, also before they arrived, are ignored', () => {
    const revocations = start();
    expect(revocations.lift('x')).toBe(false);
    expect(revocations.add({ user: '42' }, 'x')).toBeNull();
    revocations.take({ id: 'x', user: '42', before: 1, until: NOW + 1000 });
    expect(revocations.size).toBe(0);
    // Only the latest ids are remembered.
    for (let n = 0; n < 1000; n += 1) revocations.lift(`${n}`);
    expect(revocations.add({ user: '42' }, 'x')).not.toBeNull();
  });

  it('are added as they are, even above the limit, until they expire', () => {
    const revocations = start(1);
    revocations.add({ user: '1' });
    const other = { id: 'x', user: '42', room: 'a:*', before: 5, until: NOW + 1000 };
    revocations.take(other);
    revocations.take({ ...other, id: 'y', until: NOW });
    expect(revocations.list().slice(1)).toEqual([other]);
    expect(revocations.inRoom(subject({ issuedAt: null }), 'a:b')).toBe(true);
    vi.advanceTimersByTime(2000);
    expect(revocations.size).toBe(1);
  });
});

describe('an invalid revocation', () => {
  it.each([
    [null, 'The revocation is null'],
    [[], 'The revocation is an array'],
    [undefined, 'The revocation is nothing'],
    [{}, 'Give one of user and token'],
    [{ user: '1', token: '2' }, 'Give one of user and token'],
    [{ user: 42 }, 'user is 42; it must be a string of 1 to 128'],
    [{ user: '' }, 'user is ""'],
    [{ user: 42n }, 'user is 42n; it must be a string'],
    [() => '42', 'The revocation is a function'],
    [{ user: '1', keepMs: Symbol('x') }, 'keepMs is a symbol'],
    [{ token: 'a\nb' }, 'without control characters'],
    [{ user: '1', room: 'a*b' }, 'room is "a*b"; it must be a room, or a prefix'],
    [{ user: '1', before: 'now' }, 'before is "now"; it must be seconds'],
    [{ user: '1', before: -1 }, 'before is -1'],
    [{ user: '1', before: Number.POSITIVE_INFINITY }, 'before is'],
    [{ user: '1', keepMs: 0 }, 'keepMs is 0; it must be a whole number from 1 to'],
    [{ user: '1', keepMs: 1.5 }, 'keepMs is 1.5'],
    [{ user: '1', keepMs: 1e15 }, 'keepMs is 1000000000000000'],
    [{ user: '1', rooms: 'a' }, 'The field "rooms" is unknown; use user'],
  ])('%o is rejected', (asked, says) => {
    expect(() => start().add(asked)).toThrow(
      expect.objectContaining({ code: 'bad_command', message: expect.stringContaining(says) }),
    );
  });
});

it('ban exactly whom a plain list of the entries bans', () => {
  const name = fc.constantFrom('1', '2', '__proto__');
  const room = fc.constantFrom('a', 'a:b', 'b');
  const asked = fc.record({
    who: fc.constantFrom('user', 'token'),
    name,
    room: fc.option(fc.constantFrom('a', 'a:*', '*', 'b'), { nil: undefined }),
    before: fc.constantFrom(0, 100, 200),
  });
  const step = fc.oneof(asked, fc.record({ lift: fc.nat(10) }));
  const whom = fc.record({
    user: name,
    tokenId: fc.option(name),
    issuedAt: fc.option(fc.constantFrom(0, 100_000, 110_000, 200_000, 300_000)),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), whom, room, (steps, who, where) => {
      const revocations = start();
      const list: { id: string; asked: RevocationRequest }[] = [];
      for (const each of steps) {
        if ('lift' in each) {
          const [gone] = list.splice(each.lift, 1);
          if (gone) revocations.remove(gone.id);
          continue;
        }
        const request = { [each.who]: each.name, room: each.room, before: each.before };
        list.push({ id: add(revocations, request).id, asked: request });
      }
      const about = list.filter(
        ({ asked: { user, token, before = 0 } }) =>
          (user === undefined ? token === who.tokenId : user === who.user) &&
          (who.issuedAt === null || who.issuedAt <= before * 1000 + 10_000),
      );
      expect(revocations.everywhere(who) !== null).toBe(
        about.some((each) => each.asked.room === undefined),
      );
      const says = ({ room: pattern }: RevocationRequest) =>
        pattern === undefined ||
        (pattern.endsWith('*') ? where.startsWith(pattern.slice(0, -1)) : where === pattern);
      expect(revocations.inRoom(who, where)).toBe(about.some((each) => says(each.asked)));
      for (const { id } of list) revocations.remove(id);
      expect([revocations.size, alarms.size]).toEqual([0, 0]);
    }),
    { numRuns: 500 },
  );
});

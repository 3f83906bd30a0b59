/** Which connections a revocation cuts, even if one of them fails. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Alarms } from '../../src/auth/alarms.js';
import { Revocations } from '../../src/auth/revocations.js';
import type { Member } from '../../src/room/member.js';
import { type Known, People } from '../../src/session/people.js';
import { onSurvived } from '../../src/survived.js';
import { PlannedError } from '../support/planned-error.js';

let alarms: Alarms;
let told: unknown[];
let ends: () => void;

beforeEach(() => {
  alarms = new Alarms();
  told = [];
  ends = onSurvived((error) => void told.push(error));
});
afterEach(() => {
  alarms.close();
  ends();
});

/** Three connections of one user; the second throws when it is closed or leaves. */
function start(max = 10) {
  const revocations = new Revocations(max, 0, alarms);
  const people = new People(revocations);
  const cut: number[] = [];
  for (const n of [1, 2, 3]) {
    const end = () => {
      cut.push(n);
      if (n === 2) throw new PlannedError('broken');
      return 1;
    };
    const subject = { user: '42', tokenId: null, issuedAt: null };
    const known: Known = {
      member: {} as Member,
      get mayStay() {
        return revocations.everywhere(subject) === null;
      },
      close: end,
      reassess: () => (revocations.inRoom(subject, 'a') ? end() : 0),
    };
    people.add(known, '42', null);
  }
  return { people, revocations, cut };
}

describe('a connection that breaks as it is cut off', () => {
  it.each([
    ['everywhere', (people: People) => people.revoke({ user: '42' }), { closed: 2, left: 0 }],
    [
      'in a room',
      (people: People) => people.revoke({ user: '42', room: 'a' }),
      { closed: 0, left: 2 },
    ],
    ['by an operator', (people: People) => people.close('42', 'forbidden'), 3],
  ])('%s keeps no other', (_, act, comesTo) => {
    const { people, cut } = start();
    const answer = act(people);
    if (typeof comesTo === 'number') expect(answer).toBe(comesTo);
    else expect(answer).toMatchObject(comesTo);
    expect([cut, told]).toEqual([[1, 2, 3], [new PlannedError('broken')]]);
  });
});

it.each([{}, { room: 'a' }])(
  'one revocation too many (%j) cuts the connections, and is not kept',
  (where) => {
    const { people, revocations, cut } = start(1);
    const { id } = people.revoke({ user: '43' });
    expect(() => people.revoke({ user: '42', ...where })).toThrow(
      expect.objectContaining({ code: 'revocations_full' }),
    );
    expect(cut).toEqual([1, 2, 3]);
    expect([revocations.size, alarms.size]).toEqual([1, 1]);
    // A known revocation does not count as one more.
    expect(people.revoke({ user: '43' }, id)).toMatchObject({ id });
    // Once one is lifted there is room for it: another worker asks again.
    expect(() => people.revoke({ user: '42' }, 'x')).toThrow();
    expect(people.lift(id)).toBe(true);
    people.revoke({ user: '42' }, 'x');
    expect(people.isRevoked('x')).toBe(true);
  },
);

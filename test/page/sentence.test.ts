import { expect, it } from 'vitest';
import { sentence } from '../../src/page/sentence.js';

it.each([
  [{ members: 0 }, 'No members are connected.'],
  [{ members: 1, healthyP99: 0.002 }, '1 member, and all keep up: messages arrive within 2 ms.'],
  [{ members: 9, healthyP99: null }, '9 members, and all keep up: nothing is being delivered.'],
  [
    { members: 540, slowMembers: 54, healthyP99: 0.0014 },
    '54 of 540 members are slow. The others do not wait for them: messages arrive within 1.4 ms.',
  ],
  [
    { members: 540, slowMembers: 1, healthyP99: 0.0014 },
    '1 of 540 members is slow. The others do not wait for it: messages arrive within 1.4 ms.',
  ],
  [
    { members: 540, slowMembers: 54, healthyP99: 0.35 },
    '54 of 540 members are slow. The others wait 350 ms too: see the runbook.',
  ],
  [{ members: 5, slowMembers: 5, healthyP99: null }, '5 of 5 members are slow.'],
  [
    { members: 5, slowMembers: 2, healthyP99: null },
    '2 of 5 members are slow. Nothing is being delivered to the others.',
  ],
])('of %j', (numbers: Record<string, number | null>, text) => {
  expect(sentence((series) => numbers[series] ?? null)).toBe(text);
});

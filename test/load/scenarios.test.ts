import { expect, test } from 'vitest';
import { resolvePlan } from '../../src/load/plan.js';
import { asScenario, findScenario, SCENARIOS } from '../../src/load/scenarios.js';
import { parseThreshold } from '../../src/load/verdict/threshold.js';
import { FAKE_SPEC } from '../support/load-fakes.js';

/** The default publish rate limit of a roomcast. */
const PUBLISH_RATE = 100;

test('there are S0 to S15, each found by number and by name', () => {
  expect(Object.keys(SCENARIOS)).toEqual(Array.from({ length: 16 }, (_, i) => `S${i}`));
  for (const [number, scenario] of Object.entries(SCENARIOS)) {
    expect(findScenario(number)).toBe(scenario);
    expect(findScenario(scenario.name)).toBe(scenario);
  }
});

test.each(Object.values(SCENARIOS))(
  '$name makes a plan that a server with defaults can carry',
  (scenario) => {
    const plan = resolvePlan(scenario, FAKE_SPEC, 1, 'abcd');
    for (const text of plan.failIf) parseThreshold(text, plan);
    const publishers = plan.rooms * plan.publishersPerRoom;
    expect((plan.rate ?? 0) / publishers).toBeLessThan(PUBLISH_RATE);
  },
);

test('a kind and a percentage make a scenario', () => {
  expect(findScenario('stalled-10')).toMatchObject({
    name: 'stalled-10',
    cohorts: ['stalled=10%'],
  });
  expect(findScenario('late-5').cohorts).toEqual(['late=5%']);
  for (const wrong of ['healthy-10', 'stalled-0', 'stalled-100', 'S16', 'stalled']) {
    expect(() => findScenario(wrong)).toThrow('expected one of S0 baseline');
  }
});

test('a file has the same keys, as text', () => {
  const own = { members: '20', cohorts: ['stalled=1'], failIf: ['healthy.p99>1s'] };
  expect(asScenario(own, 'own.json')).toEqual(own);
  expect(() => asScenario({ member: '20' }, 'own.json')).toThrow('own.json: no such key member');
  expect(() => asScenario({ members: 20 }, 'own.json')).toThrow('members should be a text');
  expect(() => asScenario({ cohorts: 'stalled=1' }, 'own.json')).toThrow('a list of texts');
  expect(() => asScenario([], 'own.json')).toThrow('expected an object');
});

test('a scenario’s name states its share', () => {
  for (const { name, cohorts } of Object.values(SCENARIOS)) {
    const share = /^([a-z]+)-(\d+)$/.exec(name);
    if (share) expect(cohorts?.[0]).toContain(`${share[1]}=${share[2]}%`);
  }
});

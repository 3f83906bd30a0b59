import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Health } from '../../src/room/health.js';

const LAG = 250;
const RECOVER = 1000;

const standing = (now: number, lagMs: number, isUnderHalf = true) => ({
  now,
  lagMs,
  isUnderHalf,
  lagAfterMs: LAG,
  recoverAfterMs: RECOVER,
});

describe('Health', () => {
  it('is lagging from the first check that finds it late, shedding from the first drop', () => {
    const health = new Health();
    expect(health.check(standing(0, LAG - 1))).toBe(false);
    expect(health.state).toBe('healthy');
    expect(health.check(standing(50, LAG))).toBe(true);
    expect(health.state).toBe('lagging');
    expect(health.check(standing(100, 10 * LAG))).toBe(false);
    expect(health.shed()).toBe(true);
    expect(health.state).toBe('shedding');
    expect(health.shed()).toBe(false);
  });

  it('is not lagging only because a queue is over half full', () => {
    const health = new Health();
    expect(health.check(standing(0, 0, false))).toBe(false);
    expect(health.state).toBe('healthy');
  });

  it('is healthy again if and only if it was calm for long enough', () => {
    const step = fc.record({
      after: fc.constantFrom(0, 50, 200, 999, 1000, 1500),
      what: fc.oneof(
        { weight: 4, arbitrary: fc.constant('calm' as const) },
        { weight: 1, arbitrary: fc.constantFrom('late', 'full', 'shed') },
      ),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
        const health = new Health();
        let now = 0;
        /** Time of the first check in the current run of calm ones. */
        let calmSince: number | null = null;
        for (const { after, what } of steps) {
          now += after;
          const before = health.state;
          const changed =
            what === 'shed'
              ? health.shed()
              : health.check(standing(now, what === 'late' ? LAG : 0, what !== 'full'));
          if (what === 'calm') calmSince ??= now;
          else calmSince = null;
          const { state } = health;
          expect(changed).toBe(state !== before);
          if (what === 'shed') expect(state).toBe('shedding');
          else if (before === 'healthy')
            expect(state).toBe(what === 'late' ? 'lagging' : 'healthy');
          else if (calmSince === null) expect(state).toBe(before);
          // A run that began while healthy proves nothing: it was calm all the time.
          else expect(state).toBe(now - calmSince >= RECOVER ? 'healthy' : before);
          if (before === 'healthy' && state !== 'healthy') calmSince = null;
        }
      }),
    );
  });
});

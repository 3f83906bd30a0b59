import { describe, expect, it } from 'vitest';
import { CLOSE } from '../../src/errors.js';
import { END_REASONS } from '../../src/metrics/catalogue/connections.js';
import { CATALOGUE } from '../../src/metrics/catalogue/index.js';
import type { Metric } from '../../src/metrics/catalogue/metric.js';

const metrics: Metric[] = Object.values(CATALOGUE);

describe('catalogue', () => {
  it('has no duplicate names', () => {
    expect(new Set(metrics.map(({ name }) => name)).size).toBe(metrics.length);
  });

  it.each(metrics.map((metric) => [metric.name, metric] as const))(
    '%s is well formed',
    (name, m) => {
      expect(name).toMatch(/^(roomcast|process|nodejs)_[a-z0-9_]+$/);
      expect(name.endsWith('_total')).toBe(m.type === 'counter');
      expect(m.help).toMatch(/^[A-Z].*\.$/);
      expect(m.buckets !== undefined).toBe(m.type === 'histogram');
      if (m.unit === 'seconds' || m.unit === 'bytes') expect(name).toContain(`_${m.unit}`);
      const { buckets = [] } = m;
      expect(buckets).toEqual([...buckets].sort((a, b) => a - b));
      expect(buckets.length).toBeLessThanOrEqual(16);
      for (const values of Object.values(m.labels)) {
        if (values !== null) expect(new Set(values).size).toBe(values.length);
      }
    },
  );

  it('never uses a room, a member or an address as a label (V9)', () => {
    const labels = new Set(metrics.flatMap((metric) => Object.keys(metric.labels)));
    for (const label of ['room', 'member', 'id', 'address', 'path', 'le']) {
      expect(labels).not.toContain(label);
    }
  });

  it('contains every way for a connection to end', () => {
    expect([...END_REASONS].sort()).toEqual([...Object.keys(CLOSE), 'client', 'lost'].sort());
  });
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ConfigError } from '../../src/errors.js';
import { type Config, defaults } from '../../src/options/config.js';
import { type Option, options } from '../../src/options/index.js';
import { checkReload } from '../../src/options/reload.js';

/** What it says against these options in the place of the defaults. */
function faults(changed: Partial<Config>): ConfigError['errors'] {
  try {
    checkReload(defaults, { ...defaults, ...changed });
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.errors;
    throw error;
  }
}

/** Some other value, right or wrong. */
const another = ({ name }: Option): Partial<Config> => ({ [name]: ['another'] });

test('nothing has changed: nothing is wrong, also with equal lists', () => {
  expect(faults(structuredClone(defaults))).toEqual([]);
});

test('each option that cannot be changed is named, with what it would be and what it stays', () => {
  expect(faults({ port: 9000, publishRate: 7, heartbeatMs: 1 })).toEqual([
    expect.objectContaining({
      code: 'needs_restart',
      option: 'port',
      value: 9000,
      message: 'port 9000 takes a restart: a server that runs keeps 8080',
    }),
    expect.objectContaining({ code: 'needs_restart', option: 'heartbeatMs' }),
  ]);
});

test('whatever changes, just those are named that cannot be', () => {
  const fixed = options.filter((option) => faults(another(option)).length > 0);
  expect(fixed.map(({ name }) => name)).toEqual(expect.arrayContaining(['host', 'tlsCert']));
  expect(fixed.map(({ name }) => name)).not.toContain('policy');
  fc.assert(
    fc.property(fc.uniqueArray(fc.constantFrom(...options)), (changed) => {
      const given = Object.assign({}, ...changed.map(another));
      const named = faults(given).map(({ option }) => option);
      expect(named.sort()).toEqual(
        changed
          .filter((option) => fixed.includes(option))
          .map(({ name }) => name)
          .sort(),
      );
    }),
  );
});

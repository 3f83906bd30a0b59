import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ConfigError } from '../../src/errors.js';
import { type Config, defaults } from '../../src/options/config.js';
import { type Option, options } from '../../src/options/index.js';
import { checkReload } from '../../src/options/reload.js';

/** The error for these options against the defaults. */
function faults(changed: Partial<Config>): ConfigError['errors'] {
  try {
    checkReload(defaults, { ...defaults, ...changed });
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.errors;
    throw error;
  }
}

/** Any other value, valid or not. */
const another = ({ name }: Option): Partial<Config> => ({ [name]: ['another'] });

test('nothing changed: no error, even with equal lists', () => {
  expect(faults(structuredClone(defaults))).toEqual([]);
});

test('names each option that needs a restart, with the new and the current value', () => {
  expect(faults({ port: 9000, publishRate: 7, heartbeatMs: 1 })).toEqual([
    expect.objectContaining({
      code: 'needs_restart',
      option: 'port',
      value: 9000,
      message: 'port 9000 needs a restart: the running server keeps 8080',
    }),
    expect.objectContaining({ code: 'needs_restart', option: 'heartbeatMs' }),
  ]);
});

test('for any change, names exactly the options that need a restart', () => {
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

/** The JSON Schema of the options file: the shipped one is up to date, and agrees with the check. */
import Ajv from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ConfigError } from '../../src/errors.js';
import { checkConfig, defaults } from '../../src/options/config.js';
import { options } from '../../src/options/index.js';
import { CONFIG_SCHEMA } from '../../src/options/json-schema.js';

const fits = new Ajv.default({ strict: true }).compile(CONFIG_SCHEMA);

test('the shipped schema is up to date', async () => {
  const shipped = new URL('../../docs/config.schema.json', import.meta.url).pathname;
  await expect(`${JSON.stringify(CONFIG_SCHEMA, null, 2)}\n`).toMatchFileSnapshot(shipped);
});

/** Whether the check finds no fault in a single option. */
function isAllowed(given: object): boolean {
  try {
    checkConfig(given);
    return true;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.errors.every(({ code }) => code === 'unfit_options');
  }
}

test('contains the defaults, and options only', () => {
  expect(fits({ ...defaults, $schema: 'x', apiKeyFile: 'key' })).toBe(true);
  expect(fits({ prot: 1 })).toBe(false);
  expect(fits({ namespaces: { chat: { port: 1 } } })).toBe(false);
});

test('accepts and rejects the same values as the check', () => {
  const value = fc.oneof(
    fc.integer({ min: -2, max: 100_000 }),
    fc.constantFrom('', 'x', true, null, 1.5, [], ['x'], [1], {}, 'drop-oldest', 'info', 'text'),
    fc.record({ chat: fc.record({ queueMessages: fc.integer({ min: -1, max: 3 }) }) }),
  );
  // For these the schema is less strict than the check.
  const inWords = new Set([
    'trustProxy',
    'origin',
    'roomNamePattern',
    'jwksUrl',
    'redisUrl',
    'sockjsBaseUrl',
  ]);
  fc.assert(
    fc.property(fc.constantFrom(...options), value, ({ name }, given) => {
      const [schema, check] = [fits({ [name]: given }), isAllowed({ [name]: given })];
      if (inWords.has(name)) expect(schema || !check).toBe(true);
      else expect(schema).toBe(check);
    }),
    { numRuns: 2000 },
  );
});

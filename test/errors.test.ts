import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { createLog } from '../src/cli/log.js';
import { ConfigError, Refusal } from '../src/errors.js';

it('a Refusal is an Error without a captured stack; other errors keep theirs', () => {
  const refusal = new Refusal('bad_json', 'The frame is not JSON.');
  expect(refusal).toBeInstanceOf(Error);
  expect(refusal.stack).not.toContain('\n');
  expect(String(refusal)).toBe('Refusal: The frame is not JSON.');
  expect(new Error('a mistake').stack).toContain('\n');
});

it('a ConfigError can be logged as JSON, with one fault or several', () => {
  const about = { code: 'bad_option', option: 'tlsCert', value: 'a', allowed: 'b' } as const;
  const one = new ConfigError('tlsCert is wrong', about);
  const all = ConfigError.of([one, new ConfigError('port is wrong')]);
  const faults = [
    { ...about, message: 'tlsCert is wrong' },
    { code: 'bad_option', option: null, value: undefined, allowed: null, message: 'port is wrong' },
  ];
  expect([one.errors, all.errors]).toEqual([faults.slice(0, 1), faults]);
  const out = new PassThrough();
  const log = createLog({ logLevel: 'info', logFormat: 'json' }, out, new PassThrough());
  for (const err of [one, all]) {
    log.error({ err }, 'refused');
    expect(JSON.parse(String(out.read())).err.message).toBe(err.message);
  }
});

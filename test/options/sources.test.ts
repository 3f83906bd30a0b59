/** Files of options: all faults at once, with positions; YAML; files with secrets. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { ConfigError } from '../../src/errors.js';
import { checkConfig, defaults } from '../../src/options/config.js';
import { loadConfig, type Sources } from '../../src/options/sources.js';

const directory = mkdtempSync(join(tmpdir(), 'roomcast-sources-'));
afterAll(() => rmSync(directory, { recursive: true }));

function fileOf(name: string, content: string): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
}

function refusal(sources: Sources): ConfigError {
  try {
    loadConfig(sources);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error(`accepted: ${JSON.stringify(sources)}`);
}

const WRONG = {
  'room.json': `{
  "prot": 1,
  "port": "x",
  "origin": ["https://a.example",
    "b.example"],
  "namespaces": {
    "chat": {"policy": "drop",
      "queueMesages": 5},
    "a:b": {}
  },
  "drainMs": 9000
}`,
  'room.yaml': `# of the staging machine
prot: 1
port: x
origin: [https://a.example,
  b.example]
namespaces:
  chat: {policy: drop,
     queueMesages: 5}
  a:b: {}
drainMs: 9000
`,
};

describe('all faults are reported at once, with positions', () => {
  test.each([
    [
      'room.json',
      ['2, column 3', '3, column 11', '5, column 5', '7, column 24', '8, column 7', '9, column 5'],
      '11, column 14',
    ],
    [
      'room.yaml',
      ['2, column 1', '3, column 7', '5, column 3', '7, column 18', '8, column 6', '9, column 3'],
      '10, column 10',
    ],
  ] as const)('%s', (name, places, drain) => {
    const file = fileOf(name, WRONG[name]);
    const error = refusal({ file, env: { ROOMCAST_POLICY: 'wait' }, flags: { lagAfterMs: '0' } });
    const at = (n: number) => `in ${file} at line ${places[n]}`;
    expect(error.message.split('\n')).toEqual([
      `"prot" ${at(0)} is not an option: did you mean port?`,
      `port ${at(1)} "x" is not allowed: give a whole number, 0 to 65535 (0 = any free port)`,
      expect.stringMatching(`^origin ${at(2)} "b.example" is not allowed: give origins`),
      expect.stringMatching(`^namespaces chat.policy ${at(3)} "drop" is not allowed: give one of`),
      `namespaces ${at(4)} "chat.queueMesages" is not an option of a namespace: did you mean queueMessages?`,
      expect.stringMatching(`^namespaces ${at(5)} "a:b" is not a name: give 1 to 100`),
      expect.stringMatching('^ROOMCAST_POLICY "wait" is not allowed'),
      expect.stringMatching('^--lag-after-ms 0 is not allowed: give a whole number, 1 to'),
      `--shutdown-grace-ms 8000 (the default) is not allowed with drainMs in ${file} at line ${drain} 9000: members are closed within the grace, give at least 9000`,
    ]);
    expect(error).toMatchObject({ code: 'unknown_option', option: 'prot', allowed: 'port' });
    expect(error.errors.map(({ code }) => code)).toEqual([
      'unknown_option',
      'bad_option',
      'bad_option',
      'bad_option',
      'unknown_option',
      'bad_option',
      'bad_option',
      'bad_option',
      'unfit_options',
    ]);
  });

  test('for a program too', () => {
    const given = { port: 'x', polcy: 1 } as object;
    expect(() => checkConfig(given)).toThrow(
      'port "x" is not allowed: give a whole number, 0 to 65535 (0 = any free port)\n"polcy" is not an option: did you mean policy?',
    );
  });

  test('an unreadable file does not hide other faults', () => {
    const { errors } = refusal({ file: join(directory, 'missing'), flags: { port: 'x' } });
    expect(errors.map(({ code }) => code)).toEqual(['bad_config_file', 'bad_option']);
  });
});

describe('YAML', () => {
  const values = fc.record(
    {
      port: fc.integer({ min: 0, max: 65_535 }),
      metrics: fc.boolean(),
      policy: fc.constantFrom('drop-oldest', 'disconnect'),
      apiKey: fc.array(fc.stringMatching(/^[!-+.-~-]{1,20}$/), { maxLength: 3 }),
      namespaces: fc.dictionary(
        fc.stringMatching(/^[a-z]{1,8}$/).filter((name) => name !== 'default'),
        fc.record({ queueMessages: fc.integer({ min: 1, max: 9 }) }),
        { maxKeys: 3 },
      ),
    },
    { requiredKeys: [] },
  );

  test('gives the same options as JSON, and JSON is YAML', () => {
    fc.assert(
      fc.property(values, (options) => {
        const json = loadConfig({ file: fileOf('same.json', JSON.stringify(options)) });
        expect(loadConfig({ file: fileOf('same.yml', stringify(options)) })).toEqual(json);
        expect(loadConfig({ file: fileOf('same.YAML', JSON.stringify(options)) })).toEqual(json);
      }),
      { numRuns: 50 },
    );
  });

  test.each([
    ['port: 1\nport: 2', 'has the same key twice at line 2, column 1'],
    ['port: [1', 'is not valid YAML at line 1'],
    ['a: &x [*x, *x]', 'is not an option'],
    ['- port', 'is not an object'],
    ['apiKey: *hunter2', 'has an alias without a target'],
    ['# nothing', 'is not an object'],
    ['port: 8080\n---\nport: 1', 'is not valid YAML at line 2'],
  ])('%j is rejected and not quoted', (text, says) => {
    const { message } = refusal({ file: fileOf('bad.yaml', text) });
    expect(message).toContain(says);
    expect(message).not.toContain('hunter2');
  });
});

test('a file may name its schema for editors', () => {
  const file = fileOf('schema.json', '{"$schema": "./config.schema.json", "port": 1}');
  expect(loadConfig({ file })).toEqual({ ...defaults, port: 1 });
});

describe('a secret may be in a file of its own', () => {
  const key = fileOf('key', 'hunter2hunter2\n');

  test('named by a flag, a variable, a file, a program', () => {
    mkdirSync(join(directory, 'below'), { recursive: true });
    const apiKey = ['hunter2hunter2'];
    expect(loadConfig({ flags: { apiKeyFile: key } })).toMatchObject({ apiKey });
    expect(loadConfig({ env: { ROOMCAST_API_KEY_FILE: key } })).toMatchObject({ apiKey });
    // Relative to the file that names it, whatever the working directory.
    const file = fileOf('below/options.yaml', 'apiKeyFile: ../key\n');
    expect(loadConfig({ file })).toMatchObject({ apiKey });
    expect(checkConfig({ apiKeyFile: key })).toMatchObject({ apiKey });
  });

  test('several secrets, one per line; a stronger source overrides it', () => {
    const two = fileOf('two', 'one\ntwo\r\n');
    expect(loadConfig({ flags: { apiKeyFile: two } }).apiKey).toEqual(['one', 'two']);
    const sources = { env: { ROOMCAST_API_KEY_FILE: two }, flags: { apiKey: 'three' } };
    expect(loadConfig(sources).apiKey).toEqual(['three']);
  });

  test.each([
    ['/no/such/file', '"/no/such/file" cannot be read (ENOENT): give the path of a file with keys'],
    [fileOf('spaced', 'hunter2 hunter2'), '(not shown) is not allowed: give keys of 1 to 256'],
    [fileOf('empty', '\n'), 'is empty: give the path of a file with keys'],
  ])('%s', (path, says) => {
    const env = { ROOMCAST_API_KEY_FILE: path };
    const { message } = refusal({ env });
    expect(message.startsWith('ROOMCAST_API_KEY_FILE ')).toBe(true);
    expect(message).toContain(says);
    expect(message).not.toContain('hunter2');
  });

  test('not together with the secret itself', () => {
    const env = { ROOMCAST_API_KEY_FILE: key, ROOMCAST_API_KEY: 'hunter2' };
    expect(refusal({ env }).message).toMatch(
      /^ROOMCAST_API_KEY(_FILE)? is not allowed with ROOMCAST_API_KEY(_FILE)?: give one of them$/,
    );
  });
});

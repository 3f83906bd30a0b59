/** V14: every source of options rejects the same values, with the same code and text. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { serveCommand } from '../src/cli/serve.js';
import { createRoomcast } from '../src/compose.js';
import { ConfigError } from '../src/errors.js';
import type { Log } from '../src/log.js';
import { type Config, checkConfig, defaults } from '../src/options/config.js';
import { options } from '../src/options/index.js';
import { loadConfig } from '../src/options/sources.js';
import { warningsOf } from '../src/options/together.js';
import { serve } from '../src/serve.js';
import { startTestServer } from '../src/testing.js';

const directory = mkdtempSync(join(tmpdir(), 'roomcast-entrances-'));
const file = join(directory, 'options.json');
afterAll(() => rmSync(directory, { recursive: true }));

type Given = Record<string, unknown>;

const textOf = (value: unknown): string =>
  Array.isArray(value)
    ? value.join(',')
    : typeof value === 'string'
      ? value
      : JSON.stringify(value);
const optionOf = (name: string) => options.find((each) => each.name === name);

/** Every source of options, and its notation for an option. */
const ENTRANCES: Record<
  string,
  { enter: (given: Given) => unknown; label: (name: string) => string }
> = {
  'a flag': {
    enter: (given) =>
      serveCommand()
        .exitOverride()
        .parseAsync(
          Object.entries(given).flatMap(([name, value]) => [
            `--${optionOf(name)?.flag}`,
            textOf(value),
          ]),
          { from: 'user' },
        ),
    label: (name) => `--${optionOf(name)?.flag}`,
  },
  'a variable': {
    enter: (given) =>
      loadConfig({
        env: Object.fromEntries(
          Object.entries(given).map(([name, value]) => [optionOf(name)?.env, textOf(value)]),
        ),
      }),
    label: (name) => optionOf(name)?.env ?? name,
  },
  'a file': {
    enter: (given) => {
      writeFileSync(file, JSON.stringify(given));
      return loadConfig({ file });
    },
    label: (name) => `${name} in ${file}`,
  },
  createRoomcast: { enter: (given) => createRoomcast(given), label: (name) => name },
  serve: { enter: (given) => serve(given), label: (name) => name },
  startTestServer: {
    enter: (given) => startTestServer(given as Partial<Config>),
    label: (name) => name,
  },
};

async function refusal(entrance: string, given: Given): Promise<ConfigError> {
  try {
    await ENTRANCES[entrance]?.enter(given);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error(`${entrance} took ${JSON.stringify(given)}`);
}

/** The part of an error that does not depend on the source: option names instead of flags and so on. */
function common(error: ConfigError, entrance: string, names: string[]): string {
  const { label } = ENTRANCES[entrance]!;
  return names
    .reduce((text, name) => text.replaceAll(label(name), name), error.message)
    .replace(/ (in \S+\.json )?at line 1, column \d+/g, '')
    .replace(/--([a-z-]+)(?= \d)/g, (_, flag) => options.find((each) => each.flag === flag)!.name);
}

/** For each integer option, a value below and one above its range. */
const beyond = options
  .filter(({ schema }) => schema.type === 'integer')
  .flatMap(({ name, schema }) => [
    { [name]: (schema.minimum as number) - 1 },
    { [name]: (schema.maximum as number) + 1 },
    { [name]: 'soon' },
  ]);

const BAD: [given: Given, code: string, says: string][] = [
  ...beyond.map((given): [Given, string, string] => [given, 'bad_option', 'give a whole number, ']),
  [{ policy: 'drop-oldst' }, 'bad_option', 'did you mean drop-oldest?'],
  [{ policy: 'Drop-Oldest' }, 'bad_option', 'did you mean drop-oldest?'],
  [{ logLevel: 'warning' }, 'bad_option', 'did you mean warn?'],
  [{ lockDetector: 'on' }, 'bad_option', 'give one of off, watch, strict'],
  [{ metrics: 'yes' }, 'bad_option', 'give true or false'],
  [{ host: 'a b' }, 'bad_option', 'give an address or a host name'],
  [{ origin: ['https://app.example.com/'] }, 'bad_option', 'did you mean https://app.example.com?'],
  [{ origin: ['https://App.example.com'] }, 'bad_option', 'did you mean https://app.example.com?'],
  [{ origin: ['https://a.example:443'] }, 'bad_option', 'did you mean https://a.example?'],
  [{ origin: ['wss://a.example'] }, 'bad_option', 'did you mean https://a.example?'],
  [{ sockjsBaseUrl: 'node1' }, 'bad_option', 'give an address like https://node1.example.com/sock'],
  [{ sockjsBaseUrl: 'wss://a.example' }, 'bad_option', 'did you mean https://a.example/sockjs?'],
  [{ sockjsBaseUrl: 'https://a.example/x/sockjs/' }, 'bad_option', 'https://a.example/x/sockjs?'],
  [{ sockjsBaseUrl: 'https://a.example/sockjs?a=1' }, 'bad_option', 'https://a.example/sockjs?'],
  [
    { redisUrl: 'redis+sentinel://a.example' },
    'bad_option',
    'redis+sentinel://a:26379,b:26379/name',
  ],
  [{ redisUrl: 'redis+sentinel://a:b:c/name' }, 'bad_option', 'redis+sentinel://a:26379,b:26379'],
  [{ redisUrl: 'redis://a.example/1' }, 'bad_option', 'without a database number other than 0'],
  [{ origin: ['https://*.example.com'] }, 'bad_option', 'give origins, like'],
  [{ origin: ['file://x'] }, 'bad_option', 'give origins, like'],
  [
    { origin: ['https://bücher.example'] },
    'bad_option',
    'did you mean https://xn--bcher-kva.example?',
  ],
  [{ trustProxy: ['10.1.2.3/8'] }, 'bad_option', 'did you mean 10.0.0.0/8?'],
  [{ trustProxy: ['fd00:1::5/16'] }, 'bad_option', 'did you mean fd00::/16?'],
  [{ trustProxy: ['::ffff:10.0.0.0/104'] }, 'bad_option', 'did you mean 10.0.0.0/8?'],
  [{ trustProxy: ['::ffff:10.0.0.1'] }, 'bad_option', 'did you mean 10.0.0.1?'],
  [{ trustProxy: ['localhost'] }, 'bad_option', 'give addresses or CIDRs'],
  [{ apiKey: ['with a space'] }, 'bad_option', '(not shown) is not allowed'],
  [{ roomNamePattern: '[' }, 'bad_option', 'give a JavaScript regular expression'],
  [{ roomNamePattern: 'a)|(b' }, 'bad_option', 'give a JavaScript regular expression'],
  [{ roomNamePattern: '[\\w-.]+' }, 'bad_option', 'give a JavaScript regular expression'],
  [{ namespaces: { chat: { policy: 'x' } } }, 'bad_option', 'namespaces chat.policy "x"'],
  [{ namespaces: { chat: { queueMesages: 5 } } }, 'unknown_option', 'did you mean queueMessages?'],
  [{ namespaces: { 'a:b': {} } }, 'bad_option', '"a:b" is not a name'],
  [{ namespaces: { bücher: {} } }, 'unfit_options', 'no room\'s name can begin with "bücher:"'],
  [{ namespaces: { 'a b*': {} } }, 'bad_option', 'is not a name'],
  [
    { roomNamePattern: '^[a-z:]+$', namespaces: { Chat: {} } },
    'unfit_options',
    'no room\'s name can begin with "Chat:"',
  ],
  [{ maxRoomNameLength: 4, namespaces: { chat: {} } }, 'unfit_options', 'can begin with "chat:"'],
  [{ queueBytes: 65_536 }, 'unfit_options', 'with its envelope, give at least 68136'],
  [{ namespaces: { chat: { queueBytes: 2000 } } }, 'unfit_options', 'give at least 68136'],
  [{ maxCommandBytes: 128 }, 'unfit_options', 'a join of such a room has to fit'],
  [{ lagAfterMs: 40_000 }, 'unfit_options', 'a member lags before it stalls'],
];

describe.each(Object.keys(ENTRANCES).slice(1))(
  '%s rejects bad options as a flag does',
  (entrance) => {
    test.each(BAD)('%j', async (given, code, says) => {
      const names = Object.keys(given);
      const error = await refusal(entrance, given);
      expect(error).toMatchObject({ code });
      const text = common(error, entrance, names);
      expect(text).toContain(says);
      expect(text).not.toMatch(/(^| )--|ROOMCAST_|\.json/);
      const flag = await refusal('a flag', given);
      expect(text).toBe(common(flag, 'a flag', names));
      const { option, value, allowed } = flag;
      expect(error).toMatchObject({ option, value, allowed });
    });
  },
);

/** Option names, correct and misspelt. */
const anyName = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...options.map(({ name }) => String(name))) },
  fc.constantFrom(...options.map(({ name }) => name.slice(0, -1))),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }),
);
const anyValue = fc.oneof(
  fc.integer({ min: -2, max: 2 ** 40 }),
  fc.double(),
  fc.boolean(),
  fc.string({ unit: 'binary' }),
  fc.constantFrom(null, [], {}, 'drop-oldest', '127.0.0.1'),
  fc.array(fc.oneof(fc.string(), fc.integer())),
  fc.dictionary(fc.string(), fc.oneof(fc.integer(), fc.object({ maxDepth: 1 }))),
);
const anyOptions = fc
  .dictionary(anyName, anyValue, { minKeys: 1, maxKeys: 4 })
  // Restricted to values that a file can contain; `log`, `broker` and `events` are tested elsewhere.
  .map((given) => JSON.parse(JSON.stringify(given)) as Given)
  .filter(
    (given) => !Object.keys(given).some((name) => ['log', 'broker', 'events'].includes(name)),
  );

/** Faults of single values; null if there are none. Contradictions are left out: they depend on the defaults. */
async function faultsAt(entrance: string, given: Given): Promise<object[] | null> {
  try {
    // Starts nothing: a value that one source accepts, all accept.
    checkConfig(given);
  } catch {
    const { errors } = await refusal(entrance, given);
    return errors
      .filter(({ code }) => code !== 'unfit_options')
      .map(({ code, option, value, allowed }) => ({ code, option, value, allowed }));
  }
  return null;
}

test('for any value, each program API and a file report the same faults', async () => {
  let bad = 0;
  await fc.assert(
    fc.asyncProperty(anyOptions, async (given) => {
      const expected = await faultsAt('createRoomcast', given);
      fc.pre(expected !== null && expected.length > 0);
      bad += 1;
      for (const fault of expected as { option: string; code: string; allowed: unknown }[]) {
        expect(Object.keys(given)).toContainEqual(
          fault.code === 'unknown_option' && !Object.hasOwn(given, fault.option)
            ? 'namespaces'
            : fault.option,
        );
        if (fault.code === 'bad_option') expect(fault.allowed).toMatch(/\w/);
      }
      for (const entrance of ['serve', 'startTestServer', 'a file']) {
        expect([entrance, await faultsAt(entrance, given)]).toEqual([entrance, expected]);
      }
    }),
    { numRuns: 100 },
  );
  expect(bad).toBeGreaterThan(50);
});

test('for any text, a variable and a flag report the same faults', () => {
  const faults = (sources: object) => {
    try {
      loadConfig({ ...sources, warn: () => {} });
      return [];
    } catch (error) {
      return (error as ConfigError).errors.map(({ code, option, value, allowed }) => ({
        code,
        option,
        value,
        allowed,
      }));
    }
  };
  const text = fc.oneof(fc.string({ minLength: 1 }), fc.integer().map(String), fc.json());
  fc.assert(
    fc.property(fc.constantFrom(...options), text, ({ name, env }, given) => {
      expect(faults({ env: { [env]: given } })).toEqual(faults({ flags: { [name]: given } }));
    }),
    { numRuns: 2000 },
  );
});

describe.each(['createRoomcast', 'serve', 'startTestServer', 'a file'])(
  '%s rejects',
  (entrance) => {
    test('an unknown option, and suggests a known one', async () => {
      const error = await refusal(entrance, { queueMesages: 5 });
      expect(error).toMatchObject({ code: 'unknown_option', allowed: 'queueMessages' });
      expect(error.message).toMatch(
        /^"queueMesages"( in .*)? is not an option: did you mean queueM/,
      );
      await expect(refusal(entrance, { Port: 5 })).resolves.toMatchObject({ allowed: 'port' });
      await expect(refusal(entrance, { frobnicate: 5 })).resolves.toMatchObject({ allowed: null });
    });

    test.each([
      [{ port: '8080' }],
      [{ metrics: 'true' }],
      [{ apiKey: 'k' }],
      [{ origin: 'https://a.example' }],
      [{ queueMessages: null }],
      [{ namespaces: [] }],
      [{ host: 5 }],
    ])('a value of the wrong type: %j', async (given) => {
      await expect(refusal(entrance, given)).resolves.toMatchObject({ code: 'bad_option' });
    });
  },
);

describe('a program', () => {
  test.each([[null], [5], ['may not pass %j as options'], [[]]])(
    'may not give %j for options',
    (given) => {
      const options = given as unknown as Partial<Config>;
      expect(() => createRoomcast(options)).toThrow(ConfigError);
    },
  );

  test.each([
    ['NaN', Number.NaN],
    ['a function', () => 1],
    ['a BigInt', 1n],
    ['a symbol', Symbol('x')],
  ])('may not pass %s as a number', (_, value) => {
    const given = { port: value } as unknown as Partial<Config>;
    expect(() => createRoomcast(given)).toThrow(/^port .* is not allowed: give a whole number/);
  });

  test('may pass nothing, undefined, or an already checked configuration', async () => {
    await createRoomcast().close();
    expect(checkConfig({ port: undefined } as unknown as Partial<Config>)).toEqual(defaults);
    expect(checkConfig(defaults)).toEqual(defaults);
  });

  test('passes a copy, and cannot change the options in use', () => {
    const origin = ['https://a.example'];
    const config = checkConfig({ origin });
    origin.push('https://b.example');
    expect(config.origin).toEqual(['https://a.example']);
    expect(() => (config.origin as string[]).push('x')).toThrow(TypeError);
    expect(() => Object.assign(config, { port: 1 })).toThrow(TypeError);
  });
});

describe('an option that is allowed but has no effect is logged as a warning', () => {
  const lines = (options: Partial<Config>) => {
    const told: string[] = [];
    const tell = (_: object, text: string) => told.push(text);
    const log: Log = { info: tell, warn: tell, error: tell };
    void createRoomcast({ ...options, log }).close();
    return told;
  };

  test.each<[Partial<Config>, string]>([
    [
      { roomNamePattern: 'x-\\d{4}', namespaces: { chat: {} } },
      'namespaces "chat" may match no room',
    ],
    [{ disconnectGraceMs: 9 }, 'disconnectGraceMs has no effect'],
    [
      { namespaces: { chat: { disconnectGraceMs: 9 } } },
      'namespaces "chat" disconnectGraceMs has no effect',
    ],
  ])('%j', (given, says) => {
    expect(warningsOf(checkConfig(given))).toEqual([expect.stringContaining(says)]);
    expect(lines(given)).toEqual([expect.stringContaining(says)]);
    expect(lines({ ...given, logLevel: 'error' })).toEqual([]);
  });

  test.each<Partial<Config>>([
    {},
    { namespaces: { chat: { disconnectGraceMs: 9, policy: 'disconnect' } } },
    { disconnectGraceMs: 9, namespaces: { chat: { policy: 'disconnect' } } },
    { roomNamePattern: '\\p{L}+:\\p{L}+', namespaces: { bücher: {} } },
    { roomNamePattern: 'chat:[0-9a-f-]{36}', namespaces: { chat: {} } },
  ])('%j is not', (given) => {
    expect(lines(given)).toEqual([]);
  });
});

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { ConfigError } from '../../src/errors.js';
import { type Config, defaults, trustedProxies } from '../../src/options/config.js';
import { historyPolicy } from '../../src/options/history.js';
import { type Option, options } from '../../src/options/index.js';
import {
  histories,
  namespaceOf,
  namespaces,
  policyFor,
  settingsFor,
} from '../../src/options/namespaces.js';
import { loadConfig, type Sources } from '../../src/options/sources.js';

const directory = mkdtempSync(join(tmpdir(), 'roomcast-config-'));
afterAll(() => rmSync(directory, { recursive: true }));

let files = 0;
function fileOf(text: string): string {
  files += 1;
  const path = join(directory, `${files}.json`);
  writeFileSync(path, text);
  return path;
}

/** The message of the ConfigError; any other result fails the test. */
function refusal(sources: Sources): string {
  try {
    loadConfig(sources);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error(`accepted: ${JSON.stringify(sources)}`);
}

/** One option set by each source, with the name that an error must give it. */
function ways({ name, flag, env }: Option, value: unknown): [Sources, label: string][] {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const file = fileOf(JSON.stringify({ [name]: value }));
  return [
    [{ flags: { [name]: text } }, `--${flag} `],
    [{ env: { [env]: text } }, `${env} `],
    [{ file }, `${name} in ${file} at line 1, column `],
  ];
}

const integers = options.filter(({ schema }) => schema.type === 'integer');

describe('defaults', () => {
  test('are the result of an empty command line', () => {
    expect(loadConfig({})).toEqual(defaults);
    expect(defaults).toMatchObject({ host: '127.0.0.1', port: 8080, policy: 'drop-oldest' });
  });

  test('are allowed values of their options', () => {
    const file = fileOf(JSON.stringify(defaults));
    expect(loadConfig({ file })).toEqual(defaults);
  });

  test('cannot be changed', () => {
    const config = loadConfig({ flags: { namespaces: '{"chat":{"queueMessages":1}}' } });
    expect(() => Object.assign(config, { port: 1 })).toThrow(TypeError);
    expect(() => Object.assign(config.namespaces['chat']!, { queueMessages: 2 })).toThrow(
      TypeError,
    );
    expect(() => (defaults.origin as string[]).push('x')).toThrow(TypeError);
  });
});

describe('sources', () => {
  test('a flag overrides a variable, that the file, that the default', () => {
    // Options that are not checked against others.
    const free = ['port', 'maxConnections', 'publishRate', 'heartbeatMs', 'maxJsonDepth'];
    const name = fc.constantFrom(...integers.filter((each) => free.includes(each.name)));
    const value = fc.option(fc.integer({ min: 100, max: 1000 }), { nil: undefined });
    fc.assert(
      fc.property(name, value, value, value, (option, flag, variable, inFile) => {
        const config = loadConfig({
          flags: flag === undefined ? {} : { [option.name]: String(flag) },
          env: variable === undefined ? {} : { [option.env]: String(variable) },
          file:
            inFile === undefined ? undefined : fileOf(JSON.stringify({ [option.name]: inFile })),
        });
        const expected = flag ?? variable ?? inFile ?? defaults[option.name];
        expect(config).toEqual({ ...defaults, [option.name]: expected });
      }),
      { numRuns: 50 },
    );
  });

  test('a value is checked even if a stronger source overrides it', () => {
    const sources = { flags: { port: '1' }, env: { ROOMCAST_PORT: 'x' } };
    expect(refusal(sources)).toContain('ROOMCAST_PORT "x"');
  });

  test('texts are converted to values', () => {
    const config = loadConfig({
      flags: { origin: 'https://a.example, null,http://b.example:81', metrics: 'false' },
      env: {
        ROOMCAST_TRUST_PROXY: '10.0.0.0/8,::1',
        ROOMCAST_API_KEY: 'one,two',
        ROOMCAST_NAMESPACES: '{"chat":{"policy":"disconnect"}}',
        ROOMCAST_LOG_LEVEL: '',
        OTHER: 'x',
      },
    });
    expect(config).toEqual({
      ...defaults,
      origin: ['https://a.example', 'null', 'http://b.example:81'],
      metrics: false,
      trustProxy: ['10.0.0.0/8', '::1'],
      apiKey: ['one', 'two'],
      namespaces: { chat: { policy: 'disconnect' } },
    });
  });

  test('ROOMCAST_CONFIG names the file, --config overrides it', () => {
    const one = fileOf('{"port":1}');
    const two = fileOf('{"port":2}');
    expect(loadConfig({ env: { ROOMCAST_CONFIG: one } }).port).toBe(1);
    expect(loadConfig({ env: { ROOMCAST_CONFIG: one }, file: two }).port).toBe(2);
    expect(loadConfig({ env: { ROOMCAST_CONFIG: '' } }).port).toBe(8080);
  });

  test('an unknown name is rejected as a flag and in a file', () => {
    const file = fileOf('{"prot":1}');
    expect(refusal({ flags: { prot: '1' } })).toContain('prot is not an option');
    expect(refusal({ file })).toContain(`"prot" in ${file} at line 1, column 2 is not an option`);
    expect(refusal({ file: fileOf('{"__proto__":{"port":1}}') })).toContain('not an option');
  });

  test.each(['ROOMCAST', 'ROOMCAST_METRICS', 'ROOMCAST_LOG_LEVEL'])(
    'variables that an orchestrator sets for the service %s are ignored without a warning',
    (service) => {
      const env = {
        [`${service}_SERVICE_HOST`]: '10.0.0.1',
        [`${service}_SERVICE_PORT`]: '8080',
        [`${service}_SERVICE_PORT_HTTP`]: '8080',
        [`${service}_PORT`]: 'tcp://10.0.0.1:8080',
        [`${service}_PORT_8080_TCP`]: 'tcp://10.0.0.1:8080',
        [`${service}_PORT_8080_TCP_PROTO`]: 'tcp',
        [`${service}_PORT_8080_TCP_PORT`]: '8080',
        [`${service}_PORT_8080_TCP_ADDR`]: '10.0.0.1',
        [`${service}_PORT_53_UDP`]: 'udp://10.0.0.1:53',
      };
      const warnings: string[] = [];
      expect(loadConfig({ env, warn: (text) => warnings.push(text) })).toEqual(defaults);
      expect(warnings).toEqual([]);
    },
  );

  test('an unknown variable has no effect, and the warning does not show its value', () => {
    const warnings: string[] = [];
    const env = { ROOMCAST_PROT: '1', ROOMCAST_API_KEYS: 'hunter2', ROOMCAST_V: '' };
    expect(loadConfig({ env, warn: (text) => warnings.push(text) })).toEqual(defaults);
    expect(warnings).toEqual([
      'ROOMCAST_PROT is not an option and has no effect: did you mean ROOMCAST_PORT?',
      'ROOMCAST_API_KEYS is not an option and has no effect: did you mean ROOMCAST_API_KEY?',
    ]);
  });

  test('a value that looks like the port of another service is rejected where it cannot be one', () => {
    expect(refusal({ env: { ROOMCAST_HOST: 'tcp://x y' } })).toContain('ROOMCAST_HOST "tcp://x y"');
  });

  test('a single value where a file needs an array is told so', () => {
    expect(refusal({ file: fileOf('{"trustProxy":"10.0.0.0/8"}') })).toMatch(
      /"10\.0\.0\.0\/8" is not allowed: give an array of addresses or CIDRs, like 10\.0\.0\.0\/8$/,
    );
  });

  test('a file that cannot be used is named, with the reason', () => {
    const missing = join(directory, 'missing.json');
    expect(refusal({ file: missing })).toContain(`--config "${missing}" cannot be read (ENOENT)`);
    expect(refusal({ file: directory })).toContain('cannot be read (EISDIR)');
    expect(refusal({ file: fileOf('{"port":') })).toContain('is not valid JSON');
    for (const text of ['[]', '1', 'null', '"port"']) {
      expect(refusal({ file: fileOf(text) })).toContain('is not an object');
    }
  });
});

describe('errors name the option, the value and the allowed values', () => {
  test.each(integers)('$name is a whole number in its range', (option) => {
    const { minimum = 0, maximum = 0 } = option.schema;
    for (const value of [
      minimum - 1,
      maximum + 1,
      minimum + 0.5,
      'abc',
      '0x10',
      '1e3',
      ' ',
      true,
    ]) {
      for (const [sources, label] of ways(option, value)) {
        const message = refusal(sources);
        expect(message.startsWith(label)).toBe(true);
        expect(message).toContain(String(value));
        expect(message).toContain(`give a whole number, ${minimum} to ${maximum}`);
      }
    }
  });

  test.each(integers)('$name may be either end of its range', (option) => {
    for (const value of [option.schema.minimum, option.schema.maximum]) {
      for (const [sources] of ways(option, value)) {
        try {
          expect(loadConfig(sources)[option.name]).toBe(value);
        } catch (error) {
          // It may contradict another option; its own range must not be the fault.
          expect((error as Error).message).toContain(' is not allowed with ');
        }
      }
    }
  });

  const wrong: [name: keyof Config, value: unknown, allowed: string][] = [
    ['host', 'a b', 'an address or a host name'],
    ['logLevel', 'loud', 'one of fatal, error, warn, info, debug, trace, silent'],
    ['policy', 'drop', 'one of drop-oldest, drop-newest, latest-by-key, disconnect'],
    ['metrics', 'yes', 'true or false'],
    ['roomNamePattern', '(', 'a JavaScript regular expression'],
    ['trustProxy', ['localhost'], 'addresses or CIDRs'],
    ['trustProxy', ['10.0.0.0/33'], 'addresses or CIDRs'],
    ['trustProxy', ['10.0.0.0/'], 'addresses or CIDRs'],
    ['trustProxy', ['10.0.0.0/8/8'], 'addresses or CIDRs'],
    ['origin', ['https://a.example/'], 'origins, like https://app.example.com'],
    ['origin', ['https://a.example:443'], 'origins, like https://app.example.com'],
    ['origin', ['https://A.example'], 'origins, like https://app.example.com'],
    ['origin', ['a.example'], 'origins, like https://app.example.com'],
    ['origin', ['https://a.example', '*'], 'origins, like https://app.example.com'],
    ['namespaces', 'chat', 'JSON like'],
    ['namespaces', ['chat'], 'JSON like'],
    ['namespaces', { chat: 1 }, 'JSON like'],
  ];
  test.each(wrong)('%s may not be %j', (name, value, allowed) => {
    const option = options.find((each) => each.name === name)!;
    const given = Array.isArray(value) && name !== 'namespaces' ? value.join(',') : value;
    const [flag, variable] = ways(option, given);
    const [, , file] = ways(option, value);
    for (const [sources, label] of [flag!, variable!, file!]) {
      const message = refusal(sources);
      expect(message.startsWith(label)).toBe(true);
      expect(message).toContain(`give ${allowed}`);
      if (Array.isArray(value))
        expect(message).toContain(JSON.stringify(value.at(-1)).slice(0, 60));
    }
  });

  test.each([
    [
      '{"chat":{"policy":"x"}}',
      '--namespaces chat.policy "x" is not allowed: give one of drop-oldest',
    ],
    [
      '{"chat":{"queueMessages":0}}',
      '--namespaces chat.queueMessages 0 is not allowed: give a whole',
    ],
    [
      '{"chat":{"port":1}}',
      '--namespaces "chat.port" is not an option of a namespace: give any of policy, queueM',
    ],
    ['{"default":{}}', '--namespaces "default" is not a name'],
    ['{"a:b":{}}', '--namespaces "a:b" is not a name'],
    ['{"":{}}', '--namespaces "" is not a name'],
    ['{"__proto__":{"policy":"x"}}', '--namespaces __proto__.policy "x" is not allowed'],
    ['{"chat":{"constructor":1}}', '--namespaces "chat.constructor" is not an option'],
  ])('namespaces %s', (text, start) => {
    expect(refusal({ flags: { namespaces: text } })).toContain(start);
  });

  test.each([
    ['queueBytes', '60000', '--max-message-bytes 65536 (the default)'],
    ['queueBytesTotal', '1000000', '--queue-bytes 1048576 (the default)'],
    ['historyBytes', '60000', '--max-message-bytes 65536 (the default)'],
    ['historyBytesTotal', '100000', '--history-bytes 1048576 (the default)'],
    ['stallAfterMs', '100', '--lag-after-ms 250 (the default)'],
    ['roomBacklogBytes', '60000', '--max-message-bytes 65536 (the default)'],
    ['maxBodyBytes', '60000', '--max-message-bytes 65536 (the default)'],
    ['maxHttpBodyBytes', '60000', '--max-message-bytes 65536 (the default)'],
    ['shutdownGraceMs', '1000', '--drain-ms 2000 (the default)'],
  ])('%s %s contradicts another option', (name, value, other) => {
    const { flag } = options.find((each) => each.name === name)!;
    const keeping = { historyMessages: '1' };
    const message = refusal({ flags: { ...keeping, [name]: value } });
    expect(message.startsWith(`--${flag} ${value} is not allowed with ${other}: `)).toBe(true);
    const least = message.match(/give at least (\d+)$/)?.[1];
    expect(loadConfig({ flags: { ...keeping, [name]: least! } })[name as keyof Config]).toBe(
      Number(least),
    );
  });

  test('limits of history are not checked against each other if no history is kept', () => {
    expect(
      loadConfig({ flags: { historyBytes: '1024', historyBytesTotal: '1024' } }),
    ).toMatchObject({ historyBytes: 1024 });
    const flags = { historyBytes: '1024', namespaces: '{"chat":{"historyMessages":1}}' };
    expect(refusal({ flags })).toContain('--history-bytes 1024 is not allowed with');
  });

  test('a namespace is checked too, and each option is named as it was set', () => {
    const flags = { namespaces: '{"chat":{"queueBytes":2000}}' };
    expect(refusal({ flags, env: { ROOMCAST_MAX_MESSAGE_BYTES: '3000' } })).toBe(
      '--namespaces chat.queueBytes 2000 is not allowed with ROOMCAST_MAX_MESSAGE_BYTES 3000: one message has to fit, with its envelope, give at least 5600',
    );
  });

  test('are one line, whatever the value contains', () => {
    const name = fc.constantFrom(...options);
    fc.assert(
      fc.property(name, fc.string({ unit: 'binary' }), (option, text) => {
        try {
          loadConfig({ flags: { [option.name]: text } });
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigError);
          expect((error as Error).message).not.toMatch(/[\p{Cc}\u2028\u2029]/u);
          expect((error as Error).message.length).toBeLessThan(400);
        }
      }),
    );
  });
});

describe('keys are never shown', () => {
  const secret = 'hunter2-hunter2';
  const bad = `${secret} with a space`;
  const apiKey = options.find(({ name }) => name === 'apiKey')!;

  test('when they are wrong', () => {
    for (const value of [bad, [bad], { key: bad }, `${secret},`]) {
      for (const [sources, label] of ways(apiKey, value)) {
        const message = refusal(sources);
        expect(message).not.toContain(secret);
        expect(message.startsWith(label)).toBe(true);
        expect(message).toMatch(
          /\(not shown\) is not allowed: give (an array of )?keys of 1 to 256/,
        );
      }
    }
  });

  test('when the file around them is invalid', () => {
    for (const text of [`{"apiKey": ${secret}}`, `{"apiKey": ["${secret}"] "port": 1}`, secret]) {
      expect(refusal({ file: fileOf(text) })).not.toContain(secret);
    }
  });

  test('when another option is wrong', () => {
    const flags = { apiKey: secret, port: 'x', drainMs: '20000' };
    expect(refusal({ flags })).not.toContain(secret);
    expect(refusal({ flags: { apiKey: secret, drainMs: '20000' } })).not.toContain(secret);
  });
});

describe('namespaces', () => {
  const config = loadConfig({
    flags: {
      queueMessages: '7',
      namespaces: '{"chat":{"policy":"disconnect"},"__proto__":{"queueMessages":3}}',
    },
  });

  test('are the part of a room name before the first colon', () => {
    expect(namespaceOf('chat:lobby:2')).toBe('chat');
    expect(namespaceOf(':x')).toBe('');
    expect(namespaceOf('lobby')).toBe('default');
  });

  test('have their own settings over those of the top level', () => {
    const base = policyFor(config, 'default');
    expect(base).toEqual({
      policy: 'drop-oldest',
      queueMessages: 7,
      queueBytes: 1_048_576,
      disconnectGraceMs: 5000,
      lagAfterMs: 250,
      recoverAfterMs: 1000,
      stallAfterMs: 30_000,
    });
    expect(policyFor(config, 'chat')).toEqual({ ...base, policy: 'disconnect' });
    expect(policyFor(config, 'other')).toEqual(base);
    expect(policyFor(config, 'constructor')).toEqual(base);
    expect(policyFor(config, '__proto__')).toEqual({ ...base, queueMessages: 3 });
  });

  test('have their own history settings, but a queue of their own only for queue settings', () => {
    const config = loadConfig({
      flags: {
        historyMessages: '10',
        namespaces:
          '{"chat":{"historyMessages":100,"historyMs":5000},"other":{"queueMessages":3},"same":{"queueMessages":3}}',
      },
    });
    const base = { historyMessages: 10, historyBytes: 1_048_576, historyMs: 300_000 };
    expect(settingsFor(config, 'default', historyPolicy)).toEqual(base);
    expect(settingsFor(config, 'chat', historyPolicy)).toEqual({
      ...base,
      historyMessages: 100,
      historyMs: 5000,
    });
    expect(settingsFor(config, 'constructor', historyPolicy)).toEqual(base);
    const queues = namespaces(config);
    expect(queues.get('chat')).toBe(queues.get('default'));
    expect(queues.get('other')).not.toBe(queues.get('default'));
    expect(queues.get('same')).toBe(queues.get('other'));
    const kept = histories(config);
    expect(kept.get('other')).toBe(kept.get('default'));
  });

  test('are listed with the default one first', () => {
    expect(Array.from(namespaces(config).keys())).toEqual(['default', 'chat', '__proto__']);
    expect(namespaces(config).get('chat')).toEqual(policyFor(config, 'chat'));
  });
});

test('trusted proxies are addresses and networks of both families', () => {
  const config = loadConfig({ flags: { trustProxy: '10.0.0.0/8,192.0.2.1,fd00::/8' } });
  const proxies = trustedProxies(config);
  expect(proxies.check('10.1.2.3')).toBe(true);
  expect(proxies.check('::ffff:10.1.2.3', 'ipv6')).toBe(true);
  expect(proxies.check('192.0.2.1')).toBe(true);
  expect(proxies.check('192.0.2.2')).toBe(false);
  expect(proxies.check('fd00::1', 'ipv6')).toBe(true);
  expect(trustedProxies(defaults).check('127.0.0.1')).toBe(false);
});

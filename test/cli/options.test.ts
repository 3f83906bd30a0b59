import { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { addServerOptions, sourcesOf } from '../../src/cli/options.js';
import { serveCommand } from '../../src/cli/serve.js';
import { GROUPS, options } from '../../src/options/index.js';
import { loadConfig } from '../../src/options/sources.js';

/** All of `--help`, including the text after the options. */
function help(): string {
  let text = '';
  const command = serveCommand().configureOutput({
    writeOut: (part) => {
      text += part;
    },
  });
  command.outputHelp();
  return text;
}

describe('--help', () => {
  const text = help();

  test.each(options)(
    'has --$flag with its unit, default and range',
    ({ flag, schema, allowed }) => {
      const start = text.indexOf(`\n  --${flag} <${schema.unit.replaceAll(' ', '-')}>\n`);
      expect(start).toBeGreaterThan(0);
      const block = text.slice(start + 1).split(/\n(?= {2}\S|\n)/)[0]!;
      const words = block.replaceAll(/\s+/g, ' ');
      expect(words).toContain(schema.description);
      const { default: value } = schema;
      const empty = value === '' || (typeof value === 'object' && Object.keys(value!).length === 0);
      expect(words).toContain(`Default: ${empty ? 'none' : value}. Allowed: ${allowed}.`);
      if (schema.type === 'integer')
        expect(words).toContain(`${schema.minimum} to ${schema.maximum}`);
      if (schema.enum) for (const one of schema.enum) expect(words).toContain(one);
    },
  );

  test('groups them, in order', () => {
    const headings = GROUPS.map((group) => text.indexOf(`\n${group}:\n`));
    expect(headings.every((at) => at > 0)).toBe(true);
    expect(headings).toEqual(headings.toSorted((a, b) => a - b));
  });

  test('fits 80 columns', () => {
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  });

  test('explains the sources of options and the exit codes', () => {
    expect(text).toMatch(/flag, else from the environment, else from the file/);
    expect(text).toMatch(/130, 143/);
  });
});

test('every option can be given as a flag, lists several times', () => {
  const command = addServerOptions(new Command());
  const argv = options.flatMap(({ flag, schema }) => {
    const { type, default: value } = schema;
    const text = type === 'object' ? JSON.stringify(value) : String(value);
    return type === 'array' ? [] : [`--${flag}`, text];
  });
  const lists = ['--origin', 'http://a.example', '--origin', 'http://b.example'];
  const secret = 's'.repeat(32);
  const tokens = ['--token-secret', secret, '--token-key-file', 'a.pem', '--token-issuer', 'i'];
  const others = ['--token-audience', 'a', '--api-key', 'a,b', '--trust-proxy', '::1'];
  command.parse([...argv, ...lists, ...tokens, ...others], { from: 'user' });
  const { flags = {}, file } = sourcesOf(command.opts());
  expect(Object.keys(flags).toSorted()).toEqual(options.map(({ name }) => name).toSorted());
  expect(file).toBeUndefined();
  expect(loadConfig({ flags })).toMatchObject({
    origin: ['http://a.example', 'http://b.example'],
    apiKey: ['a', 'b'],
    trustProxy: ['::1'],
    tokenSecret: [secret],
  });
});

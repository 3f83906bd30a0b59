/** `roomcast check-config` and `--print-config`. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { defaults } from '../../src/options/config.js';
import { run } from '../support/process.js';

const directory = mkdtempSync(join(tmpdir(), 'roomcast-check-'));
afterAll(() => rmSync(directory, { recursive: true }));

function fileOf(name: string, content: string): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
}

async function result(args: string[], env: Record<string, string> = {}) {
  const process = run(args, { env });
  return { code: await process.exited, out: process.stdout.join('\n'), err: process.stderr };
}

describe('check-config', () => {
  test('accepts correct options with 0, and does not listen', async () => {
    const file = fileOf('good.yaml', 'port: 1\nhost: 192.0.2.1\n');
    const { code, out, err } = await result(['check-config', '--config', file]);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toBe('The options are all right.');
  });

  test('reports every error with its line and column, one per line, and ends with 2', async () => {
    const file = fileOf('bad.yaml', 'port: x\nprot: 1\n');
    const args = ['check-config', '--config', file, '--policy', 'wait'];
    const { code, out, err } = await result(args);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err.split('\n')).toEqual([
      `roomcast: port in ${file} at line 1, column 7 "x" is not allowed: give a whole number, 0 to 65535 (0 = any free port)`,
      `roomcast: "prot" in ${file} at line 2, column 1 is not an option: did you mean port?`,
      expect.stringMatching(/^roomcast: --policy "wait" is not allowed: give one of/),
      '',
    ]);
    // `serve` refuses to start with the same text.
    expect(await result(['serve', ...args.slice(1)])).toEqual({ code, out, err });
  });

  test('warns of options without effect', async () => {
    const args = ['check-config', '--disconnect-grace-ms', '9'];
    const { code, err } = await result(args, { ROOMCAST_PROT: '1' });
    expect(code).toBe(0);
    expect(err.split('\n')).toEqual([
      expect.stringMatching(/^roomcast: ROOMCAST_PROT is not an option and has no effect/),
      expect.stringMatching(/^roomcast: disconnectGraceMs has no effect/),
      '',
    ]);
  });
});

describe.each(['serve', 'check-config'])('%s --print-config', (command) => {
  test('prints the options as a file, and accepts that file', async () => {
    const env = { ROOMCAST_MAX_ROOMS: '7' };
    const { code, out } = await result([command, '--print-config', '--port', '1'], env);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual({ ...defaults, port: 1, maxRooms: 7 });
    const again = await result([command, '--print-config', '--config', fileOf('all.json', out)]);
    expect(again).toEqual({ code: 0, out, err: '' });
  });

  test('shows no key, so that the output is refused as a file', async () => {
    const { out } = await result([command, '--print-config'], { ROOMCAST_API_KEY: 'hunter2' });
    expect(out).not.toContain('hunter2');
    const { code } = await result([command, '--print-config', '--config', fileOf('key.json', out)]);
    expect(code).toBe(2);
  });
});

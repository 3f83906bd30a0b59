/**
 * Checks the list of mutants: the code of each exists once, and so does its test. With `MUTANTS=1` in the
 * environment each is applied to a copy of the sources, and its test must fail.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MUTANTS } from './mutants.js';

const read = (path: string): string => readFileSync(path, 'utf8');

test.each(MUTANTS)('it can be applied: $fault', ({ file, code, test: path, name }) => {
  expect(read(`src/load/${file}`).split(code)).toHaveLength(2);
  expect(read(`test/load/${path}`)).toContain(`'${name}`);
});

describe.runIf(process.env['MUTANTS'])('applied', () => {
  let copy: string;
  beforeAll(() => {
    copy = mkdtempSync(join(tmpdir(), 'mutants-'));
    for (const name of [
      'src',
      'test',
      'docs',
      'package.json',
      'vitest.config.ts',
      'tsconfig.json',
    ]) {
      cpSync(name, join(copy, name), { recursive: true });
    }
    for (const name of ['node_modules', 'dist'])
      symlinkSync(join(process.cwd(), name), join(copy, name));
    // The tests must not use the built files.
    writeFileSync(join(copy, 'test/support/build.ts'), 'export default function build() {}\n');
  });
  afterAll(() => rmSync(copy, { recursive: true }));

  const run = (path: string, name: string): { killed: boolean; said: string } => {
    const args = ['vitest', 'run', `test/load/${path}`, '-t', name.replaceAll(/[^\w ,]/g, '.')];
    const { status, stdout } = spawnSync('npx', args, { cwd: copy, encoding: 'utf8' });
    return { killed: status !== 0, said: stdout };
  };

  test.each(MUTANTS)(
    '$fault',
    ({ file, code, instead, test: path, name, row = '' }) => {
      const source = join(copy, 'src/load', file);
      const right = read(source);
      writeFileSync(
        source,
        right.replace(code, () => instead),
      );
      const { killed, said } = run(path, name.replace('%s', row));
      writeFileSync(source, right);
      expect(killed, said).toBe(true);
      // The test itself must fail, not the loading of its file.
      expect(said).toMatch(/Tests .*failed/);
    },
    300_000,
  );
});

/**
 * That the list of mutants is true: each can be put in where it says and names a test there is. With
 * `MUTANTS=1` in the environment each is put into a copy of the sources and has to be killed.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MUTANTS } from './mutants.js';

const read = (path: string): string => readFileSync(path, 'utf8');

test.each(MUTANTS)('it can be put in: $fault', ({ file, code, test: path, name }) => {
  expect(read(`src/load/${file}`).split(code)).toHaveLength(2);
  expect(read(`test/load/${path}`)).toContain(`'${name}`);
});

describe.runIf(process.env['MUTANTS'])('put in', () => {
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
    // What is built is not what is tested here.
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
      // By the test and not by a list that no longer runs at all.
      expect(said).toMatch(/Tests .*failed/);
    },
    300_000,
  );
});

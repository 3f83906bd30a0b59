/** Completion, tested in the shells themselves. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { has } from '../support/installed.js';
import { run } from '../support/process.js';

const directory = mkdtempSync(join(tmpdir(), 'roomcast-completion-'));
afterAll(() => rmSync(directory, { recursive: true }));
const script = (shell: string) => join(directory, `roomcast.${shell}`);
const MAIN = new URL('../../dist/cli/main.js', import.meta.url).pathname;
beforeAll(() => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    writeFileSync(script(shell), execFileSync(process.execPath, [MAIN, 'completion', shell]));
  }
});

const shellRun = (shell: string, code: string) =>
  execFileSync(shell, ['-c', code], { encoding: 'utf8' }).split('\n').filter(Boolean);

/** The completions that a shell offers for the last of these words. */
const OFFERS: Record<string, (words: string[]) => string[]> = {
  bash: (words) =>
    shellRun(
      'bash',
      `source ${script('bash')}; COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _roomcast; printf '%s\\n' "\${COMPREPLY[@]}"`,
    ),
  fish: (words) =>
    shellRun('fish', `source ${script('fish')}; complete -C '${words.join(' ')}'`).map(
      (line) => line.split('\t')[0] as string,
    ),
};

const CASES: [words: string[], offered: string[], not: string[]][] = [
  [['roomcast', ''], ['serve', 'check-config', 'load', 'locks', 'demo', 'completion'], ['agent']],
  [['roomcast', 'ser'], ['serve'], ['load']],
  [['roomcast', 'serve', '--po'], ['--port', '--policy'], ['--config']],
  [['roomcast', 'serve', '--policy', ''], ['drop-oldest', 'disconnect'], ['--port']],
  [['roomcast', 'serve', '--policy', 'dr'], ['drop-oldest', 'drop-newest'], ['disconnect']],
  [['roomcast', 'load', '--mem'], ['--members'], ['--max-rooms']],
  [['roomcast', 'load', 'ag'], ['agent'], ['serve']],
  [['roomcast', 'load', 'agent', '--li'], ['--listen'], ['--members']],
  [['roomcast', 'check-config', '--pri'], ['--print-config'], []],
];

describe.each(Object.keys(OFFERS))('%s', (shell) => {
  test.skipIf(!has(shell)).each(CASES)('%j', (words, offered, not) => {
    const offers = OFFERS[shell]?.(words) ?? [];
    expect(offers).toEqual(expect.arrayContaining(offered));
    for (const word of not) expect(offers).not.toContain(word);
  });
});

test.skipIf(!has('zsh'))('zsh: loads, and completes a command', () => {
  // Prints the arguments of `_describe` and `_arguments`, which only work on a terminal.
  const code = `
    compdef() { :; }
    _describe() { print -l -- "\${(@P)2}"; }
    _arguments() { print -l -- "$@"; }
    source ${script('zsh')}
    words=(roomcast $=WORDS ''); CURRENT=$#words
    _roomcast`;
  const offered = (words: string) =>
    execFileSync('zsh', ['-fc', code], { encoding: 'utf8', env: { ...process.env, WORDS: words } });
  expect(offered('')).toContain('serve:Serve rooms');
  expect(offered('serve')).toMatch(/^\*--policy\[.*\]:value:\(drop-oldest drop-newest /m);
  expect(offered('load')).toContain('agent:Lend this machine');
  expect(offered('load agent')).toContain('*--listen[');
});

test('an unknown shell is refused with one line', async () => {
  const tcsh = run(['completion', 'tcsh']);
  expect(await tcsh.exited).toBe(2);
  expect(tcsh.stderr).toMatch(/^roomcast: .*'tcsh' is invalid.*bash, zsh, fish[^\n]*\n$/);
});

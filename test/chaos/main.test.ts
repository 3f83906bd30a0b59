/** Runs the chaos command as users do, for a few seconds per kind of cluster. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { hasRedis } from '../support/redis-server.js';

const SCRIPT = new URL('run.mjs', import.meta.url).pathname;

async function chaos(...args: string[]) {
  const child = spawn(process.execPath, [SCRIPT, ...args], { stdio: 'pipe' });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  }
  const [code] = await once(child, 'close');
  return { code, said };
}

test('prints its usage', async () => {
  expect(await chaos('--help')).toMatchObject({
    code: 0,
    said: expect.stringMatching(/--minutes/),
  });
  for (const wrong of [['--minutes', 'soon'], ['--only', 'nats'], ['--seed', '1.5'], ['--what']]) {
    expect((await chaos(...wrong)).code).toBe(2);
  }
});

describe.skipIf(!hasRedis)('with Redis', () => {
  test('everything adds up', { timeout: 240_000 }, async () => {
    const report = join(tmpdir(), `chaos-${process.pid}.md`);
    const { code, said } = await chaos('--minutes', '0.05', '--round', '3', '--report', report);
    expect(said, said).toContain('adds up');
    expect(code, said).toBe(0);
    const written = readFileSync(report, 'utf8');
    for (const name of ['memory, three workers', 'Redis, two nodes']) {
      expect(written).toContain(`### ${name}: everything adds up\n\n- 1 rounds: published `);
    }
  });
});

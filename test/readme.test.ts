/** What the README shows is run here, as it stands there. */
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { runInNewContext } from 'node:vm';
import { expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { policyFor } from '../src/config.js';
import { CLOSE } from '../src/errors.js';
import { loadConfig } from '../src/sources.js';
import { serve } from './support/server.js';
import { Signal } from './support/signal.js';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

const fences = Array.from(readme.matchAll(/^```(\w*)\n(.*?)^```$/gms));

/** The code blocks of a language, in order. */
const blocks = (language: string): string[] =>
  fences.filter(([, of]) => of === language).map(([, , code]) => String(code));

test('the first example prints what the README says', async () => {
  const { url } = await serve();
  const [script, printed] = [blocks('js')[0], blocks('')[0]];
  const lines: string[] = [];
  const changed = new Signal();
  const sockets: WebSocket[] = [];
  class Client extends WebSocket {
    constructor(address: string) {
      super(address);
      sockets.push(this);
    }
  }
  const log = (line: string) => {
    lines.push(line);
    changed.fire();
  };
  runInNewContext(String(script).replace('ws://127.0.0.1:8080', url.replace('http', 'ws')), {
    WebSocket: Client,
    console: { log },
  });
  await changed.until(() => lines.length === 4);
  for (const socket of sockets) socket.close();
  // Ids, times and epochs differ from run to run; the limits are left out there.
  const shape = (text: string) =>
    text
      .replace(/"limits":\{.*?\}/g, '"limits":…')
      .replace('"limits":{…}', '"limits":…')
      .replace(/"(member|from|epoch)":"[^"]+"/g, '"$1":…')
      .replace(/"at":\d+/g, '"at":…');
  expect(lines.map(shape)).toEqual(String(printed).trim().split('\n').map(shape));
});

test('the curl line publishes', async () => {
  const { url } = await serve();
  const line = blocks('sh').find((block) => block.startsWith('curl')) as string;
  const run = promisify(execFile);
  const { stdout } = await run('sh', [
    '-c',
    `${line.trim().replace('http://127.0.0.1:8080', url)} -s`,
  ]);
  expect(JSON.parse(stdout)).toEqual({ room: 'chat:lobby', seq: 1, epoch: expect.any(String) });
});

test('the file of namespaces is one', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'readme-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, 'config.json');
  writeFileSync(file, blocks('json')[0] as string);
  const config = loadConfig({ file });
  expect(policyFor(config, 'ticker')).toMatchObject({
    policy: 'latest-by-key',
    queueMessages: 256,
  });
  expect(policyFor(config, 'orders')).toMatchObject({
    policy: 'disconnect',
    disconnectGraceMs: 2000,
  });
});

test('every close code is in the table', () => {
  const table = readme.slice(readme.indexOf('| code | reason |'));
  for (const { code } of Object.values(CLOSE)) expect(table).toContain(String(code));
});

test('every file it names exists', () => {
  const named = readme.matchAll(/`(src\/[\w/.-]+\.ts)`|\]\(([\w/.-]+)\)/g);
  for (const [, source, link] of named) {
    const path = new URL(`../${source ?? link}`, import.meta.url);
    expect(readFileSync(path).length, path.pathname).toBeGreaterThan(0);
  }
});

test('the test of a client passes as it stands, under vitest', async () => {
  const folder = await mkdtemp(join(new URL('.', import.meta.url).pathname, 'readme-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const source = (blocks('ts')[0] as string)
    .replace("'roomcast/testing'", "'../../src/testing.js'")
    // Node 20 has no WebSocket of its own.
    .replace('import {', "import { WebSocket } from 'ws';\nimport {");
  writeFileSync(join(folder, 'client.test.ts'), source);
  const vitest = new URL('../node_modules/vitest/vitest.mjs', import.meta.url).pathname;
  const config = join(folder, 'vitest.config.mjs');
  writeFileSync(config, 'export default {};');
  const run = promisify(execFile);
  const args = [vitest, 'run', '--root', folder, '--config', config, '--reporter', 'json'];
  const { stdout } = await run(process.execPath, args, { cwd: folder });
  expect(JSON.parse(stdout)).toMatchObject({ numPassedTests: 1, numTotalTests: 1 });
}, 60_000);

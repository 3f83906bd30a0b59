/**
 * What the README shows is run here as it stands there; only the address in it becomes that of a
 * server on a free port. What it says of the installed package is shown in `package.test.ts`.
 */
import { execFile, spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { CLOSE } from '../src/errors.js';
import { policyFor } from '../src/options/namespaces.js';
import { loadConfig } from '../src/options/sources.js';
import { hasChromium, launchChromium } from './support/chromium.js';
import { connectReading } from './support/reading-peer.js';
import { serve } from './support/server.js';
import { Signal } from './support/signal.js';
import { EVERYTHING, SECRET, tokenOf } from './support/tokens.js';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

const fences = Array.from(readme.matchAll(/^```(\w*)\n(.*?)^```$/gms));

/** The code blocks of a language, in order. */
const blocks = (language: string): string[] =>
  fences.filter(([, of]) => of === language).map(([, , code]) => String(code));

const [script, printed] = [String(blocks('js')[0]), String(blocks('')[0])];

/** Ids, times and epochs differ from run to run; the limits and the features are left out there. */
const shape = (text: string) =>
  text
    .replace(/"limits":\{.*?\}/g, '"limits":…')
    .replace('"limits":{…}', '"limits":…')
    .replace(/"features":\[.*?\]/, '"features":…')
    .replace(/"(member|from|epoch)":"[^"]+"/g, '"$1":…')
    .replace(/"at":\d+/g, '"at":…');
const shapes = printed.trim().split('\n').map(shape);

const at = (url: string) => script.replace('ws://127.0.0.1:8080', url.replace('http', 'ws'));

test('the first example prints what the README says, in Node', async () => {
  const { url } = await serve();
  const hasWebSocket = Number.parseInt(process.versions.node, 10) >= 22;
  const flags = hasWebSocket ? [] : ['--experimental-websocket'];
  const child = spawn(process.execPath, [...flags, '--eval', at(url)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_NO_WARNINGS: '1' },
  });
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    if (lines.push(line) === shapes.length) child.kill();
  }
  expect(lines.map(shape)).toEqual(shapes);
});

test.skipIf(!hasChromium)('and in the console of a browser', async () => {
  const { url } = await serve();
  const browser = await launchChromium();
  onTestFinished(() => browser.close());
  const lines: string[] = [];
  const changed = new Signal();
  const page = await browser.newPage();
  page.on('console', (message) => {
    if (message.type() === 'log') lines.push(message.text());
    changed.fire();
  });
  await page.goto(`${url}/healthz`);
  await page.evaluate(at(url));
  await changed.until(() => lines.length === shapes.length);
  expect(lines.map(shape)).toEqual(shapes);
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

test('who is in a room is told as the README says', async () => {
  const { url } = await serve({
    presence: 'users',
    tokenSecret: [SECRET],
    presenceIntervalMs: 1000,
  });
  const enter = async (claims: object) => {
    const authorization = `Bearer ${tokenOf({ rooms: EVERYTHING, ...claims })}`;
    const peer = await connectReading('websocket', url, { headers: { authorization } });
    peer.say({ type: 'join', id: 1, room: 'chat:lobby' });
    await peer.until(() => peer.events.some(({ type }) => type === 'joined'));
    return peer;
  };
  await enter({ sub: '42', info: { name: 'Ann' } });
  const ann = await enter({ sub: '42', info: { name: 'Ann' } });
  // It watches from here on.
  ann.say({ type: 'leave', room: 'chat:lobby' });
  ann.say({ type: 'join', id: 2, room: 'chat:lobby', presence: true });
  const told = () => ann.events.filter(({ type }) => type.startsWith('presence'));
  await ann.until(() => told().length === 1);
  await enter({ sub: '7' });
  await ann.until(() => told().length === 2);
  const bare = (text: string) => text.replace(/"(rev|after|since)":\d+/g, '"$1":…');
  const shown = String(blocks('')[1]).trim().split('\n');
  expect(told().map((event) => bare(JSON.stringify(event)))).toEqual(shown.map(bare));
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
  const named = [...readme.matchAll(/`((?:src|docs|grafana|bench)\/[\w/.-]+|[A-Z]+\.md)`/g)];
  expect(named.length).toBeGreaterThan(15);
  for (const [, name] of named) expect(existsSync(name as string), name).toBe(true);
});

test('nothing in it leads to a file, which the page of a registry does not have', () => {
  const targets = Array.from(
    readme.matchAll(/\]\(([^)]*)\)|(?:href|src)="([^"]*)"/g),
    ([whole]) => whole,
  );
  expect(targets.filter((target) => !/\(#|https:/.test(target))).toEqual([]);
});

test('the test of a client passes as it stands, under vitest', async () => {
  const folder = await mkdtemp(join(new URL('.', import.meta.url).pathname, 'readme-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  // A package knows its own name, so `roomcast/testing` is what is built here.
  writeFileSync(join(folder, 'client.test.ts'), String(blocks('ts')[0]));
  const vitest = new URL('../node_modules/vitest/vitest.mjs', import.meta.url).pathname;
  const config = join(folder, 'vitest.config.mjs');
  writeFileSync(config, 'export default {};');
  const run = promisify(execFile);
  const args = [vitest, 'run', '--root', folder, '--config', config, '--reporter', 'json'];
  const { stdout } = await run(process.execPath, args, { cwd: folder });
  expect(JSON.parse(stdout)).toMatchObject({ numPassedTests: 1, numTotalTests: 1 });
}, 60_000);

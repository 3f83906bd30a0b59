/**
 * The package as its users meet it: packed from what is in the repository as a fresh clone is, with
 * nothing built, installed into an empty folder by a client that holds everyone to their `engines`,
 * and used from there.
 *
 * What it is used with beside that comes from our own `node_modules` or, where that would be too
 * much for everybody who works here, from the registry. Without one all of this is skipped.
 */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join, posix } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { connectReading } from './support/reading-peer.js';

const hasRegistry = process.env['CI'] === 'true' || pings();
if (!hasRegistry)
  console.warn('Tests of the package are skipped: npm does not reach its registry.');

function pings(): boolean {
  try {
    execFileSync('npm', ['ping', '--fetch-retries=0', '--fetch-timeout=10000'], {
      stdio: 'ignore',
    });
    return true;
  } catch {
    return false;
  }
}

/** For both runners: five seconds are not much on a machine that is busy with other things. */
const PATIENCE = '--testTimeout=60000';

/** Of the oldest Node that `engines` promises. */
const OLDEST = '20.19.0';
const OURS = ['@types/node', 'typescript', 'vitest'];
const FROM_REGISTRY = [
  '@nestjs/common@11.2.10',
  '@nestjs/core@11.2.10',
  '@nestjs/platform-express@11.2.10',
  'express@5.1.0',
  'jest@30.4.2',
  'publint@0.3.25',
  'reflect-metadata@0.2.2',
  'rxjs@7.8.2',
  '@arethetypeswrong/cli@0.18.5',
];

/** How TypeScript is told to find a package, and what a file that does so is called. */
const MODULES = [
  ['node16', 'node16', 'mts'],
  ['nodenext', 'nodenext', 'mts'],
  ['nodenext', 'nodenext', 'cts'],
  ['esnext', 'bundler', 'ts'],
] as const;

/** And what a build does not look at. */
const NOT_COMMITTED = new Set(['.git', 'node_modules', 'dist', 'coverage', 'bench', 'test']);

const root = process.cwd();
const scratch = mkdtempSync(join(tmpdir(), 'package-'));
/** Above the folder of the user, so that their modules are found from there. */
const tools = join(scratch, 'node_modules');
const app = join(scratch, 'app');
const installed = join(app, 'node_modules/roomcast');
const readme = readFileSync(join(root, 'README.md'), 'utf8');

const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
let tarball: string;
let client: string;
let files: string[];

const exec = promisify(execFile);
interface Output {
  stdout: string;
  stderr: string;
}

/** Runs in the folder of the user; a failure has all that was printed. */
async function run(command: string, args: string[], env: Record<string, string> = {}) {
  const options = { cwd: app, env: { ...process.env, NO_COLOR: '1', ...env } };
  return exec(command, args, options).catch((error: Error & Output) => {
    throw new Error(`${error.message}\n${error.stdout}`);
  });
}
const node = (...args: string[]) => run(process.execPath, args);
const npm = (cwd: string, ...args: string[]) =>
  exec('npm', [...args, '--no-audit', '--no-fund', '--no-update-notifier'], { cwd });

const example = (path: string) => readFileSync(join(installed, 'examples', path), 'utf8');

/** The tests of the examples, and what they test. */
function takeTests(): void {
  for (const name of readdirSync(join(installed, 'examples/testing')))
    write({ [name]: example(`testing/${name}`) });
}

/** Where it serves. */
async function startExample(name: string, text = example(`embed/${name}`)): Promise<string> {
  write({ [name]: text });
  const child = spawn(process.execPath, [name], {
    cwd: app,
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  return String(line);
}

/** Writes files into the folder of the user. */
function write(contents: Record<string, string>): void {
  for (const [name, text] of Object.entries(contents)) writeFileSync(join(app, name), text);
}

async function pack(): Promise<void> {
  const clone = join(scratch, 'clone');
  const isOurs = (path: string) => !NOT_COMMITTED.has(basename(path));
  cpSync(root, clone, { recursive: true, filter: isOurs });
  symlinkSync(join(root, 'node_modules'), join(clone, 'node_modules'));
  const { stdout } = await npm(clone, 'pack', '--silent', '--pack-destination', scratch);
  tarball = join(scratch, stdout.trim().split('\n').at(-1) as string);
  const ofClient = await npm(
    join(clone, 'client'),
    'pack',
    '--silent',
    '--pack-destination',
    scratch,
  );
  client = join(scratch, ofClient.stdout.trim().split('\n').at(-1) as string);
}

async function installTools(): Promise<void> {
  write({ '../package.json': '{}' });
  await npm(scratch, 'install', '--no-save', ...FROM_REGISTRY);
  for (const name of OURS) {
    rmSync(join(tools, name), { recursive: true, force: true });
    mkdirSync(dirname(join(tools, name)), { recursive: true });
    symlinkSync(join(root, 'node_modules', name), join(tools, name));
  }
}

afterAll(() => rmSync(scratch, { recursive: true }));

describe.skipIf(!hasRegistry)('the package', { timeout: 120_000 }, () => {
  let said: Output;
  beforeAll(async () => {
    mkdirSync(app);
    write({ 'package.json': '{}' });
    await Promise.all([pack(), installTools()]);
    said = await npm(app, 'install', '--engine-strict', '--ignore-scripts', tarball, client);
    const all = readdirSync(installed, { recursive: true, withFileTypes: true });
    files = all
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name).slice(installed.length + 1));
  }, 600_000);

  it('is installed where everyone is held to their engines, without a warning', () => {
    expect(said.stderr).toBe('');
  });

  it('promises no Node that something in it does not run on', () => {
    const { satisfies } = createRequire(join(installed, 'package.json'))('semver');
    const lock = readFileSync(join(app, 'node_modules/.package-lock.json'), 'utf8');
    const { packages } = JSON.parse(lock) as {
      packages: Record<string, { engines?: { node?: string } }>;
    };
    const asks = Object.entries(packages).map(([path, { engines }]) => [
      path,
      engines?.node ?? '*',
    ]);
    expect(asks.length).toBeGreaterThan(10);
    expect(asks.filter(([, range]) => !satisfies(OLDEST, range))).toEqual([]);
  });

  it('weighs what the README says, in so many packages', () => {
    const lock = readFileSync(join(app, 'node_modules/.package-lock.json'), 'utf8');
    const [, mb, packages] = /^([\d.]+) MB of files in (\d+) packages/m.exec(readme) ?? [];
    // About: each of them may have a newer version tomorrow.
    expect(
      Math.abs(Object.keys(JSON.parse(lock).packages).length / Number(packages) - 1),
    ).toBeLessThan(0.05);
    const all = readdirSync(join(app, 'node_modules'), { recursive: true, withFileTypes: true });
    const bytes = all
      .filter((entry) => entry.isFile() && entry.name !== '.package-lock.json')
      .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
    expect(Math.abs(bytes / 1e6 / Number(mb) - 1)).toBeLessThan(0.1);
  });

  it('has what a user needs', () => {
    expect(files).toEqual(
      expect.arrayContaining([
        'LICENSE',
        'README.md',
        'dist/index.js',
        'dist/page/index.html',
        'docs/runbook.md',
        'grafana/dashboards/roomcast.json',
        'grafana/prometheus/rules/roomcast.yml',
      ]),
    );
  });

  it('has nothing that only its makers need, and nothing that leads nowhere', () => {
    expect(files.filter((name) => /\.map$|tsbuildinfo|^(src|test|bench)\//.test(name))).toEqual([]);
    const isThere = (path: string) => files.some((file) => `${file}/`.startsWith(`${path}/`));
    const dead = files.flatMap((name) => {
      const text = /\.(js|md)$/.test(name) ? readFileSync(join(installed, name), 'utf8') : '';
      const maps = text.match(/\/\/# sourceMappingURL=.*/g) ?? [];
      const links = Array.from(text.matchAll(/\]\(([\w/.-]+)[)#]/g), ([, link]) => link as string);
      const to = (link: string) => posix.join(posix.dirname(name), link);
      return [...maps, ...(name.endsWith('.md') ? links.filter((link) => !isThere(to(link))) : [])];
    });
    expect(dead).toEqual([]);
  });

  it('is what publint and attw ask for', async () => {
    const attw = join(tools, '@arethetypeswrong/cli/dist/index.js');
    for (const each of [tarball, client]) {
      await node(join(tools, 'publint/src/cli.js'), 'run', each, '--strict');
      await node(attw, each, '--profile', 'esm-only');
    }
  });

  describe('is used', () => {
    const USE = `
const lock = new RWLock({ name: 'mine' });
const server = await startTestServer();
const { seq } = await server.publish('news', lock.withReadSync('read', () => 1));
await server.close();
console.log(JSON.stringify([seq, manifest.name, new Refusal('bad_room', 'no').code]));
`;
    const PRINTS = '[1,"roomcast","bad_room"]\n';

    it('by import', async () => {
      write({
        'use.mjs': `
import manifest from 'roomcast/package.json' with { type: 'json' };
import { Refusal } from 'roomcast';
import { RWLock } from 'roomcast/lock';
import { startTestServer } from 'roomcast/testing';
${USE}`,
      });
      expect((await node('--no-warnings', 'use.mjs')).stdout).toBe(PRINTS);
    });

    it('by require', async () => {
      write({
        'use.cjs': `
const manifest = require('roomcast/package.json');
const { Refusal } = require('roomcast');
const { RWLock } = require('roomcast/lock');
const { startTestServer } = require('roomcast/testing');
(async () => {${USE}})();`,
      });
      expect((await node('use.cjs')).stdout).toBe(PRINTS);
    });

    it.concurrent.each(MODULES)(
      'in TypeScript with module %s, resolution %s, from .%s',
      async (module, resolution, ending) => {
        const source = `${module}-${resolution}.${ending}`;
        write({
          [source]: `
import { type Config, ConfigError, defaults, Refusal } from 'roomcast';
import { type Guard, RWLock } from 'roomcast/lock';
import { startTestServer, type TestServer } from 'roomcast/testing';
export const port: number = defaults.port;
export const lock: Promise<Guard> = new RWLock({ name: 'mine' }).write('here');
export const start = (options: Partial<Config>): Promise<TestServer> => startTestServer(options);
export const codes = (error: unknown): string | undefined =>
  error instanceof Refusal || error instanceof ConfigError ? error.name : undefined;
// @ts-expect-error: it is a number
export const wrong: string = defaults.port;
`,
        });
        const flags = ['--strict', '--noEmit', '--skipLibCheck', 'false', '--target', 'es2023'];
        const as = ['--module', module, '--moduleResolution', resolution, '--types', 'node'];
        await node(join(tools, 'typescript/bin/tsc'), ...flags, ...as, source);
      },
    );

    it.concurrent.each(MODULES)(
      'by its client, in TypeScript with module %s, resolution %s, from .%s',
      async (module, resolution, ending) => {
        const source = `client-${module}-${resolution}.${ending}`;
        write({
          [source]: `
import { type Client, connect, RoomcastError, type Room } from 'roomcast-client';
import { healing } from 'roomcast-client/backfill';
import { events } from 'roomcast-client/events';
import { withSockJS } from 'roomcast-client/sockjs';
type Mine = { [room: \`chat:\${string}\`]: { text: string }; stats: number };
export const client: Client<Mine> = connect<Mine>('wss://example.com/ws', { healing, lazy: true });
export const stats: Room<number> = client.room('stats');
export const texts: Promise<{ seq: number }> = client.room('chat:a').publish({ text: 'hello' });
export const codes = (error: unknown) => (error instanceof RoomcastError ? error.code : undefined);
export const open = withSockJS((url) => new WebSocket(url));
export async function sum(): Promise<number> {
  let sum = 0;
  for await (const event of events(stats)) if (event.type === 'message') sum += event.data;
  return sum;
}
// @ts-expect-error: it is a text
client.room('chat:a').publish({ text: 1 });
// @ts-expect-error: there is no such room
client.room('other');
`,
        });
        const checks = { strict: true, noEmit: true, skipLibCheck: false, target: 'es2022' };
        const compilerOptions = { ...checks, module, moduleResolution: resolution, types: [] };
        const project = `tsconfig.${source}.json`;
        write({ [project]: JSON.stringify({ compilerOptions, files: [source] }) });
        await node(join(tools, 'typescript/bin/tsc'), '-p', project);
      },
    );

    it.each([
      ['import', 'mjs', (path: string) => `await import('${path}')`],
      ['require', 'cjs', (path: string) => `require('${path}')`],
    ])('by its client, by %s', async (_, ending, load) => {
      const paths = ['', '/backfill', '/events', '/presence', '/sockjs'].map(
        (path) => `roomcast-client${path}`,
      );
      const all = paths.map((path) => `...Object.keys(${load(path)})`).join(', ');
      write({ [`client.${ending}`]: `console.log(JSON.stringify([${all}].sort()));` });
      const { stdout } = await node('--no-warnings', `client.${ending}`);
      expect(JSON.parse(stdout)).toEqual(
        [
          'RoomcastError',
          'Unauthorised',
          'connect',
          'events',
          'healing',
          'presence',
          'withSockJS',
        ].sort(),
      );
    });

    it('in a test of node:test', async () => {
      takeTests();
      expect((await node('--test', 'score.node.mjs')).stdout).toMatch(/pass 1$/m);
    });

    it('in a test of vitest', async () => {
      takeTests();
      const config = 'export default { test: { include: ["*.vitest.mjs"] } };';
      write({ 'vitest.config.mjs': config });
      const args = ['run', '--reporter=json', PATIENCE];
      const { stdout } = await node(join(tools, 'vitest/vitest.mjs'), ...args);
      rmSync(join(app, 'vitest.config.mjs'));
      expect(JSON.parse(stdout)).toMatchObject({ numPassedTests: 1, numTotalTests: 1 });
    });

    it('in a test of jest', async () => {
      takeTests();
      const config = 'export default { transform: {}, testMatch: ["**/*.jest.mjs"] };';
      write({ 'jest.config.mjs': config });
      const { stderr } = await run(process.execPath, [join(tools, 'jest/bin/jest.js'), PATIENCE], {
        NODE_OPTIONS: '--experimental-vm-modules',
      });
      expect(stderr).toContain('Tests:       1 passed, 1 total');
    });

    it('in the test that the README shows, with vitest', async () => {
      write({ 'readme.test.ts': /```ts\n(.*?)```/s.exec(readme)?.[1] as string });
      const { stdout } = await node(join(tools, 'vitest/vitest.mjs'), 'run', '--reporter=json');
      expect(JSON.parse(stdout)).toMatchObject({ numPassedTests: 1, numTotalTests: 1 });
    });

    it('by a stranger, with Express: two clients chat, a third reads nothing and harms nobody', async () => {
      const url = await startExample('express.mjs');
      expect(await (await fetch(url)).text()).toBe('the app');
      const [one, two, stalled] = await Promise.all(
        [1, 2, 3].map(() => connectReading('websocket', url)),
      );
      for (const peer of [one, two, stalled]) {
        peer!.say({ type: 'join', id: 1, room: 'chat' });
        await peer!.until(() => peer!.events.some(({ type }) => type === 'joined'));
      }
      stalled!.stall();
      const MESSAGES = 180;
      for (let n = 1; n <= MESSAGES; n += 1) {
        (n % 2 ? one : two)!.say({ type: 'publish', room: 'chat', data: 'x'.repeat(50_000) });
        await one!.until(() => one!.events.filter(({ type }) => type === 'message').length >= n);
      }
      await two!.until(
        () => two!.events.filter(({ type }) => type === 'message').length === MESSAGES,
      );
      for (const peer of [one, two]) {
        expect(peer!.events.filter(({ type }) => type === 'gap')).toEqual([]);
      }
      // 9 MB were for it, and its queue holds one.
      stalled!.resume();
      await stalled!.until(() => stalled!.events.some(({ type }) => type === 'gap'));
    });

    it('with Nest, in strict TypeScript: rooms are beside the app, which publishes to them', async () => {
      write({ 'nest.mts': example('embed/nest.ts') });
      const as = ['--module', 'nodenext', '--target', 'es2023', '--types', 'node'];
      const flags = ['--strict', '--experimentalDecorators', '--skipLibCheck'];
      await node(join(tools, 'typescript/bin/tsc'), ...as, ...flags, 'nest.mts');
      const url = await startExample('nest.mjs', readFileSync(join(app, 'nest.mjs'), 'utf8'));
      expect(await (await fetch(url)).text()).toBe('the app');
      const peer = await connectReading('websocket', url);
      peer.say({ type: 'join', id: 1, room: 'a' });
      await peer.until(() => peer.events.some(({ type }) => type === 'joined'));
      expect((await fetch(`${url}/news`, { method: 'POST' })).status).toBe(201);
      await peer.until(() => peer.events.some(({ type }) => type === 'message'));
    });

    it.each(['websocket', 'xhr-streaming'] as const)(
      'with the sessions of an app with Express, over %s: who has logged in is that user, until they log out',
      async (transport) => {
        const url = await startExample('session.mjs');
        const body = JSON.stringify({ user: 'ann' });
        const json = { 'content-type': 'application/json' };
        const login = await fetch(`${url}/login`, { method: 'POST', headers: json, body });
        const [cookie] = login.headers.getSetCookie().map((each) => String(each.split(';')[0]));
        const ann = await connectReading(transport, url, {
          headers: { cookie: `other=1; ${cookie}` },
        });
        ann.say({ type: 'join', id: 1, room: 'a' });
        ann.say({ type: 'publish', id: 2, room: 'a', data: 'hello' });
        await ann.until(() => ann.events.some(({ type }) => type === 'message'));
        expect(ann.events.at(-1)).toMatchObject({ user: 'ann', data: 'hello' });
        const nobody = await connectReading(transport, url);
        expect(await nobody.closed).toBe(4001);
        await fetch(`${url}/logout`, { method: 'POST', headers: { cookie: `${cookie}` } });
        expect(await ann.closed).toBe(4005);
      },
    );

    it('with the command that the README shows', async () => {
      expect(readme).toContain('```sh\nnpm install roomcast\nnpx roomcast serve\n```');
      // A signal to npx does not reach what it runs; the terminal's Ctrl-C does.
      expect((await run('npx', ['--no', 'roomcast', '--', '--version'])).stdout).toBe(
        `${version}\n`,
      );
      const child = spawn(join(app, 'node_modules/.bin/roomcast'), ['serve', '--port', '0'], {
        cwd: app,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      onTestFinished(() => {
        child.kill('SIGKILL');
      });
      const exited = once(child, 'exit');
      for await (const line of createInterface({ input: child.stdout })) {
        const { msg, url } = JSON.parse(line) as { msg: string; url: string };
        if (msg !== 'serving') continue;
        const paths = ['/', '/runbook', '/docs', '/metrics', '/v1/openapi.json', '/v1/members'];
        const asked = paths.map(async (path) => [path, (await fetch(url + path)).status]);
        expect(await Promise.all(asked)).toEqual(paths.map((path) => [path, 200]));
        child.kill('SIGTERM');
      }
      expect(await exited).toEqual([0, null]);
    });
  });
});

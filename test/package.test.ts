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

/** Of the oldest Node that `engines` promises. */
const OLDEST = '20.19.0';
const OURS = ['@types/node', 'typescript', 'vitest'];
const FROM_REGISTRY = [
  'express@5.1.0',
  'jest@30.4.2',
  'publint@0.3.25',
  '@arethetypeswrong/cli@0.18.5',
];

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
    said = await npm(app, 'install', '--engine-strict', '--ignore-scripts', tarball);
    const all = readdirSync(installed, { recursive: true, withFileTypes: true });
    files = all
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name).slice(installed.length + 1));
  }, 300_000);

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
    await node(join(tools, 'publint/src/cli.js'), 'run', tarball, '--strict');
    await node(
      join(tools, '@arethetypeswrong/cli/dist/index.js'),
      tarball,
      '--profile',
      'esm-only',
    );
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

    it.concurrent.each([
      ['node16', 'node16', 'mts'],
      ['nodenext', 'nodenext', 'mts'],
      ['nodenext', 'nodenext', 'cts'],
      ['esnext', 'bundler', 'ts'],
    ])(
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

    const TEST = `
test('mine', async () => {
  const server = await startTestServer();
  const { seq } = await server.publish('news', 1);
  await server.close();
  if (seq !== 1) throw new Error(String(seq));
});
`;

    it('in a test of node:test', async () => {
      write({
        'node.mjs': `
import { test } from 'node:test';
import { startTestServer } from 'roomcast/testing';
${TEST}`,
      });
      expect((await node('--test', 'node.mjs')).stdout).toMatch(/pass 1$/m);
    });

    it('in a test of jest', async () => {
      write({
        'jest.config.mjs': 'export default { transform: {}, testMatch: ["**/*.jest.mjs"] };',
        'mine.jest.mjs': `
import { startTestServer } from 'roomcast/testing';
${TEST}`,
      });
      const { stderr } = await run(process.execPath, [join(tools, 'jest/bin/jest.js')], {
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
      const example = readFileSync(join(installed, 'examples/embed/express.mjs'), 'utf8');
      write({ 'app.mjs': example });
      const child = spawn(process.execPath, ['app.mjs'], {
        cwd: app,
        env: { ...process.env, PORT: '0' },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      onTestFinished(() => {
        child.kill('SIGKILL');
      });
      const [line] = await once(createInterface({ input: child.stdout }), 'line');
      const url = String(line);
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

/**
 * What the pages show to be copied: every block of code is code that names what there is, every line for
 * a shell has commands and flags that there are, and what stands alone is run as it is printed. The
 * README has a file of its own (`readme.test.ts`).
 */
import { execFile, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { transform } from 'esbuild';
import { expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { defaults } from '../src/options/config.js';
import { hasChromium, launchChromium } from './support/chromium.js';
import { serve } from './support/server.js';
import { Signal } from './support/signal.js';

const ROOT = new URL('../', import.meta.url).pathname;
const MAIN = join(ROOT, 'dist/cli/main.js');

const pages = [
  'README.md',
  'client/README.md',
  'client/LOSS.md',
  'grafana/README.md',
  ...readdirSync(join(ROOT, 'docs')).flatMap((name) =>
    name.endsWith('.md') ? `docs/${name}` : [],
  ),
];

interface Block {
  readonly page: string;
  readonly language: string;
  readonly code: string;
}

const blocks: readonly Block[] = pages.flatMap((page) =>
  Array.from(
    readFileSync(join(ROOT, page), 'utf8').matchAll(/^```(\w+)\n(.*?)^```$/gms),
    ([, language, code]) => ({ page, language: String(language), code: String(code) }),
  ),
);
const of = (...languages: string[]) =>
  blocks.filter(({ language }) => languages.includes(language));

test('every block has a language that is looked at here', () => {
  const known = ['html', 'js', 'json', 'sh', 'ts', 'yaml'];
  expect(blocks.filter(({ language }) => !known.includes(language))).toEqual([]);
  for (const { code } of of('json')) JSON.parse(code);
});

test('the bounds that the page on security names are the defaults', () => {
  const page = readFileSync(join(ROOT, 'docs/security.md'), 'utf8');
  const rows = [...page.matchAll(/^\| ((?:`--[\w-]+`(?:, )?)+) \| ([\d., ]+) \|/gm)];
  const told = rows.flatMap(([, names, values]) => {
    const each = String(values).split(', ');
    return Array.from(String(names).matchAll(/`--([\w-]+)`/g), ([, flag], index) => {
      const name = String(flag).replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
      return [name, each[index]] as const;
    });
  });
  expect(told.length).toBeGreaterThan(15);
  const wrong = told.filter(
    ([name, value]) => String(defaults[name as keyof typeof defaults]) !== value,
  );
  expect(wrong).toEqual([]);
  for (const name of ['maxConnectionsPerAddress', 'maxConnectionsPerUser'] as const) {
    expect(defaults[name]).toBe(0);
  }
});

test('code can be read, and what it imports of ours is there', async () => {
  const missing: string[] = [];
  for (const { page, code } of of('js', 'ts')) {
    await transform(code, { loader: 'ts', format: 'esm' });
    for (const [, names, from] of code.matchAll(/import \{([^}]*)\} from '(roomcast[^']*)'/g)) {
      const has = Object.keys(await import(/* @vite-ignore */ String(from)));
      for (const name of String(names).split(',')) {
        const value = name.trim();
        if (value.startsWith('type ') || has.includes(value)) continue;
        missing.push(`${page}: ${value} of ${from}`);
      }
    }
  }
  expect(missing).toEqual([]);
});

test('commands and flags are there', async () => {
  const helps = new Map<string, string>();
  const help = async (command: string) => {
    const args = [MAIN, ...command.split(' '), '--help'];
    if (!helps.has(command)) {
      helps.set(command, (await promisify(execFile)(process.execPath, args)).stdout);
    }
    return String(helps.get(command));
  };
  const wrong: string[] = [];
  let seen = 0;
  for (const { page, code } of of('sh')) {
    for (const line of code.replaceAll('\\\n', ' ').split('\n')) {
      const [, command, rest = ''] =
        /\broomcast (load agent|check-config|completion|demo|load|locks|serve|token)\b(.*)/.exec(
          line,
        ) ?? [];
      if (command === undefined) continue;
      seen += 1;
      const text = await help(command);
      for (const [, flag] of rest.matchAll(/(?:^|\s)(--[a-z][a-z-]*)/g)) {
        if (!text.includes(`${flag} `) && !text.includes(`${flag}\n`))
          wrong.push(`${page}: ${flag}`);
      }
    }
  }
  expect(seen).toBeGreaterThan(5);
  expect(wrong).toEqual([]);
}, 120_000);

/** A folder first in the path, whose `npx` runs what is built here. */
function withNpx(): string {
  const folder = mkdtempSync(join(tmpdir(), 'docs-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const npx = join(folder, 'npx');
  writeFileSync(npx, `#!/bin/sh\nshift\nexec '${process.execPath}' '${MAIN}' "$@"\n`);
  chmodSync(npx, 0o755);
  return folder;
}

test('the lines for a token start a server that takes it', async () => {
  const block = of('sh').find(
    ({ page, code }) => page === 'README.md' && /npx roomcast token/.test(code),
  );
  // The server of the block goes when its shell is told to.
  const child = spawn('sh', ['-c', `${block?.code}wait`], {
    detached: true,
    env: { ...process.env, ROOMCAST_PORT: '0', PATH: `${withNpx()}:${process.env['PATH']}` },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  onTestFinished(() => void process.kill(-(child.pid as number), 'SIGKILL'));
  let url: string | undefined;
  let token: string | undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    url ??= /"url":"([^"]+)"/.exec(line)?.[1];
    token ??= /^eyJ[\w.-]+$/.exec(line)?.[0];
    if (url !== undefined && token !== undefined) break;
  }
  const headers = { authorization: `Bearer ${token}` };
  const socket = new WebSocket(`${url?.replace('http', 'ws')}/ws`, { headers });
  onTestFinished(() => socket.terminate());
  socket.on('open', () => socket.send('{"type":"join","id":1,"room":"chat:lobby"}'));
  const answer = await new Promise((resolve) => {
    socket.on('message', (text) => {
      if (JSON.parse(String(text)).id === 1) resolve(JSON.parse(String(text)));
    });
    socket.on('close', resolve);
  });
  expect(answer).toMatchObject({ type: 'joined', room: 'chat:lobby' });
});

test.skipIf(!hasChromium).each(of('html'))('the page in $page talks', async ({ code }) => {
  const { url } = await serve();
  const browser = await launchChromium();
  onTestFinished(() => browser.close());
  const page = await browser.newPage();
  const lines: string[] = [];
  const changed = new Signal();
  page.on('console', (message) => {
    lines.push(message.text());
    changed.fire();
  });
  await page.setContent(code.replaceAll('127.0.0.1:8080', url.replace('http://', '')));
  await changed.until(() => lines.some((line) => /^(me: )?hello$/.test(line)));
});

/** `roomcast load` as its users run it: a process, its output, its exit code. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { loadCommand } from '../../src/cli/load.js';
import type { LoadReport } from '../../src/load/report/report.js';
import { startBroadcastServer } from '../support/broadcast-server.js';
import { serve } from '../support/server.js';
import { Signal } from '../support/signal.js';

const MAIN = new URL('../../dist/cli/main.js', import.meta.url).pathname;
const QUICK = ['--target', 'ws', '--members', '12', '--rate', '100/s', '--ramp-up', '0'].concat([
  '--settle',
  '200ms',
  '--warmup',
  '0',
  '--calm',
  '1s',
  '--drain',
  '5s',
]);
/** Passed, or void where the machine was too busy for a verdict on times. */
const NOT_FAILED = [0, 3];

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

function start(args: string[]): { pid: number; interrupt(): void; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [MAIN, 'load', ...args]);
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = once(child, 'close').then(([code]) => ({ code, stdout, stderr }));
  return { pid: child.pid ?? 0, interrupt: () => child.kill('SIGINT'), ended };
}

const load = (...args: string[]): Promise<Ended> => start(args).ended;

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'load-'));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

test('a run in a pipe says nothing but its summary, and writes its files', async () => {
  const server = await startBroadcastServer('loop');
  onTestFinished(() => server.close());
  const [json, html] = [join(folder(), 'r.json'), join(folder(), 'r.html')];
  const { code, stdout, stderr } = await load(server.url, ...QUICK, '--json', json, '--html', html);
  expect(stderr).toBe('');
  expect(NOT_FAILED).toContain(code);
  expect(stdout).toMatch(/^custom\n {2}ws over websocket/);
  expect(stdout).toMatch(/ok\s+accounting/);
  const report = JSON.parse(readFileSync(json, 'utf8')) as LoadReport;
  expect(report).toMatchObject({ format: 'roomcast-load', version: 2 });
  expect(readFileSync(html, 'utf8')).toContain('<!doctype html>');

  const compared = await load(server.url, ...QUICK, '--compare', json, '--tolerance', '10000%');
  expect(NOT_FAILED).toContain(compared.code);
  expect(compared.stdout).toMatch(/ok\s+compare healthy\.p99@calm/);
  const other = await load(server.url, ...QUICK, '--size', '99', '--compare', json);
  expect(other).toMatchObject({ code: 2, stdout: '' });
  expect(other.stderr).toContain('is no baseline for this test: size 128 B there, 99 B here');
});

test('with --json - standard output is the report and nothing else', async () => {
  const server = await startBroadcastServer('loop');
  onTestFinished(() => server.close());
  const files = ['--junit', join(folder(), 'r.xml'), '--markdown', join(folder(), 'r.md')];
  const { code, stdout, stderr } = await load(
    server.url,
    ...QUICK,
    '--duration',
    '1s',
    '--json',
    '-',
    ...files,
  );
  expect(NOT_FAILED).toContain(code);
  expect(JSON.parse(stdout)).toMatchObject({ format: 'roomcast-load' });
  expect(stderr).toMatch(/^custom\n {2}ws over websocket/);
  expect(readFileSync(files[1]!, 'utf8')).toMatch(/^<\?xml /);
  expect(readFileSync(files[3]!, 'utf8')).toMatch(/^## /);
});

test('several workers count exactly what one would', async () => {
  const server = await serve();
  const json = join(folder(), 'r.json');
  const load3 = ['--target', 'roomcast', '--rooms', '2', '--publishers', '2', '--workers', '3'];
  const { code } = await load(server.url, ...QUICK, ...load3, '--json', json);
  expect(NOT_FAILED).toContain(code);
  const { cohorts, publishing, timeline } = (JSON.parse(readFileSync(json, 'utf8')) as LoadReport)
    .runs[0]!;
  // 100 due in the second, however late its end is heard of, and a last one of each publisher.
  expect(publishing).toMatchObject({ sent: 104, accepted: 104, offered: 100 });
  expect(cohorts[0]!.phases.calm!.latency.count).toBe(12 * (100 / 2));
  expect(cohorts[0]!.counters).toMatchObject({
    present: 12,
    connects: 12,
    owed: 0,
    received: 12 * (104 / 2),
  });
  expect(timeline.reduce((sum, { sent }) => sum + sent, 0)).toBeLessThanOrEqual(104);
  // Unmerged, three workers would have a row each.
  expect(timeline.length).toBeLessThan(3);
});

test('a worker that is lost leaves the run incomplete', async () => {
  const server = await startBroadcastServer('loop');
  onTestFinished(() => server.close());
  const { pid, ended } = start([server.url, ...QUICK, '--calm', '60s', '--workers', '2']);
  const joined = (): boolean => server.connections.size >= 12;
  await vi.waitFor(() => expect(joined()).toBe(true), { timeout: 10_000 });
  const [worker] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  process.kill(Number(worker), 'SIGKILL');
  const { code, stderr } = await ended;
  expect(stderr).toBe('roomcast: a worker process ended: SIGKILL\n');
  expect(code).toBe(4);
});

test('a server that waits for each send fails by name', async () => {
  const server = await startBroadcastServer('awaiting');
  onTestFinished(() => server.close());
  // A member that has never read has the least kernel buffer, and 6.5 MB a second soon fill it.
  const slow = ['--calm', '0', '--fill', '0', '--slow', '3s', '--silence', '1s'].concat([
    '--cohort',
    'stalled=1',
  ]);
  const { code, stdout } = await load(server.url, ...QUICK, ...slow, '--size', '64KiB');
  const flow = /(FAIL|void) +flow +in phase slow, 11 of 11 healthy members got nothing/;
  const [, status] = flow.exec(stdout) ?? [];
  expect(status, stdout).toBeDefined();
  // On a machine that is too busy with other things to tell, nobody is to blame.
  if (status === 'void') return;
  expect(stdout).toMatch(/^FAILED: .*flow/m);
  expect(code).toBe(1);
});

test('interrupted, it reports what it has', async () => {
  const published = new Signal();
  let messages = 0;
  const server = await startBroadcastServer('loop', 0, (text) => {
    messages++;
    published.fire();
    return text;
  });
  onTestFinished(() => server.close());
  const json = join(folder(), 'r.json');
  const { interrupt, ended } = start([server.url, ...QUICK, '--calm', '60s', '--json', json]);
  await published.until(() => messages >= 50);
  interrupt();
  const { code, stdout } = await ended;
  expect([130, 3]).toContain(code);
  expect(stdout).toContain('interrupted: phases may be missing or short');
  const { runs } = JSON.parse(readFileSync(json, 'utf8')) as LoadReport;
  expect(runs[0]).toMatchObject({ interrupted: true });
  expect(runs[0]!.cohorts[0]!.phases.calm!.latency.count).toBeGreaterThanOrEqual(12 * 40);
});

test('a target that does not answer is exit code 2, in one line', async () => {
  const { code, stdout, stderr } = await load('ws://127.0.0.1:1', ...QUICK);
  expect(code).toBe(2);
  expect(stdout).toBe('');
  expect(stderr).toBe('roomcast: cannot reach ws at 127.0.0.1:1: ECONNREFUSED\n');
});

test('a bad option is exit code 2, in one line', async () => {
  const { code, stdout, stderr } = await load('ws://h', '--rate', 'fast');
  expect(stderr).toBe('roomcast: rate is "fast": expected a rate above 0, such as 250/s\n');
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  const unknown = await load('ws://h', '--target', 'irc');
  expect(unknown.stderr).toContain('Allowed choices are roomcast, ws, echo, socketio, nats');
  expect(unknown.code).toBe(2);
});

/** The command in this process: what it wrote, and the exit code it set. */
async function inProcess(...args: string[]): Promise<Ended> {
  const written = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      written[name] += text;
      return true;
    });
  }
  const before = process.exitCode;
  try {
    await loadCommand().exitOverride().parseAsync(args, { from: 'user' });
    return { code: Number(process.exitCode), ...written };
  } finally {
    process.exitCode = before;
    vi.restoreAllMocks();
  }
}

test.each([
  [['ws://h', '--cohort', 'stalled=200%'], 'cohorts is ["stalled=200%"]: expected fewer than 1000'],
  [['ws://h', '--fail-if', 'healthy.p99>1'], 'failIf healthy.p99>1 is "1": expected a duration'],
  [['ws://h', '--scenario', 'S99'], 'scenario is "S99": expected one of S0 baseline'],
  [['ws://h', '--scenario', 'none.json'], 'none.json: ENOENT'],
  [
    ['ws://h', '--json', '/no/such/folder/r.json'],
    'expected a file in a folder that can be written',
  ],
  [['ws://h', '--workers', '0'], '--workers is "0": expected a whole number from 1 to 64'],
  [['ws://h', '--header', 'nonsense'], '--header is "nonsense": expected Name: value'],
  [['ws://h', '--compare', 'none.json'], 'none.json: ENOENT'],
  [['ws://h', '--server-pid', '4194999'], '--server-pid is 4194999: expected a process'],
  [['ws://h', '--agents', 'h'], '--agents is "h": expected host:port, such as 10.0.0.2:7700'],
  [['ws://h', '--agents', 'h:1'], '--secret-file is "": expected a file with a secret'],
  [['ws://h', '--agents', 'h:1', '--secret-file', '/no'], '--secret-file /no: ENOENT'],
  [
    ['ws://h', '--agents', 'h:1', '--secret-file', '/dev/null'],
    '--secret-file is "/dev/null": expected a file with 16 characters or more',
  ],
  [
    ['ws://h', '--secret-file', '/dev/null'],
    '--secret-file is "/dev/null": expected --agents with',
  ],
  [['agent', '--listen', 'x', '--secret-file', '/no'], '--listen is "x": expected host:port'],
  [['agent', '--listen', '1', '--secret-file', '/no'], '--secret-file /no: ENOENT'],
  [['agent', '--listen', '1'], '--secret-file is "": expected a file with a secret'],
  [['ws://h', '--metrics-port', 'x'], '--metrics-port is "x": expected host:port'],
  [['ws://h', '--duration', '0'], 'duration is "0": expected a duration longer than 0'],
  [['ws://h', '--json', '-', '--html', '-'], '--html is "-": expected a file: --json has standard'],
  [['ws://h', '--protocol', '/no.mjs'], '/no.mjs: ENOENT'],
  [['ws://h', '--protocol', '/dev/null'], '/dev/null: its default export is undefined'],
  [
    ['ws://h', '--protocol', 'x.mjs', '--target', 'ws'],
    '--target is "ws": expected either --target or --protocol',
  ],
  [['gopher://h'], 'expected a ws:, wss:, http: or https: URL'],
  [[], '<url> is "": expected where the server is'],
])('what makes no sense is refused: %j', async (args, message) => {
  const { code, stdout, stderr } = await inProcess(...args);
  expect(stderr).toContain(message);
  expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  expect(stdout).toBe('');
  expect(code).toBe(2);
});

test('a printed scenario is a file that means the same', async () => {
  const flags = ['--scenario', 'S4', '--window', '16', '--cohort', 'late=3,after=1s'];
  const printed = await inProcess('--print-scenario', ...flags);
  expect(printed.code).toBe(0);
  const file = join(folder(), 'own.json');
  writeFileSync(file, printed.stdout);
  expect(JSON.parse(printed.stdout)).toMatchObject({
    name: 'stalled-50',
    window: '16',
    cohorts: ['late=3,after=1s'],
  });
  expect(JSON.parse(printed.stdout)).not.toHaveProperty('rate');
  expect((await inProcess('--print-scenario', '--scenario', file)).stdout).toBe(printed.stdout);
  expect((await inProcess('--list-scenarios')).stdout).toMatch(/^S0 .*\n(.*\n)*S13 .*\n$/);
});

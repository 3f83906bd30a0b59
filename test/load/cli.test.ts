/** `roomcast load` as a process: its output and its exit code. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { loadCommand } from '../../src/cli/load.js';
import { LiveMetrics } from '../../src/load/live-metrics.js';
import type { LoadReport } from '../../src/load/report/report.js';
import { startBroadcastServer } from '../support/broadcast-server.js';
import { type Ended, MAIN, NOT_FAILED, QUICK, start, temporary } from '../support/load-process.js';
import { serve } from '../support/server.js';
import { Signal } from '../support/signal.js';

const load = (...args: string[]): Promise<Ended> => start(args).ended;

test('a run in a pipe prints only its summary, and writes its files', async () => {
  const server = await startBroadcastServer('loop');
  onTestFinished(() => server.close());
  const [json, html] = [join(temporary(), 'r.json'), join(temporary(), 'r.html')];
  const { code, stdout, stderr } = await load(server.url, ...QUICK, '--json', json, '--html', html);
  expect(stderr).toBe('');
  expect(NOT_FAILED).toContain(code);
  expect(stdout).toMatch(/^custom\n {2}ws over websocket/);
  expect(stdout).toMatch(/ok\s+accounting/);
  const report = JSON.parse(readFileSync(json, 'utf8')) as LoadReport;
  expect(report).toMatchObject({ format: 'roomcast-load', version: 2 });
  expect(readFileSync(html, 'utf8')).toContain('<!doctype html>');

  // On a busy machine the run is void, which is not accepted as a baseline.
  const baseline = { ...report, verdict: { ...report.verdict, outcome: 'passed' } };
  writeFileSync(json, JSON.stringify(baseline));
  const compared = await load(server.url, ...QUICK, '--compare', json, '--tolerance', '10000%');
  expect(NOT_FAILED).toContain(compared.code);
  expect(compared.stdout).toMatch(/ok\s+compare healthy\.p99@calm/);
  const other = await load(server.url, ...QUICK, '--size', '99', '--compare', json);
  expect(other).toMatchObject({ code: 2, stdout: '' });
  expect(other.stderr).toContain(
    'cannot be the baseline for this test: size 128 B there, 99 B here',
  );
});

test('with --json - standard output is the report and nothing else', async () => {
  const server = await startBroadcastServer('loop');
  onTestFinished(() => server.close());
  const files = ['--junit', join(temporary(), 'r.xml'), '--markdown', join(temporary(), 'r.md')];
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

test('a report that cannot be written is named, and the others are written', async () => {
  const server = await startBroadcastServer('loop');
  onTestFinished(() => server.close());
  const junit = join(temporary(), 'r.xml');
  const files = ['--json', '/dev/full', '--junit', junit];
  const { code, stdout, stderr } = await load(server.url, ...QUICK, ...files);
  expect(stderr).toBe('roomcast: --json /dev/full: ENOSPC: no space left on device, write\n');
  expect(stdout).toMatch(/ok\s+accounting/);
  expect(readFileSync(junit, 'utf8')).toMatch(/^<\?xml /);
  // Void if the machine was too busy to judge times.
  expect([2, 3]).toContain(code);
});

test('several workers count exactly what one would', async () => {
  const server = await serve();
  const json = join(temporary(), 'r.json');
  const load3 = ['--target', 'roomcast', '--rooms', '2', '--publishers', '2', '--workers', '3'];
  const { code } = await load(server.url, ...QUICK, ...load3, '--json', json);
  expect(NOT_FAILED).toContain(code);
  const { cohorts, publishing, timeline } = (JSON.parse(readFileSync(json, 'utf8')) as LoadReport)
    .runs[0]!;
  // 100 are due in the second, however late the worker notices its end; each publisher sends a last one.
  expect(publishing).toMatchObject({ sent: 104, accepted: 104, offered: 100 });
  expect(cohorts[0]!.phases.calm!.latency.count).toBe(12 * (100 / 2));
  expect(cohorts[0]!.counters).toMatchObject({
    present: 12,
    connects: 12,
    owed: 0,
    received: 12 * (104 / 2),
  });
  expect(timeline.reduce((sum, { sent }) => sum + sent, 0)).toBeLessThanOrEqual(104);
  // Without merging, each of three workers would have a row.
  expect(timeline.length).toBeLessThan(3);
});

test('a server that requires tokens is loaded with its secret, and no token is in the reports', async () => {
  const secret = 'the-secret-of-a-load-of-32-characters';
  const server = await serve({ tokenSecret: [secret] });
  const [json, file] = [join(temporary(), 'r.json'), join(temporary(), 'secret')];
  writeFileSync(file, `${secret}\n`);
  const scrapedWith = new Set<string | undefined>();
  const metrics = createServer(({ headers }, response) => {
    scrapedWith.add(headers.authorization);
    response.end('roomcast_members 1\n');
  }).listen(0, '127.0.0.1');
  await once(metrics, 'listening');
  onTestFinished(() => void metrics.close());
  const { port } = metrics.address() as AddressInfo;
  for (const transport of ['websocket', 'xhr-streaming']) {
    const run = [...QUICK, '--target', 'roomcast', '--transport', transport, '--json', json];
    const { code, stderr, stdout } = await load(
      transport === 'websocket' ? server.url.replace('http', 'ws') : server.url,
      ...run,
      ...['--token-secret-file', file],
      ...['--header', 'Authorization: Bearer key', '--metrics-url', `http://127.0.0.1:${port}/`],
    );
    expect([stderr, NOT_FAILED.includes(code ?? -1)], stdout).toEqual(['', true]);
    const text = readFileSync(json, 'utf8');
    expect((JSON.parse(text) as LoadReport).runs[0]!.cohorts[0]!.counters).toMatchObject({
      present: 12,
      owed: 0,
    });
    expect(text).not.toContain('Bearer');
  }
  expect([...scrapedWith]).toEqual(['Bearer key']);
});

/** A run with two workers, and the process of one of them. */
async function underWay(...args: string[]) {
  const server = await startBroadcastServer('loop');
  onTestFinished(() => server.close());
  const files = Object.fromEntries(
    ['json', 'html', 'junit', 'markdown'].map((form) => [form, join(temporary(), form)]),
  );
  const outputs = Object.entries(files).flatMap(([form, file]) => [`--${form}`, file]);
  const running = start(
    [server.url, ...QUICK, '--calm', '60s', '--workers', '2'].concat(outputs, args),
  );
  await vi.waitFor(() => expect(server.connections.size).toBeGreaterThanOrEqual(13), {
    timeout: 30_000,
  });
  const [worker] = readFileSync(
    `/proc/${running.child.pid}/task/${running.child.pid}/children`,
    'utf8',
  ).split(' ');
  const read = () =>
    Object.fromEntries(
      Object.entries(files).map(([form, file]) => [form, readFileSync(file, 'utf8')]),
    );
  return { ended: running.ended, worker: Number(worker), read };
}

test('a worker that dies leaves the run incomplete, with its reports', async () => {
  const { ended, worker, read } = await underWay();
  process.kill(worker, 'SIGKILL');
  const { code, stdout, stderr } = await ended;
  expect({ code, stderr }).toEqual({ code: 4, stderr: '' });
  const lost = 'a worker process was lost: its process ended: SIGKILL';
  expect(stdout).toContain(`\nINCOMPLETE: ${lost}\n`);
  const { json = '', html, junit, markdown } = read();
  const { verdict, runs } = JSON.parse(json) as LoadReport;
  expect(verdict).toMatchObject({ outcome: 'incomplete', exit: 4 });
  expect(runs[0]).toMatchObject({ lost, interrupted: false });
  // The counts are reported, for the dead worker up to its last report; no check passes.
  expect(runs[0]!.cohorts[0]!.counters.connects).toBeGreaterThanOrEqual(6);
  expect(verdict.checks.filter(({ status }) => status === 'passed')).toEqual([]);
  expect(html).toContain(`>Incomplete: ${lost}<`);
  expect(junit).toContain(
    `<testcase classname="roomcast load" name="workers"><error message="${lost}`,
  );
  expect(markdown).toContain(`## INCOMPLETE: ${lost}`);
});

test('a worker that hangs is lost, and its process is killed', async () => {
  const { ended, worker, read } = await underWay();
  process.kill(worker, 'SIGSTOP');
  const { code, stdout } = await ended;
  expect(code).toBe(4);
  expect(stdout).toContain('INCOMPLETE: a worker process was lost: it has not answered for 10 s\n');
  expect(JSON.parse(read()['json']!)).toMatchObject({ verdict: { outcome: 'incomplete' } });
  await vi.waitFor(() => expect(() => process.kill(worker, 0)).toThrow('ESRCH'), {
    timeout: 30_000,
  });
});

test('a closed output does not change the exit code', async () => {
  // Every tenth message is lost unannounced.
  let count = 0;
  const server = await startBroadcastServer('loop', 0, (text) =>
    ++count % 10 === 0 ? undefined : text,
  );
  onTestFinished(() => server.close());
  const file = join(temporary(), 'r.xml');
  const child = spawn(process.execPath, [
    ...[MAIN, 'load', server.url, ...QUICK, '--drain', '500ms'],
    ...['--json', '-', '--junit', file],
  ]);
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdout.destroy();
  expect(await once(child, 'close')).toEqual([1, null]);
  expect(stderr).toMatch(/\nFAILED: .*accounting/);
  expect(stderr).not.toMatch(/EPIPE|\n {4}at /);
  expect(readFileSync(file, 'utf8')).toContain('<failure');
});

test('a server that waits for each send fails by name', async () => {
  const server = await startBroadcastServer('awaiting');
  onTestFinished(() => server.close());
  // A member that never read has the smallest kernel buffer, and 6.5 MB a second soon fill it.
  const slow = ['--calm', '0', '--fill', '0', '--slow', '3s', '--silence', '1s'].concat([
    '--cohort',
    'stalled=1',
  ]);
  const { code, stdout } = await load(server.url, ...QUICK, ...slow, '--size', '64KiB');
  const flow = /(FAIL|void) +flow +in phase slow, 11 of 11 healthy members got nothing/;
  const [, status] = flow.exec(stdout) ?? [];
  expect(status, stdout).toBeDefined();
  // On a machine that is too busy to judge times, the run is void.
  if (status === 'void') return;
  expect(stdout).toMatch(/^FAILED: .*flow/m);
  expect(code).toBe(1);
});

test('an interrupted run reports what it has measured', async () => {
  const published = new Signal();
  let messages = 0;
  const server = await startBroadcastServer('loop', 0, (text) => {
    messages++;
    published.fire();
    return text;
  });
  onTestFinished(() => server.close());
  const json = join(temporary(), 'r.json');
  const { child, ended } = start([server.url, ...QUICK, '--calm', '60s', '--json', json]);
  await published.until(() => messages >= 50);
  child.kill('SIGINT');
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
  expect(stderr).toMatch(/^roomcast: cannot reach ws at 127.0.0.1:1: ECONNREFUSED: nothing .*\n$/);
});

test('a bad option is exit code 2, in one line', async () => {
  const { code, stdout, stderr } = await load('ws://h', '--rate', 'fast');
  expect(stderr).toBe('roomcast: rate is "fast": expected a rate above 0, such as 250/s\n');
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  const unknown = await load('ws://h', '--target', 'irc');
  expect(unknown.stderr).toContain('Allowed choices are roomcast, ws, echo, socketio, nats');
  expect(unknown.code).toBe(2);
});

/** Runs the command in this process; returns its output and exit code. */
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
  [
    ['ws://h', '--token-secret', 'x'],
    '--token-secret is "(not shown)": expected at most 4 secrets',
  ],
  [['ws://h', '--token-secret-file', '/no'], '--token-secret-file is "(not shown)": expected'],
  [
    ['ws://h', '--target', 'ws', '--token-secret', 'x'],
    '--token-secret is "(not shown)": expected it with roomcast as the target',
  ],
  [['ws://h', '--compare', 'none.json'], 'none.json: ENOENT'],
  [
    ['ws://h', '--target', 'ws', '--publish', 'hello'],
    '--publish is "hello": expected a text that contains {data}, the message',
  ],
  [
    ['ws://h', '--publish', '{data}'],
    '--publish is "{data}": expected it only with ws, echo, socketio',
  ],
  [
    ['ws://h', '--target', 'nats', '--join', 'SUB'],
    '--join is "SUB": expected it only with ws, echo, socketio',
  ],
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
  [
    ['agent', '--listen', 'x', '--secret-file', '/no'],
    '--listen is "x": expected a port, or host:port',
  ],
  [['agent', '--listen', '1', '--secret-file', '/no'], '--secret-file /no: ENOENT'],
  [['agent', '--listen', '1'], '--secret-file is "": expected a file with a secret'],
  [['ws://h', '--metrics-port', 'x'], '--metrics-port is "x": expected a port, or host:port'],
  [
    ['ws://h', '--metrics-port', '99999'],
    '--metrics-port is "99999": expected a port of at most 65535',
  ],
  [['ws://h', '--duration', '0'], 'duration is "0": expected a duration longer than 0'],
  [
    ['ws://h', '--json', '-', '--html', '-'],
    '--html is "-": expected a file: --json uses standard',
  ],
  [['ws://h', '--protocol', '/no.mjs'], '/no.mjs: ENOENT'],
  [['ws://h', '--protocol', '/dev/null'], '/dev/null: open is undefined: expected a function'],
  [
    ['ws://h', '--protocol', 'x.mjs', '--target', 'ws'],
    '--target is "ws": expected either --target or --protocol',
  ],
  [
    ['ws://me:secret@h'],
    '<url> is "(not shown)": expected no user or password in it, but --header',
  ],
  [['gopher://h'], 'expected a ws:, wss:, http: or https: URL'],
  [[], '<url> is "": expected where the server is'],
])('an invalid command line is refused: %j', async (args, message) => {
  const { code, stdout, stderr } = await inProcess(...args);
  expect(stderr).toContain(message);
  expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  expect(stdout).toBe('');
  expect(code).toBe(2);
});

test('a printed scenario, used as a file, gives the same plan', async () => {
  const flags = ['--scenario', 'S4', '--window', '16', '--cohort', 'late=3,after=1s'];
  const printed = await inProcess('--print-scenario', ...flags);
  expect(printed.code).toBe(0);
  const file = join(temporary(), 'own.json');
  writeFileSync(file, printed.stdout);
  expect(JSON.parse(printed.stdout)).toMatchObject({
    name: 'stalled-50',
    window: '16',
    cohorts: ['late=3,after=1s'],
  });
  expect(JSON.parse(printed.stdout)).not.toHaveProperty('rate');
  expect((await inProcess('--print-scenario', '--scenario', file)).stdout).toBe(printed.stdout);
  expect((await inProcess('--list-scenarios')).stdout).toMatch(
    /^S0 .*\n(.*\n)*S15 .*\n\nAlso <kind>-<percent>, like stalled-10: .*\n$/,
  );
});

test('a bug of the tool ends with exit code 70 and the stack, not a verdict', async () => {
  vi.spyOn(LiveMetrics, 'open').mockRejectedValue(new TypeError('no such thing'));
  const { code, stderr } = await inProcess('ws://127.0.0.1:1', '--metrics-port', '0');
  expect(code).toBe(70);
  expect(stderr).toMatch(/^roomcast: bug in roomcast load: TypeError: no such thing\n {4}at /);
});

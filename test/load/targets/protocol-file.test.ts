/** Protocol files: their requirements, and that a wrong one ends the test with one line. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test as inOrder, vi } from 'vitest';
import { loadTest } from '../../../src/load/load-test.js';
import { resolvePlan, type Scenario } from '../../../src/load/plan.js';
import type { LoadReport } from '../../../src/load/report/report.js';
import { loadProtocol, protocolFile } from '../../../src/load/targets/protocol-file.js';
import { startBroadcastServer } from '../../support/broadcast-server.js';
import { targetSpec } from '../../support/load-fakes.js';

// Most of the time goes to timeouts of 5 or 10 s, which all run at once, or to starting a process.
vi.setConfig({ maxConcurrency: 12 });
const test = inOrder.concurrent;

const cleanups: (() => unknown)[] = [];
afterAll(() => Promise.all(cleanups.map((clean) => clean())));

const MAIN = new URL('../../../dist/cli/main.js', import.meta.url).pathname;
const SMALL: Scenario = {
  members: '4',
  rate: '50/s',
  rampUp: '0',
  settle: '0',
  warmup: '0',
  calm: '300ms',
  drain: '3s',
};

/** A working protocol for the broadcast server; each case overrides one part of it. */
const PARTS: Record<string, string> = {
  name: `'plain'`,
  open: '(connection) => { connection.ready(); }',
  join: '(connection, room) => { connection.joined(room); }',
  publish: '(connection, room, data) => { connection.send(data); }',
  decode: '(connection, frame) => { connection.message(frame.text()); }',
};

/** Does not return, and uses no CPU. */
const HANGS = 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)';

function file(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'protocol-'));
  cleanups.push(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'own.mjs');
  writeFileSync(path, text);
  return path;
}

function protocol(parts: Record<string, string>, before = ''): string {
  const all = Object.entries({ ...PARTS, ...parts }).map(([name, value]) => `${name}: ${value}`);
  return file(`${before}\nexport default { ${all.join(',\n')} };\n`);
}

async function load(path: string, scenario: Scenario = {}): Promise<LoadReport> {
  const server = await startBroadcastServer('loop');
  cleanups.push(() => server.close());
  const target = targetSpec('own', server.url, { protocol: await protocolFile(path) });
  const plan = resolvePlan({ ...SMALL, ...scenario }, target, 1, 'abcd');
  return loadTest(plan, { roomcast: 'test', repeat: 1 });
}

test('a protocol of four functions measures as the built-in one does', async () => {
  const report = await load(protocol({}));
  const { cohorts, publishing } = report.runs[0]!;
  expect(cohorts[0]!.counters.received).toBe(4 * publishing.sent);
  expect(report.verdict.checks.filter(({ status }) => status === 'failed')).toEqual([]);
});

test('the state belongs to one connection', async () => {
  const path = protocol({
    state: '() => ({ sent: 0 })',
    publish: `({ state, send }, room, data) => { throw new Error('publishes: ' + ++state.sent) }`,
  });
  await expect(load(path)).rejects.toThrow('publish threw Error: publishes: 1');
});

test.each([
  ['nothing', 'export const a = 1;', 'its default export is undefined: expected an object with'],
  [
    'a function',
    'export default () => {};',
    'its default export is a function: expected an object',
  ],
  ['not JavaScript', 'export default {', ''],
  ['a throw', `throw new Error('at load');`, 'Error: at load'],
])('a file that exports %s is refused', async (_, text, message) => {
  const path = file(text);
  const error: Error = await loadProtocol(await protocolFile(path)).catch((e) => e);
  expect(error).toMatchObject({ code: 'bad_protocol' });
  expect(error.message).toContain(`${path}: ${message}`);
  expect(error.message).not.toContain('\n');
});

test.each([
  [{ decode: 'undefined' }, 'decode is undefined: expected a function'],
  [{ join: '{}' }, 'join is a Object: expected a function'],
  [{ leave: '5' }, 'leave is 5: expected a function or nothing'],
  [{ backfill: '5' }, 'backfill is 5: expected a function or nothing'],
  [{ name: '""' }, 'name is "": expected a name of lower-case letters'],
  [{ path: `'ws'` }, 'path is "ws": expected a path that starts with /'],
  [{ path: `'/a\\r\\nX: y'` }, 'expected a path that starts with /'],
  [{ subprotocol: `'a\\r\\nX: y'` }, 'expected the name of a WebSocket subprotocol'],
  [{ frames: `'json'` }, `frames is "json": expected 'text' or 'binary'`],
  [{ numbered: '1' }, 'numbered is 1: expected true or false'],
  [{ heartbeatMs: '0', heartbeat: '() => {}' }, 'heartbeatMs is 0: expected a number'],
  [{ heartbeatMs: '1000' }, 'one of heartbeat and heartbeatMs is missing'],
])('a protocol with %j is refused before it runs', async (parts, message) => {
  const wanted = loadProtocol(await protocolFile(protocol(parts)));
  await expect(wanted).rejects.toMatchObject({
    code: 'bad_protocol',
    message: expect.stringContaining(message),
  });
});

test.each([
  [{ open: `() => { throw new Error('no'); }` }, 'open threw Error: no'],
  [{ state: `() => { throw new Error('no'); }` }, 'state threw Error: no'],
  [{ join: `() => { throw 'text'; }` }, 'join threw "text"'],
  [{ publish: 'async () => {}' }, 'publish returned a Promise: expected nothing'],
  [{ join: `(connection, room) => 'JOIN ' + room` }, 'join returned "JOIN load:'],
  [{ publish: '(connection) => { connection.send({}); }' }, 'send() got a Object'],
  [{ join: '(connection) => { connection.joined(5); }' }, 'joined() got 5: expected a text'],
  [{ decode: '(connection) => { connection.message(); }' }, 'message() got undefined'],
  [{ decode: `(c, f) => { c.message(f.text(), 'x'); }` }, 'message() got "x": expected a whole'],
  [
    {
      open: '(c) => { c.ready(); }',
      heartbeatMs: '1',
      heartbeat: '(c) => { c.beat(); }',
      join: '() => {}',
    },
    'heartbeat threw TypeError: c.beat is not a function',
  ],
])(
  'a protocol whose part goes wrong, %j, is named as the cause, and nothing is measured',
  async (parts, message) => {
    await expect(load(protocol(parts))).rejects.toMatchObject({
      code: 'bad_protocol',
      message: expect.stringContaining(message),
    });
  },
);

test.each([
  [
    { join: `(connection) => { connection.joined('other'); }` },
    'it joined "other" instead of load:',
  ],
  [
    { decode: '(connection, frame) => { frame.json(); }' },
    'sent a frame that is not JSON: "@@abcd',
  ],
  [{ join: `(connection, room) => { connection.refused('full'); }` }, 'refused: full'],
])('a server that does not speak it is unreachable: %j', async (parts, message) => {
  await expect(load(protocol(parts))).rejects.toMatchObject({
    code: 'unreachable',
    message: expect.stringContaining(message),
  });
});

test.each([
  [{ open: '() => {}' }, 'waited 5 s for the connection'],
  [{ join: '() => {}' }, 'waited 5 s for the answer to the join of load:'],
  [{ decode: '() => {}' }, 'waited 5 s for a message that was published'],
])('an event that never occurs is named: %j', async (parts, message) => {
  await expect(load(protocol(parts))).rejects.toMatchObject({
    code: 'unreachable',
    message: expect.stringContaining(message),
  });
});

/** A numbering protocol: a publish is delivered to everyone with a number, and confirmed if requested. */
const NUMBERED = {
  numbered: 'true',
  join: '(connection, room) => { connection.joined(room, 0); }',
  publish: `(connection, room, data) => { connection.send(data); connection.confirmed(room, 1); }`,
  decode: '(connection, frame) => { connection.message(frame.text(), 1); }',
};

test.each([
  [
    { join: '(connection, room) => { connection.joined(room); }' },
    "joined() got no number: expected the room's sequence number, because numbered is true",
  ],
  [
    { decode: '(connection, frame) => { connection.message(frame.text()); }' },
    "message() got no number: expected the room's sequence number, because numbered is true",
  ],
  [
    { publish: '(connection, room, data) => { connection.send(data); }' },
    'waited 5 s for the number of a message that was published (does decode report it by confirmed()?)',
  ],
])('a protocol with `numbered` must report the numbers: %j', async (parts, message) => {
  await expect(load(protocol({ ...NUMBERED, ...parts }))).rejects.toThrow(message);
});

test('a message that a file sends to the coordinator is reported as its fault', async () => {
  await expect(load(protocol({}, `process.send('ready');`))).rejects.toMatchObject({
    code: 'bad_protocol',
    message: expect.stringContaining('process.send is not a function'),
  });
});

test('a fault in the middle of a run ends it', async () => {
  const path = protocol(
    { decode: `(c, f) => { if (++frames > 60) throw new Error('late'); c.message(f.text()); }` },
    'let frames = 0;',
  );
  await expect(load(path, { calm: '60s' })).rejects.toMatchObject({
    code: 'bad_protocol',
    message: expect.stringContaining('decode threw Error: late'),
  });
});

test('a function that does not return leaves the run incomplete, with the counts until then', async () => {
  const path = protocol(
    { decode: `(c, f) => { if (++frames > 60) ${HANGS}; c.message(f.text()); }` },
    'let frames = 0;',
  );
  const { verdict, runs } = await load(path, { calm: '60s' });
  expect(verdict).toMatchObject({ outcome: 'incomplete', exit: 4 });
  expect(runs[0]!.lost).toBe(
    `a worker process was lost: it has not answered for 10 s: perhaps a function of ${path} does not return`,
  );
  expect(runs[0]!.cohorts[0]!.counters.connects).toBe(4);
});

test.each([
  ['for (;;);', 'it has not answered for 10 s: expected functions that return'],
  ['await new Promise(() => {});', 'it did not load within 5 s: expected a module without a long'],
  ['process.exit(0);', 'its process ended: exit code 0: expected functions that return and leave'],
  [`throw new Error('at load');`, 'Error: at load'],
])('a file that does %s is reported in one line, and ends the command', async (text, message) => {
  const path = file(text);
  const child = spawn(process.execPath, [MAIN, 'load', 'ws://127.0.0.1:1', '--protocol', path]);
  const said: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (each: string) => said.push(each));
  }
  expect(await once(child, 'close')).toEqual([2, null]);
  expect(said.join('')).toMatch(/^roomcast: [^\n]+\n$/);
  expect(said.join('')).toContain(`${path}: ${message}`);
});

test.each([
  [{ open: `() => { ${HANGS}; }` }, 'it has not answered for 10 s'],
  [{ open: `() => { setTimeout(() => { throw new Error('later'); }); }` }, 'Error: later'],
])('at first contact, %j is reported as a fault of the file', async (parts, message) => {
  await expect(load(protocol(parts))).rejects.toMatchObject({
    code: 'bad_protocol',
    message: expect.stringContaining(message),
  });
});

test('a file that has changed since the test began is not run', async () => {
  const path = protocol({});
  const before = await protocolFile(path);
  writeFileSync(path, 'export default {};');
  await expect(loadProtocol(before)).rejects.toThrow(
    'differs from the file the test was started with',
  );
});

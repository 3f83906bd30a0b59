/** Load from several machines: agents as processes, on loopback, behind a network, with another clock. */
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { Agent } from '../../../src/load/agent/agent.js';
import { Agents } from '../../../src/load/agent/agents.js';
import type { LoadReport } from '../../../src/load/report/report.js';
import { startBroadcastServer } from '../../support/broadcast-server.js';
import { type Ended, NOT_FAILED, QUICK, start, temporary } from '../../support/load-process.js';

const SECRET = 'a secret of these tests';
/** More than any delay of a busy machine; less than the clocks differ, which is an hour. */
const HOUR = 3600e6;

function secretFile(secret = SECRET): string {
  const file = join(temporary(), 'secret');
  writeFileSync(file, `${secret}\n`);
  return file;
}

/** An agent as a process; resolves with its address once it listens. */
async function startAgent(host = '127.0.0.1', within: string[] = []) {
  const args = ['agent', '--listen', `${host}:0`, '--secret-file', secretFile()];
  const { child, ended } = start(args, within);
  let said = '';
  const address = await new Promise<string>((resolve, reject) => {
    child.stdout!.on('data', (text: string) => {
      said += text;
      const listening = /listening on (\S+)\n/.exec(said)?.[1];
      if (listening) resolve(listening);
    });
    void ended.then(({ stderr }) => reject(new Error(stderr)));
  });
  return { address, child, ended, said: () => said };
}

async function load(
  url: string,
  agents: string[],
  ...more: string[]
): Promise<Ended & { report?: LoadReport }> {
  const json = join(temporary(), 'r.json');
  const args = ['--agents', agents.join(','), '--secret-file', secretFile(), '--json', json];
  const ended = await start([url, ...QUICK, ...args, ...more]).ended;
  const written = spawnSync('test', ['-s', json]).status === 0;
  return written ? { ...ended, report: JSON.parse(readFileSync(json, 'utf8')) } : ended;
}

async function broadcast() {
  const server = await startBroadcastServer('loop');
  onTestFinished(() => server.close());
  return server;
}

test('two agents count exactly what one machine would', async () => {
  const [server, a, b] = [await broadcast(), await startAgent(), await startAgent()];
  const ended = await load(
    server.url,
    [a.address, b.address],
    '--workers',
    '2',
    '--publishers',
    '3',
  );
  expect(NOT_FAILED, ended.stderr).toContain(ended.code);
  expect(ended.stdout).toContain(`from ${a.address}, ${b.address}; their clocks are known within`);
  const { runs, agents, plan } = ended.report!;
  const { publishing, cohorts } = runs[0]!;
  expect(plan.workers).toBe(4);
  expect(publishing).toMatchObject({ sent: 103, offered: 100 });
  expect(cohorts[0]!.counters).toMatchObject({ connects: 12, owed: 0 });
  expect(agents.map(({ address }) => address)).toEqual([a.address, b.address]);
  for (const { clockOffset, clockError } of agents) {
    expect(clockError).toBeGreaterThan(0);
    expect(Math.abs(clockOffset)).toBeLessThanOrEqual(clockError + 10_000);
  }
  // Both accept the next coordinator, and nothing of the last one is left.
  await vi.waitFor(() => expect(server.connections.size).toBe(0), { timeout: 10_000 });
  expect(NOT_FAILED).toContain((await load(server.url, [a.address])).code);
  a.child.kill('SIGTERM');
  expect((await a.ended).code).toBe(0);
});

test('a lost agent ends the test, which does not pass', async () => {
  const [server, a, b] = [await broadcast(), await startAgent(), await startAgent()];
  const running = load(server.url, [a.address, b.address], '--calm', '60s');
  await vi.waitFor(() => expect(server.connections.size).toBeGreaterThanOrEqual(12), {
    timeout: 20_000,
  });
  a.child.kill('SIGKILL');
  const { code, stdout, stderr, report } = await running;
  expect({ code, stderr }).toEqual({ code: 4, stderr: '' });
  expect(stdout).toMatch(new RegExp(`^INCOMPLETE: agent ${a.address} was lost: .+$`, 'm'));
  expect(report).toMatchObject({ verdict: { outcome: 'incomplete' } });
  expect(report!.runs[0]!.lost).toContain(a.address);
  await vi.waitFor(() => expect(server.connections.size).toBe(0), { timeout: 10_000 });
  expect(b.child.exitCode).toBeNull();
});

test('the connections of a lost coordinator end', async () => {
  const [server, a] = [await broadcast(), await startAgent()];
  const secret = ['--agents', a.address, '--secret-file', secretFile()];
  const { child } = start([server.url, ...QUICK, ...secret, '--calm', '60s']);
  await vi.waitFor(() => expect(server.connections.size).toBeGreaterThanOrEqual(12), {
    timeout: 20_000,
  });
  child.kill('SIGKILL');
  await vi.waitFor(() => expect(server.connections.size).toBe(0), { timeout: 20_000 });
  expect(a.said()).toContain('the coordinator has disconnected');
});

/** Whether this user may run the program on this machine. In CI it must at least exist. */
function may(program: string, ...args: string[]): boolean {
  const { status, error } = spawnSync(program, args);
  if (status === 0 || (error && process.env['CI'] === 'true')) return true;
  console.warn(`Not permitted here, so a test of agents is skipped: ${program} ${args.join(' ')}`);
  return false;
}

const OTHER_CLOCK = ['unshare', '--time', '--fork', '--kill-child', '--monotonic', '7200'];

test.skipIf(!may('unshare', ...OTHER_CLOCK.slice(1), 'true'))(
  'a machine whose clock is two hours ahead measures the same latencies',
  async () => {
    const [server, here, there] = [
      await broadcast(),
      await startAgent(),
      await startAgent('127.0.0.1', OTHER_CLOCK),
    ];
    // One publisher, and members on both machines: half of all latencies are between two clocks.
    const ended = await load(server.url, [here.address, there.address]);
    expect(NOT_FAILED, ended.stderr + ended.stdout).toContain(ended.code);
    const { agents, runs } = ended.report!;
    expect(agents[1]!.clockOffset).toBeGreaterThan(HOUR);
    const { latency } = runs[0]!.cohorts[0]!.phases.calm!;
    expect(latency.count).toBe(12 * 100);
    expect(latency.max).toBeLessThan(30e6);
    // If the clock were wrong the other way, latencies would count as 0.
    expect(latency.p50).toBeGreaterThan(0);
  },
);

const NAMESPACE = `rc${process.pid}`;
const ip = (...args: string[]): void => void execFileSync('ip', args, { stdio: 'pipe' });
const mayHaveNetwork = (() => {
  const allowed = may('ip', 'netns', 'add', NAMESPACE);
  if (allowed) spawnSync('ip', ['netns', 'delete', NAMESPACE]);
  return allowed;
})();

test.skipIf(!mayHaveNetwork)(
  'agents in network namespaces load a server over a network',
  async () => {
    const host = `${NAMESPACE}h`;
    ip('netns', 'add', NAMESPACE);
    onTestFinished(() => ip('netns', 'delete', NAMESPACE));
    ip('link', 'add', host, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', NAMESPACE);
    ip('address', 'add', '10.213.7.1/24', 'dev', host);
    ip('link', 'set', host, 'up');
    ip('-n', NAMESPACE, 'address', 'add', '10.213.7.2/24', 'dev', 'eth0');
    ip('-n', NAMESPACE, 'link', 'set', 'eth0', 'up');
    const server = await startBroadcastServer('loop', 0, undefined, '10.213.7.1');
    onTestFinished(() => server.close());
    const far = await startAgent('10.213.7.2', ['ip', 'netns', 'exec', NAMESPACE]);
    const ended = await load(server.url, [far.address]);
    expect(NOT_FAILED, ended.stderr + ended.stdout).toContain(ended.code);
    expect(ended.report!.agents[0]!.address).toBe(far.address);
    expect(ended.report!.runs[0]!.cohorts[0]!.phases.calm!.latency.count).toBe(12 * 100);
  },
);

// ── Invalid agents ──

async function tcp(onConnection: Parameters<typeof createServer>[1]): Promise<string> {
  const server: Server = createServer(onConnection as never).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function agentOf(version: string, secret: string): Promise<string> {
  const listen = { host: '127.0.0.1', port: 0 };
  const agent = await Agent.open({ listen, secret, version, log: () => {} });
  onTestFinished(() => agent.close());
  return `${agent.address.host}:${agent.address.port}`;
}

async function busyAgent(): Promise<string> {
  const address = await agentOf('1.0.0', SECRET);
  const [host = '', port] = address.split(':');
  const agents = await Agents.connect([{ host, port: Number(port) }], SECRET, '1.0.0');
  await agents.measure('before');
  onTestFinished(() => agents.close());
  return address;
}

test.each([
  ['nobody', async () => '127.0.0.1:1', 'ECONNREFUSED: expected roomcast load agent with the same'],
  ['another secret', () => agentOf('1.0.0', 'quite another secret'), 'it has a different secret'],
  ['another version', () => agentOf('9.9.9', SECRET), 'it runs roomcast 9.9.9: expected 1.0.0'],
  [
    'a server that speaks first',
    () => tcp((socket) => socket.end('220 mail\r\n')),
    'no agent of roomcast',
  ],
  ['a server that hangs up', () => tcp((socket) => socket.destroy()), 'ECONNRESET'],
  ['a busy agent', busyAgent, 'it is in use by another coordinator: expected one at a time'],
])('%s is refused in one line', async (_, start, message) => {
  const address = await start();
  const [host = '', port] = address.split(':');
  const error: Error = await Agents.connect([{ host, port: Number(port) }], SECRET, '1.0.0').then(
    () => new Error('connected'),
    (reason) => reason,
  );
  expect(error).toMatchObject({ code: 'bad_agent' });
  expect(error.message).toContain(`agent ${address}: `);
  expect(error.message).toContain(message);
  expect(error.message).not.toContain('\n');
});

test('a coordinator with the wrong secret gets no message from an agent, and does not disturb it', async () => {
  const address = await agentOf('1.0.0', SECRET);
  const [host = '', port] = address.split(':');
  const connect = (secret: string) =>
    Agents.connect([{ host, port: Number(port) }], secret, '1.0.0');
  for (const wrong of ['', 'a secret of these test', `${SECRET} `]) {
    await expect(connect(wrong)).rejects.toThrow('it has a different secret');
  }
  const agents = await connect(SECRET);
  await agents.measure('before');
  agents.close();
});

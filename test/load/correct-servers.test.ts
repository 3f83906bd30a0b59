/**
 * Runs the generator against correct servers of different kinds: none may fail. On a machine that is too
 * busy to judge times a run may be void; counts must be right in any case.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { Server as SocketioServer } from 'socket.io';
import { expect, onTestFinished, test, vi } from 'vitest';
import { WebSocketServer } from 'ws';
import { loadTest, newTag } from '../../src/load/load-test.js';
import { resolvePlan, type Scenario } from '../../src/load/plan.js';
import type { LoadReport } from '../../src/load/report/report.js';
import type { TargetSpec } from '../../src/load/targets/index.js';
import { freePort } from '../support/free-port.js';
import { targetSpec } from '../support/load-fakes.js';
import { temporary } from '../support/load-process.js';
import { expectPassed } from '../support/load-report.js';
import { serve } from '../support/server.js';
import { startSmallRoomServer } from '../support/small-room-server.js';

/** Churning members, in two turns: every server must notice their slowness at once. */
const CHURN: Scenario = {
  members: '10',
  rate: '100/s',
  size: '1KiB',
  rampUp: '0',
  settle: '100ms',
  warmup: '300ms',
  calm: '1s',
  fill: '0',
  slow: '1s',
  rest: '300ms',
  turns: '2',
  drain: '3s',
  cohorts: ['vanishing=2,stay=200ms,back=50ms'],
};

async function load(target: TargetSpec, scenario: Scenario = CHURN): Promise<LoadReport> {
  const plan = resolvePlan(scenario, target, 1, newTag());
  return loadTest(plan, { roomcast: 'test', repeat: 1 });
}

const status = ({ verdict }: LoadReport, name: string) =>
  verdict.checks.find((check) => check.name === name)?.status;

function expectRight(report: LoadReport): void {
  const { verdict } = report;
  const wrong = verdict.checks.filter((check) => check.status === 'failed');
  expect(wrong).toEqual([]);
  // Void only if the machine was too busy, or noise hid the times.
  expect(['passed', 'void'], JSON.stringify(verdict)).toContain(verdict.outcome);
  expectPassed(report, 'joined', 'kept', 'order', 'accounting', 'losses', 'offered', 'slowness');
}

test('roomcast', async () => {
  const server = await serve();
  const report = await load(targetSpec('roomcast', server.url));
  expectRight(report);
  expectPassed(report, 'confirmed', 'released');
});

test('roomcast over SockJS polling, with the release time of SockJS', async () => {
  const server = await serve();
  const report = await load(targetSpec('roomcast', server.url, { transport: 'xhr-polling' }), {
    members: '4',
    rate: '20/s',
    calm: '500ms',
    warmup: '0',
    settle: '100ms',
  });
  expect(report.verdict.checks.filter((check) => check.status === 'failed')).toEqual([]);
  expect(status(report, 'released')).toBe('passed');
}, 40_000);

/** Relays each message to all members, and disconnects members with a megabyte unread. */
async function broadcasting(): Promise<string> {
  const wss = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
  await once(wss, 'listening');
  onTestFinished(() => {
    for (const client of wss.clients) client.terminate();
    wss.close();
  });
  wss.on('connection', (ws) => {
    ws.on('error', () => {});
    ws.on('message', (data: Buffer) => {
      for (const client of wss.clients) {
        if (client.bufferedAmount > 1024 * 1024) client.terminate();
        else client.send(data, { binary: false });
      }
    });
  });
  const { port } = wss.address() as AddressInfo;
  return `ws://127.0.0.1:${port}`;
}

test('a ws loop with a bounded queue', async () => {
  const url = await broadcasting();
  expectRight(await load(targetSpec('ws', url)));
  // With a member that does not read: the server disconnects it, and it reconnects for the next turn.
  const stalled = await load(targetSpec('ws', url), {
    ...CHURN,
    members: '4',
    size: '64KiB',
    cohorts: ['stalled=1'],
    calm: '600ms',
    slow: '5s',
    turns: '1',
  });
  expect(stalled.verdict.checks.filter((check) => check.status === 'failed')).toEqual([]);
  // The end is queued behind unread data, so the member may see it only once it reads again.
  const { evictions, counters } = stalled.runs[0]!.cohorts[1]!;
  expect(evictions.count + counters.endedUnread).toBeGreaterThan(0);
  expect(status(stalled, 'slowness')).toBe('passed');
}, 30_000);

test('Socket.IO within its capacity', async () => {
  const http = createServer();
  const io = new SocketioServer(http);
  io.on('connection', (socket) => {
    socket.on('join', (room: string) => void socket.join(room));
    socket.on('publish', (room: string, data: string) => io.to(room).emit('message', data));
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  onTestFinished(() => io.close());
  const { port } = http.address() as AddressInfo;
  expectRight(await load(targetSpec('socketio', `ws://127.0.0.1:${port}`)));
});

test('a small custom server that acknowledges', async () => {
  const server = await startSmallRoomServer();
  onTestFinished(() => server.close());
  expectRight(await load(targetSpec('roomcast', server.url)));
  const stalled = await load(targetSpec('roomcast', server.url), {
    ...CHURN,
    size: '4KiB',
    cohorts: ['stalled=1'],
  });
  expectRight(stalled);
  const { unfit } = stalled.verdict;
  // The machine may have been blocked for as long as the member was to be slow.
  if (unfit === null) expect(stalled.runs[0]!.cohorts[1]!.counters.announced).toBeGreaterThan(0);
});

test('a stall too short for any server to notice tests nothing', async () => {
  const report = await load(targetSpec('ws', await broadcasting()), {
    ...CHURN,
    calm: '300ms',
    slow: '300ms',
    turns: '1',
    cohorts: ['stalled=2'],
  });
  expect(status(report, 'slowness')).toBe('void');
  expect(report.verdict).toMatchObject({ outcome: 'void', exit: 3 });
});

test('the last messages of many publishers, sent at one instant, are in no figure', async () => {
  const publishers = 60;
  let published = 0;
  const server = await startSmallRoomServer(() => ({
    publish(_client, _room, _data, next) {
      // Simulates a server that cannot handle all of them at once.
      if (++published <= publishers) next();
      else setTimeout(next, 1000);
    },
  }));
  onTestFinished(() => server.close());
  const { cohorts: _, ...healthy } = CHURN;
  const report = await load(targetSpec('roomcast', server.url), {
    ...healthy,
    publishers: `${publishers}`,
    rate: `${publishers}/s`,
    turns: '1',
    warmup: '0',
    slow: '0',
  });
  const [run] = report.runs;
  expect(run!.publishing).toMatchObject({ offered: 60, sent: 120, last: 60, accepted: 120 });
  const { phases, counters, members } = run!.cohorts[0]!;
  expect(counters.received).toBe(120 * members);
  expect(phases.calm!.perSecond).toBe(60 * members);
  expect(phases.calm!.latency.count).toBe(60 * members);
  expect(report.verdict.checks.filter((check) => check.status === 'failed')).toEqual([]);
});

const NATS = '/usr/sbin/nats-server';

test.skipIf(!existsSync(NATS) && !process.env['CI'])('NATS', async () => {
  const folder = temporary();
  const [port, tcp] = [await freePort(), await freePort()];
  const config = `listen: "127.0.0.1:${tcp}"\nwebsocket { listen: "127.0.0.1:${port}", no_tls: true }\n`;
  writeFileSync(join(folder, 'nats.conf'), config);
  await running(NATS, ['-c', join(folder, 'nats.conf')], port);
  expectRight(
    await load(targetSpec('nats', `ws://127.0.0.1:${port}`), { ...CHURN, roomPrefix: 'load.' }),
  );
});

const NGINX = '/usr/sbin/nginx';

test.skipIf(!existsSync(NGINX) && !process.env['CI'])(
  'roomcast behind nginx: an end that lies behind unread data is asked of its metrics',
  async () => {
    const server = await serve({ stallAfterMs: 1000, queueMessages: 16 });
    const folder = temporary();
    const port = await freePort();
    const config = `daemon off; pid ${folder}/pid; error_log ${folder}/error.log;
events {}
http {
  access_log off;
  client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder};
  uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass ${server.url}; proxy_http_version 1.1; proxy_read_timeout 60s;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
    }
  }
}`;
    writeFileSync(join(folder, 'nginx.conf'), config);
    await running(NGINX, ['-p', folder, '-c', join(folder, 'nginx.conf')], port);
    const report = await load(targetSpec('roomcast', `ws://127.0.0.1:${port}/ws`), {
      // More than the buffers of two connections, the server's and the proxy's.
      members: '3',
      rate: '100/s',
      size: '60KiB',
      rampUp: '0',
      settle: '100ms',
      warmup: '0',
      calm: '500ms',
      fill: '0',
      slow: '10s',
      evictWithin: '8s',
      cohorts: ['stalled=2'],
      // This does not test a busy machine.
      skip: ['flow', 'isolation', 'losses', 'kept'],
    });
    expectPassed(report, 'evictions');
  },
  40_000,
);

/** Starts a program, waits until it listens, and kills it after the test. */
async function running(program: string, args: string[], port: number): Promise<void> {
  const child = spawn(program, args, { stdio: 'ignore' });
  onTestFinished(async () => {
    child.kill();
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  });
  const listens = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', reject).on('connect', () => {
        socket.destroy();
        resolve();
      });
    });
  await vi.waitFor(listens, { timeout: 10_000, interval: 50 });
}

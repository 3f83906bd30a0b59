/**
 * `close()` of a whole server over real sockets, at the worst moments. Each test is named after a bug
 * that hung some test server or client library there. None may hang, and the strict lock detector must
 * report nothing.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import type { Broker, MaybePromise, Position } from '../../src/broker/broker.js';
import { MemoryBroker } from '../../src/broker/memory.js';
import { type Log, silent } from '../../src/log.js';
import { type Config, defaults } from '../../src/options/config.js';

import { serve } from '../../src/serve.js';
import { DelegateBroker } from '../support/delegate-broker.js';

import { Signal } from '../support/signal.js';

const GRACE_MS = 300;

let reports: object[];
beforeEach(() => {
  reports = [];
});
/** Reports of the server's lock detector are logged as warnings. */
const log: Log = {
  ...silent,
  warn: (fields) => {
    if ('report' in fields) reports.push(fields);
  },
};
afterEach(() => {
  expect(reports).toEqual([]);
});

/** Answers subscriptions when and as the test says. */
class GatedBroker extends DelegateBroker {
  readonly asked = new Signal();
  readonly gates: ((answer: 'yes' | Error) => void)[] = [];
  aborted = 0;

  override subscribe(room: string, signal: AbortSignal): Promise<Position> {
    signal.addEventListener('abort', () => {
      this.aborted += 1;
    });
    return new Promise((resolve, reject) => {
      this.gates.push((how) => {
        if (how === 'yes') resolve(this.memory.subscribe(room));
        else reject(how);
      });
      this.asked.fire();
    });
  }
}

async function open(options: Partial<Config> = {}, broker: Broker = new MemoryBroker()) {
  const config = {
    ...defaults,
    lockDetector: 'strict' as const,
    port: 0,
    drainMs: 0,
    shutdownGraceMs: GRACE_MS,
    ...options,
  };
  const { roomcast: server, url } = await serve({ ...config, log, broker });
  onTestFinished(async () => {
    await server.close();
  });
  return { server, url };
}

async function client(url: string) {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`);
  const events: Record<string, unknown>[] = [];
  const changed = new Signal();
  socket.on('message', (data) => {
    events.push(JSON.parse(data.toString()));
    changed.fire();
  });
  socket.on('error', () => {});
  const closed = once(socket, 'close').then(([code]) => code as number);
  await once(socket, 'open');
  return {
    socket,
    events,
    closed,
    send: (command: object) => socket.send(JSON.stringify(command)),
    until: (type: string) => changed.until(() => events.some((event) => event['type'] === type)),
  };
}

test('miniredis f4b3ed6: close does not wait for a handler that waits for close: a join that the broker never answers', async () => {
  const broker = new GatedBroker();
  const { server, url } = await open({}, broker);
  const member = await client(url);
  member.send({ type: 'join', id: 1, room: 'r' });
  await broker.asked.until(() => broker.gates.length === 1);
  const report = await server.close();
  expect(report).toMatchObject({ drained: 1, abandoned: [], waiting: [] });
  expect(broker.aborted).toBe(1);
  expect(member.events).toContainEqual(
    expect.objectContaining({ type: 'error', id: 1, code: 'shutting_down' }),
  );
  expect(await member.closed).toBe(4200);
});

test('miniredis d66fb3b: a second close returns the first one', async () => {
  const { server } = await open();
  const first = server.close();
  expect(server.close()).toBe(first);
  await first;
  expect(server.close()).toBe(first);
});

test('miniredis #121: a member that does not read delays it no longer than the grace period', async () => {
  const { server, url } = await open({ publishRate: 0 });
  const member = await client(url);
  member.send({ type: 'join', id: 1, room: 'r' });
  await member.until('joined');
  member.socket.pause();
  for (let sent = 0; sent < 16 * 1024 * 1024; sent += 60_000) {
    await server.publish('r', 'x'.repeat(60_000));
    await new Promise(setImmediate);
  }
  const { abandoned } = await server.close();
  expect(abandoned).toHaveLength(1);
  expect(abandoned[0]?.messages).toBeGreaterThan(0);
  member.socket.terminate();
});

test('miniredis #151: a connection that arrives during the close is closed too', async () => {
  const { server, url } = await open();
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  const gone = new Promise((resolve) => socket.on('close', resolve));
  await Promise.all([server.close(), gone]);
});

test('miniredis #220: requests after the close are refused at once', async () => {
  const { server } = await open();
  await server.close();
  await expect(server.publish('r', 1)).rejects.toMatchObject({ code: 'shutting_down' });
});

test('miniredis #300: a disconnected member does not join when the broker finally answers', async () => {
  const broker = new GatedBroker();
  const { server, url } = await open({}, broker);
  const member = await client(url);
  member.send({ type: 'join', id: 1, room: 'r' });
  await broker.asked.until(() => broker.gates.length === 1);
  member.socket.terminate();
  await member.closed;
  while (Array.from(server.members()).length > 0) await new Promise(setImmediate);
  broker.gates[0]?.('yes');
  const other = await client(url);
  other.send({ type: 'join', id: 1, room: 'r' });
  await broker.asked.until(() => broker.gates.length === 2);
  broker.gates[1]?.('yes');
  await other.until('joined');
  expect(other.events).toContainEqual(expect.objectContaining({ type: 'joined', members: 1 }));
});

test('node-redis #3398: the last pending call fails, and the close still completes', async () => {
  const broker = new GatedBroker();
  const { server, url } = await open({}, broker);
  const member = await client(url);
  member.send({ type: 'join', id: 1, room: 'r' });
  await broker.asked.until(() => broker.gates.length === 1);
  const closed = server.close();
  broker.gates[0]?.(new Error('connection lost'));
  expect(await closed).toMatchObject({ waiting: [] });
});

test('a broker that never closes is reported, and delays close no longer than the grace period', async () => {
  class Stuck extends DelegateBroker {
    override close(): Promise<void> {
      return new Promise(() => {});
    }
  }
  const { server } = await open({}, new Stuck());
  expect(await server.close()).toMatchObject({ waiting: ['broker close'] });
});

test('close may be called before and while the server starts to listen', async () => {
  const config = {
    ...defaults,
    lockDetector: 'strict' as const,
    port: 0,
    drainMs: 0,
    shutdownGraceMs: GRACE_MS,
  };
  const signal = AbortSignal.abort();
  await expect(serve({ ...config, log, signal })).rejects.toMatchObject({ code: 'shutting_down' });
  const soon = new AbortController();
  const listening = serve({ ...config, log, signal: soon.signal });
  soon.abort();
  await expect(listening).rejects.toMatchObject({ code: 'shutting_down' });
});

test('a port in use leaves nothing open', async () => {
  const { url } = await open();
  const port = Number(new URL(url).port);
  const config = {
    ...defaults,
    lockDetector: 'strict' as const,
    port,
    drainMs: 0,
    shutdownGraceMs: GRACE_MS,
  };
  const servers = () =>
    process.getActiveResourcesInfo().filter((each) => each === 'TCPServerWrap').length;
  const before = servers();
  await expect(serve({ ...config, log })).rejects.toMatchObject({ code: 'EADDRINUSE' });
  // A socket's handle is closed in a later turn.
  await expect.poll(servers).toBe(before);
});

test('close may be called from inside a broker call', async () => {
  const closed = new Signal();
  let done = false;
  class Closing extends DelegateBroker {
    override publish(...args: Parameters<Broker['publish']>): MaybePromise<Position> {
      void server.close().then(() => {
        done = true;
        closed.fire();
      });
      return super.publish(...args);
    }
  }
  const { server, url } = await open({}, new Closing());
  const member = await client(url);
  member.send({ type: 'join', id: 1, room: 'r' });
  await member.until('joined');
  member.send({ type: 'publish', room: 'r', data: 'last' });
  await closed.until(() => done);
  expect(member.events).toContainEqual(expect.objectContaining({ type: 'message', data: 'last' }));
});

/** Unexpected errors end nothing, are counted, and are logged (V12). */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import type { Publication } from '../src/broker/broker.js';
import { MemoryBroker } from '../src/broker/memory.js';
import { createRoomcast } from '../src/compose.js';
import { atLevel, FailureLog } from '../src/log.js';
import { LoopClock } from '../src/loop-clock.js';
import type { RoomcastOptions } from '../src/parts.js';
import { Member } from '../src/room/member.js';
import { Outbox } from '../src/room/outbox.js';
import { WebSocketTransport } from '../src/transport/websocket.js';
import { PlannedError } from './support/planned-error.js';
import { Signal } from './support/signal.js';

afterEach(() => {
  vi.restoreAllMocks();
});

const broken = () => {
  throw new PlannedError('broken');
};

/** A roomcast on a server of an app, with the lines of its log. */
async function start(options: RoomcastOptions = {}) {
  const lines: { text: string; fields: object }[] = [];
  const line = (fields: object, text: string) => void lines.push({ fields, text });
  const roomcast = createRoomcast({ log: { info: line, warn: line, error: line }, ...options });
  const http = createServer();
  roomcast.attach(http);
  await once(http.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(async () => {
    await roomcast.close();
    http.close();
  });
  const url = `ws://127.0.0.1:${(http.address() as AddressInfo).port}/ws`;
  const connect = async () => {
    const socket = new WebSocket(url);
    const events: Record<string, unknown>[] = [];
    const changed = new Signal();
    socket.on('message', (data) => {
      events.push(JSON.parse(String(data)) as Record<string, unknown>);
      changed.fire();
    });
    let code = 0;
    socket.on('close', (closed) => {
      code = closed;
      changed.fire();
    });
    onTestFinished(() => socket.terminate());
    await changed.until(() => events.length === 1);
    return {
      say: (command: object) => socket.send(JSON.stringify(command)),
      answer: (id: number) => changed.until(() => events.some((event) => event['id'] === id)),
      message: (data: unknown) =>
        changed.until(() => events.some((event) => event['data'] === data)),
      async closedWith() {
        await changed.until(() => code !== 0);
        return code;
      },
    };
  };
  const survivedBy = async (source: string) => {
    const text = await roomcast.metrics();
    const value = new RegExp(`^roomcast_survived_errors_total\\{source="${source}"\\} (\\d+)`, 'm');
    return Number(value.exec(text)?.[1]);
  };
  /** A member that joins, publishes, and receives its message. */
  const works = async () => {
    const peer = await connect();
    peer.say({ type: 'join', id: 1, room: 'works' });
    peer.say({ type: 'publish', id: 2, room: 'works', data: 'heard' });
    await peer.message('heard');
  };
  return { roomcast, lines, connect, survivedBy, works };
}

test('without a roomcast the error stays uncaught; with several, each gets it', async () => {
  vi.resetModules();
  const { onSurvived, survive, survived } = await import('../src/survived.js');
  expect(() => survive(new Error('nobody'))).toThrow('nobody');
  const told: string[] = [];
  const ends = ['a', 'b'].map((name) => onSurvived((error) => told.push(`${name} ${error}`)));
  survived(broken)();
  expect(told).toEqual(['a Error: broken', 'b Error: broken']);
  for (const end of ends) end();
  expect(survived(broken)).toThrow('broken');
});

describe('a log of the app', () => {
  test.each([
    ['throws', broken],
    ['rejects', () => Promise.reject(new Error('broken'))],
  ])('that %s loses the line, and the member still gets its answer', async (_, write) => {
    const log = { info: write, warn: write, error: write };
    const { roomcast, connect, survivedBy, works } = await start({ log });
    const peer = await connect();
    const [member] = roomcast.members();
    roomcast.kick(member?.id as string);
    expect(await peer.closedWith()).toBe(4003);
    await works();
    expect(await survivedBy('log')).toBe(1);
  });

  test('is not called for lines below its level', () => {
    let failures = 0;
    const log = atLevel(
      { info: broken, warn: broken, error: broken },
      { logLevel: 'error' },
      () => {
        failures += 1;
      },
    );
    log.info({}, '');
    log.warn({}, '');
    expect(failures).toBe(0);
    log.error({}, '');
    expect(failures).toBe(1);
  });
});

test('failures are logged once a second, with the number of unlogged ones', () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const lines: object[] = [];
  const failures = new FailureLog({ error: (fields) => void lines.push(fields) });
  for (let n = 0; n < 3; n += 1) failures.add({ n }, 'failed');
  vi.advanceTimersByTime(1000);
  failures.add({ n: 3 }, 'failed');
  expect(lines).toEqual([
    { n: 0, unlogged: 0 },
    { n: 3, unlogged: 2 },
  ]);
});

test('a broker that delivers an invalid publication disturbs nobody', async () => {
  let deliver: (publication: Publication) => void = broken;
  class Strange extends MemoryBroker {
    override onDeliver(to: (publication: Publication) => void): void {
      deliver = to;
      super.onDeliver(to);
    }
  }
  const { connect, survivedBy, works, lines } = await start({ broker: new Strange() });
  const peer = await connect();
  peer.say({ type: 'join', id: 1, room: 'a' });
  await peer.answer(1);
  deliver({
    get room(): never {
      return broken();
    },
  } as never);
  expect(await survivedBy('callback')).toBe(1);
  expect(lines.map(({ text }) => text)).toContain('a callback failed');
  await works();
});

test('a broker whose promises are from another realm is awaited', async () => {
  const Elsewhere = runInNewContext('Promise') as typeof Promise;
  const broker = new MemoryBroker();
  const publish = broker.publish.bind(broker);
  broker.publish = ((...args: Parameters<typeof publish>) => {
    const answer = publish(...args);
    return new Elsewhere((resolve) => resolve(answer));
  }) as never;
  const { roomcast } = await start({ broker });
  expect(await roomcast.publish('a', 1)).toMatchObject({ seq: 1 });
});

describe('an internal error', () => {
  test('in the check of members that are behind ends nothing, and the next check runs', async () => {
    const { survivedBy, works } = await start();
    const look = vi.spyOn(LoopClock.prototype, 'mayJudge', 'get').mockImplementation(broken);
    await expect.poll(() => survivedBy('callback')).toBeGreaterThan(1);
    look.mockRestore();
    await works();
  });

  test('in the flush of a room does not stop other rooms', async () => {
    const { connect, survivedBy, works } = await start();
    const peer = await connect();
    peer.say({ type: 'join', id: 1, room: 'a' });
    await peer.answer(1);
    const offer = vi.spyOn(Outbox.prototype, 'offer').mockImplementation(broken);
    peer.say({ type: 'publish', id: 2, room: 'a', data: 'lost' });
    await expect.poll(() => survivedBy('callback')).toBe(1);
    offer.mockRestore();
    await works();
  });

  test('that concerns one member ends that member', async () => {
    const { connect, survivedBy, works } = await start();
    const peer = await connect();
    const drain = vi.spyOn(Outbox.prototype, 'drain').mockImplementationOnce(broken);
    peer.say({ type: 'ping', id: 1 });
    expect(await peer.closedWith()).toBe(4199);
    expect(await survivedBy('callback')).toBe(1);
    drain.mockRestore();
    await works();
  });

  test('in the handling of a member’s input ends that member', async () => {
    const { connect, survivedBy, works } = await start();
    const peer = await connect();
    const send = vi.spyOn(Member.prototype, 'send').mockImplementationOnce(broken);
    peer.say({ type: 'ping', id: 1 });
    expect(await peer.closedWith()).toBe(4199);
    expect(await survivedBy('session')).toBe(1);
    send.mockRestore();
    await works();
  });

  test('in a heartbeat ends nothing', async () => {
    const { connect, survivedBy, works } = await start({ heartbeatMs: 1000 });
    await connect();
    const heartbeat = vi
      .spyOn(WebSocketTransport.prototype, 'heartbeat')
      .mockImplementation(broken);
    await expect.poll(() => survivedBy('callback')).toBeGreaterThan(1);
    heartbeat.mockRestore();
    await works();
  });
});

test('listeners that throw disturb nobody', async () => {
  const { roomcast, works } = await start();
  for (const name of ['connected', 'joined', 'published'] as const) roomcast.on(name, broken);
  await works();
  expect(await roomcast.metrics()).toMatch(/^roomcast_listener_errors_total\{event="joined"\} 1/m);
});

/** What createRoomcast offers in addition to the command line. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import type { Position } from '../src/broker/broker.js';
import type { Log } from '../src/log.js';
import type { RoomcastOptions } from '../src/parts.js';
import { serve } from '../src/serve.js';
import { DelegateBroker } from './support/delegate-broker.js';
import { Signal } from './support/signal.js';

/** Listens, and closes at the end of the test. */
async function open(options: RoomcastOptions = {}) {
  const { roomcast, url } = await serve({ port: 0, drainMs: 0, lameDuckMs: 0, ...options });
  onTestFinished(async () => {
    await roomcast.close();
  });
  return { server: roomcast, url };
}

/** Resolves once a member is in the room. */
async function join(url: string, room: string): Promise<WebSocket> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`);
  const changed = new Signal();
  let joined = false;
  socket.on('open', () => socket.send(JSON.stringify({ type: 'join', id: 1, room })));
  socket.on('message', (data) => {
    joined ||= data.toString().includes('"joined"');
    changed.fire();
  });
  await changed.until(() => joined);
  return socket;
}

/** Delays the answer to each subscription, so that `room.lifecycle` is held meanwhile. */
class SlowBroker extends DelegateBroker {
  readonly changed = new Signal();
  asked = 0;
  answer: () => void = () => {};
  override async subscribe(room: string): Promise<Position> {
    this.asked += 1;
    this.changed.fire();
    await new Promise<void>((resolve) => {
      this.answer = resolve;
    });
    return this.memory.subscribe(room);
  }
}

const grepped = async (url: string, pattern: RegExp): Promise<string[]> => {
  const text = await (await fetch(`${url}/metrics`)).text();
  return text.split('\n').filter((line) => pattern.test(line) && !/ 0$/.test(line));
};

describe('two servers in one process', () => {
  test('neither shows the locks of the other', async () => {
    const broker = new SlowBroker();
    const busy = await open({ broker });
    const idle = await open();
    const joined = join(busy.url, 'a');
    await broker.changed.until(() => broker.asked === 1);
    expect(busy.server.locks().held).toMatchObject([{ lock: 'lock:room.lifecycle[a]' }]);
    expect(idle.server.locks().held).toEqual([]);
    broker.answer();
    (await joined).close();
    expect(await grepped(busy.url, /^roomcast_lock_acquisitions_total/)).not.toEqual([]);
    expect(await grepped(idle.url, /^roomcast_lock_(acquisitions|hold)/)).toEqual([]);
    const { body } = await fetch(`${idle.url}/v1/locks`);
    expect(body).not.toBeNull();
  });

  test('each has the detector that was passed', async () => {
    const modes = ['off', 'watch', 'strict'] as const;
    for (const lockDetector of modes) {
      const { server, url } = await open({ lockDetector });
      expect(server.locks().mode).toBe(lockDetector);
      (await join(url, 'a')).close();
      const acquired = await grepped(url, /^roomcast_lock_acquisitions_total/);
      expect(acquired.length > 0).toBe(lockDetector !== 'off');
    }
  });
});

test('reports of its detector go to its log', async () => {
  const told: string[] = [];
  const changed = new Signal();
  const log: Log = {
    info: () => {},
    warn: (_, text) => {
      told.push(text);
      changed.fire();
    },
    error: () => {},
  };
  const broker = new SlowBroker();
  const { url } = await open({ broker, log });
  const joined = join(url, 'a');
  // Held for more than a second; the detector checks once a second.
  await changed.until(() => told.some((text) => text.includes('LONG HOLD')));
  broker.answer();
  (await joined).close();
});

describe('publish', () => {
  const circle: Record<string, unknown> = {};
  circle['self'] = circle;
  let deep: unknown = 1;
  for (let n = 0; n < 33; n += 1) deep = [deep];
  let abyss: unknown = 1;
  for (let n = 0; n < 100_000; n += 1) abyss = [abyss];
  const LIMIT = 1000;

  test.each<[what: string, data: unknown, code: string]>([
    ['nothing', undefined, 'bad_command'],
    ['a function', () => 1, 'bad_command'],
    ['a symbol', Symbol('x'), 'bad_command'],
    ['a BigInt', 1n, 'bad_command'],
    ['a BigInt inside', { a: [1n] }, 'bad_command'],
    ['a function inside', { a: () => 1 }, 'bad_command'],
    ['NaN', [Number.NaN], 'bad_command'],
    ['Infinity', { a: Number.POSITIVE_INFINITY }, 'bad_command'],
    ['toJSON that returns undefined', { toJSON: () => undefined }, 'bad_command'],
    ['toJSON that returns a function', { toJSON: () => () => 1 }, 'bad_command'],
    [
      'what throws',
      {
        get a() {
          throw new Error('no');
        },
      },
      'bad_command',
    ],
    ['a cycle', circle, 'bad_command'],
    ['33 levels', deep, 'too_deep'],
    ['33 levels from toJSON', { toJSON: () => deep }, 'too_deep'],
    ['100,000 levels', abyss, 'too_deep'],
    ['more than the limit', 'x'.repeat(LIMIT), 'message_too_big'],
    ['characters of three bytes', '語'.repeat(LIMIT / 3), 'message_too_big'],
    ['escapes of six bytes', '\u0001'.repeat(LIMIT / 5), 'message_too_big'],
    ['numbers that grow', Array(50).fill(1e20), 'message_too_big'],
  ])('of %s is refused', async (_, data, code) => {
    const { server } = await open({ maxMessageBytes: LIMIT });
    await expect(server.publish('a', data)).rejects.toMatchObject({ name: 'Refusal', code });
  });

  test('publishes the value as JSON.stringify writes it', async () => {
    const { server, url } = await open({ maxMessageBytes: LIMIT });
    const socket = await join(url, 'a');
    const texts: string[] = [];
    const changed = new Signal();
    socket.on('message', (data) => {
      texts.push(JSON.stringify(JSON.parse(data.toString()).data));
      changed.fire();
    });
    const values = [
      null,
      0,
      '',
      'x'.repeat(LIMIT - 2),
      new Date(0),
      { a: undefined, b: [1] },
      deepest(),
    ];
    for (const value of values) await server.publish('a', value);
    await changed.until(() => texts.length === values.length);
    expect(texts).toEqual(values.map((value) => JSON.stringify(value)));
    socket.close();
  });

  test.each<[what: string, room: unknown, key: unknown, code: string]>([
    ['an empty room name', '', undefined, 'bad_room'],
    ['a room that is not a string', 5, undefined, 'bad_room'],
    ['an empty key', 'a', '', 'bad_command'],
    ['a key that is not a string', 'a', 5, 'bad_command'],
  ])('to %s is refused', async (_, room, key, code) => {
    const { server } = await open();
    await expect(server.publish(room as string, 1, key as string)).rejects.toMatchObject({ code });
  });

  test('refuses a message that exceeds the limit only when re-encoded, over a socket and over HTTP', async () => {
    const { url } = await open({ maxMessageBytes: LIMIT });
    // 250 bytes, re-encoded as 1,051.
    const data = `[${Array(50).fill('1e20').join()}]`;
    const answer = await fetch(`${url}/v1/rooms/a/messages`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: `{"data":${data}}`,
    });
    expect(answer.status).toBe(413);
    expect(await answer.json()).toMatchObject({ code: 'message_too_big' });
    const socket = await join(url, 'a');
    const next = new Promise<string>((resolve) => {
      socket.on('message', (text) => resolve(text.toString()));
    });
    socket.send(`{"type":"publish","id":2,"room":"a","data":${data}}`);
    expect(JSON.parse(await next)).toMatchObject({
      type: 'error',
      id: 2,
      code: 'message_too_big',
      message: 'data has 1101 bytes; 1000 are allowed.',
    });
    socket.close();
  });
});

/** As many levels as allowed. */
function deepest(): unknown {
  let value: unknown = 1;
  for (let n = 0; n < 32; n += 1) value = [value];
  return value;
}

/** What an embedder gets from `createServer` beside what the command has. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import type { Broker, Payload, Position } from '../src/broker/broker.js';
import { MemoryBroker } from '../src/broker/memory.js';
import type { Config } from '../src/config.js';
import type { Log } from '../src/log.js';
import { createServer, type Parts } from '../src/server.js';
import { Signal } from './support/signal.js';

/** Listening, and closed when the test is over. */
async function open(options: Partial<Config> = {}, log?: Log, parts?: Parts) {
  const server = createServer({ port: 0, drainMs: 0, ...options }, log, parts);
  onTestFinished(async () => {
    await server.close();
  });
  return { server, url: await server.listen() };
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

/** Takes its time for the answer to each subscription, so that `room.lifecycle` is held meanwhile. */
class SlowBroker implements Broker {
  readonly #memory = new MemoryBroker();
  readonly changed = new Signal();
  asked = 0;
  answer: () => void = () => {};
  onDeliver: Broker['onDeliver'] = (deliver) => this.#memory.onDeliver(deliver);
  publish = (room: string, payload: Payload): Position => this.#memory.publish(room, payload);
  unsubscribe = (room: string): void => this.#memory.unsubscribe(room);
  close = (): void => this.#memory.close();
  async subscribe(room: string): Promise<Position> {
    this.asked += 1;
    this.changed.fire();
    await new Promise<void>((resolve) => {
      this.answer = resolve;
    });
    return this.#memory.subscribe(room);
  }
}

const grepped = async (url: string, pattern: RegExp): Promise<string[]> => {
  const text = await (await fetch(`${url}/metrics`)).text();
  return text.split('\n').filter((line) => pattern.test(line) && !/ 0$/.test(line));
};

describe('two servers in one process', () => {
  test('neither shows the locks of the other', async () => {
    const broker = new SlowBroker();
    const busy = await open({}, undefined, { broker });
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

  test('each has the detector that it asked for', async () => {
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

test('what its detector reports goes to its log', async () => {
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
  const { url } = await open({}, log, { broker });
  const joined = join(url, 'a');
  // Held for more than a second, which is looked for once a second.
  await changed.until(() => told.some((text) => text.includes('LONG HOLD')));
  broker.answer();
  (await joined).close();
});

/**
 * The headline: one slow member never slows anyone else, and nothing is lost silently. First the naive
 * implementation, in which one peer that stops reading keeps all others from joining; then ours,
 * without a network, and over real connections on every transport.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { CLOSE } from '../../src/errors.js';
import { Detector, LockTimeoutError, RWLock } from '../../src/lock/index.js';
import type { Config } from '../../src/options/config.js';
import { BATCH_BYTES } from '../../src/room/outbox.js';
import { TRANSPORTS, type TransportName } from '../../src/transport/transport.js';
import { apiOf } from '../support/api.js';
import type { Received } from '../support/fake-transport.js';
import { connectReading, type ReadingPeer } from '../support/reading-peer.js';
import { serve } from '../support/server.js';
import { freezeClocks, startCore } from '../support/virtual.js';

/** A room written without regard to slow members: it awaits each send under the lock. */
class NaiveRoom<M extends { send(text: string): Promise<void> }> {
  /** Reports of the lock detector. */
  readonly reports: string[] = [];
  readonly lock = new RWLock({
    name: 'naive.members',
    detector: new Detector({ onReport: ({ text }) => this.reports.push(text) }),
  });
  readonly members = new Set<M>();

  async join(member: M, timeoutMs?: number): Promise<void> {
    const guard = await this.lock.write('NaiveRoom.join', { timeoutMs });
    this.members.add(member);
    guard.release();
  }

  async publish(text: string): Promise<void> {
    const guard = await this.lock.read('NaiveRoom.publish');
    for (const member of this.members) await member.send(text);
    guard.release();
  }
}

describe('the naive implementation', () => {
  test('makes every join wait for the member that does not read', async () => {
    freezeClocks();
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const room = new NaiveRoom();
    const healthy: string[] = [];
    let read: () => void = () => {};
    await room.join({ send: async (text) => void healthy.push(text) });
    await room.join({ send: () => new Promise((resolve) => (read = resolve)) });
    await room.join({ send: async (text) => void healthy.push(text) });

    const published = room.publish('hello');
    const joins = [1, 2].map(() => room.join({ send: async () => {} }, 60_000));
    const outcomes = Promise.allSettled(joins);
    const late = room.join({ send: async () => {} });
    await vi.advanceTimersByTimeAsync(60_000);
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: expect.any(LockTimeoutError) });
    }
    // Nor does the next member get its message.
    expect(healthy).toEqual(['hello']);
    expect(room.members.size).toBe(3);
    expect(room.reports[0]).toMatch(/LONG HOLD.* held by NaiveRoom.publish.* NaiveRoom.join/s);

    read();
    await Promise.all([published, late]);
    expect(healthy).toEqual(['hello', 'hello']);
    expect(room.members.size).toBe(4);
  });

  test('does so over TCP, once the kernel buffers are full', async () => {
    const http = createServer();
    const server = new WebSocketServer({ server: http });
    http.listen(0, '127.0.0.1');
    await once(http, 'listening');
    const { port } = http.address() as AddressInfo;
    onTestFinished(async () => {
      for (const each of server.clients) each.terminate();
      server.close();
      http.close();
    });
    const member = (socket: WebSocket) => ({
      send: (text: string) =>
        new Promise<void>((resolve) => {
          socket.send(text, () => resolve());
        }),
    });
    const connect = async () => {
      const [[socket], client] = await Promise.all([
        once(server, 'connection') as Promise<[WebSocket]>,
        (async () => {
          const client = new WebSocket(`ws://127.0.0.1:${port}`);
          await once(client, 'open');
          return client;
        })(),
      ]);
      return { socket, client };
    };
    const room = new NaiveRoom();
    const stalled = await connect();
    const newcomer = await connect();
    await room.join(member(stalled.socket));
    stalled.client.pause();

    const text = 'x'.repeat(64 * 1024);
    let isFlooding = true;
    const flood = (async () => {
      while (isFlooding) await room.publish(text);
    })();
    while (stalled.socket.bufferedAmount === 0) await new Promise(setImmediate);

    await expect(room.join(member(newcomer.socket), 200)).rejects.toThrow(LockTimeoutError);
    const late = room.join(member(newcomer.socket));
    isFlooding = false;
    stalled.client.resume();
    await Promise.all([flood, late]);
    expect(room.members.size).toBe(2);
  });
});

/** Checks V4 for what a peer reads of a room: counts received and announced messages. */
class Account {
  messages = 0;
  /** Everything up to here was received or announced. */
  last = 0;
  readonly gaps: { from: number; to: number; reason: string }[] = [];
  readonly #events: readonly Received[];
  #read = 0;

  constructor({ events }: { events: readonly Received[] }) {
    this.#events = events;
  }

  /** Reads new events. */
  read(): this {
    for (; this.#read < this.#events.length; this.#read += 1) {
      const event = this.#events[this.#read] as Received;
      if (event.type === 'message') {
        if (event.seq !== this.last + 1) throw new Error(`${event.seq} after ${this.last}`);
        this.last = event.seq;
        this.messages += 1;
      } else if (event.type === 'gap') {
        if (event.from !== this.last + 1) throw new Error(`gap ${event.from} after ${this.last}`);
        expect(event.count).toBe(event.to - event.from + 1);
        this.last = event.to;
        this.gaps.push(event);
      }
    }
    return this;
  }

  get missed(): number {
    return this.gaps.reduce((sum, { from, to }) => sum + to - from + 1, 0);
  }
}

describe('ours, without a network', () => {
  const QUEUE = 10;

  async function stalledAmongOthers(config = {}) {
    const world = startCore({ config: { queueMessages: QUEUE, ...config } });
    const { core, settle } = world;
    const [healthy, stalled, polling] = [
      core.connect('websocket'),
      core.connect('sockjs-websocket'),
      core.connect('xhr-polling'),
    ];
    for (const peer of core.peers) peer.say({ type: 'join', room: 'a' });
    await settle();
    polling.transport.poll();
    stalled.transport.stall();
    const publish = (count: number) => {
      for (let n = 0; n < count; n += 1) {
        void core.hub.publish(null, 'a', '1');
        world.loop.run();
        polling.transport.poll();
      }
    };
    return { ...world, healthy, stalled, polling, publish };
  }

  test('a join settles at once, and the others get everything', async () => {
    const { core, healthy, stalled, polling, publish } = await stalledAmongOthers();
    publish(100);
    const newcomer = core.connect();
    const joined = core.hub.memberships.join(newcomer.member, 'a');
    // Not a promise: the join waited for nobody.
    expect(joined).toMatchObject({ seq: 100, members: 4 });
    expect(healthy.received).toEqual({ messages: 100, gaps: 0 });
    expect(polling.received).toEqual({ messages: 100, gaps: 0 });
    expect(stalled.member.queuedMessages).toBe(QUEUE + 1);
    core.check();
  });

  test('the stalled member is told what it missed when it reads again', async () => {
    const { core, stalled, publish } = await stalledAmongOthers();
    publish(100);
    stalled.transport.resume();
    const { messages, gaps, last } = new Account(stalled.transport).read();
    expect({ messages, last }).toEqual({ messages: QUEUE + 1, last: 100 });
    expect(gaps).toMatchObject([{ from: 2, to: 100 - QUEUE, reason: 'overflow' }]);
    core.checkDrained();
  });

  test('the stalled member is evicted with 4101 if it does not', async () => {
    const { core, healthy, stalled, publish, pass, settle } = await stalledAmongOthers();
    publish(100);
    await pass(29_900);
    expect(stalled.transport.isOpen).toBe(true);
    await pass(200);
    expect(stalled.transport.closed).toBe('slow_consumer');
    expect(CLOSE.slow_consumer.code).toBe(4101);
    publish(10);
    await settle();
    expect(healthy.received).toEqual({ messages: 110, gaps: 0 });
    expect(stalled.member.queuedBytes).toBe(0);
    core.check();
  });
});

/**
 * More than the kernel buffers for a peer that does not read, about 4 MB on Linux. SockJS over HTTP
 * makes the peer poll again after 128 KiB, and allows it 10 s for that.
 */
const floodBytes = (name: TransportName) => (name.endsWith('websocket') ? 12 : 2) * 1024 * 1024;
const MESSAGE = 'x'.repeat(16 * 1024);
/** Half of a queue: a member that reads is never at risk. */
const ROUND = 16;
const BOUNDS = { queueMessages: 40, queueBytes: 1024 * 1024, controlBytes: 65_536 };
/** Slots of the empty queues of all members. */
const SLOTS = 1024;

interface Joined extends ReadingPeer {
  readonly account: Account;
}

async function join(name: TransportName, url: string): Promise<Joined> {
  const peer = await connectReading(name, url);
  peer.say({ type: 'join', id: 1, room: 'a' });
  await peer.until(() => peer.events.some(({ type }) => type === 'joined'));
  return Object.assign(peer, { account: new Account(peer) });
}

/** Starts a server with a stalled peer and healthy ones, and floods them all. */
async function start(name: TransportName, config: Partial<Config>) {
  const { url } = await serve({ ...BOUNDS, ...config });
  const api = apiOf(url);
  const stalled = await join(name, url);
  const healthy = [await join('websocket', url), await join(name, url)];
  stalled.stall();
  let published = 0;
  return {
    url,
    api,
    stalled,
    healthy,
    get published() {
      return published;
    },
    /** Publishes a round; resolves when the healthy peers have it. */
    async publish() {
      await api.publish('a', Array(ROUND).fill(MESSAGE));
      published += ROUND;
      for (const peer of healthy) await peer.until(() => peer.account.read().last >= published);
    },
  };
}

describe.each(TRANSPORTS)('ours, over %s', (name) => {
  test('a stalled member delays nobody, and is told what it missed', async () => {
    const flood = await start(name, { stallAfterMs: 60_000 });
    const { api, stalled, healthy, url } = flood;
    while (flood.published * MESSAGE.length < floodBytes(name)) {
      await flood.publish();
      const { messages = 0, bytes = 0 } = (await api.member(stalled.id))?.queued ?? {};
      expect(messages).toBeLessThanOrEqual(BOUNDS.queueMessages + 1);
      expect(bytes).toBeLessThanOrEqual(
        BOUNDS.queueBytes + BOUNDS.controlBytes + BATCH_BYTES + MESSAGE.length,
      );
    }
    expect((await api.member(stalled.id))?.health).toBe('shedding');

    await join('websocket', url);
    // The stalled peer is still behind.
    const { messages = 0 } = (await api.member(stalled.id))?.queued ?? {};
    expect(messages).toBeGreaterThanOrEqual(BOUNDS.queueMessages);

    stalled.resume();
    const { account } = stalled;
    await stalled.until(() => account.read().last === flood.published);
    expect(account.gaps.length).toBeGreaterThan(0);
    for (const { reason } of account.gaps) expect(reason).toBe('overflow');
    expect(account.messages + account.missed).toBe(flood.published);
    expect(stalled.events).toContainEqual(expect.objectContaining({ state: 'shedding' }));
    for (const peer of healthy) {
      expect(peer.account).toMatchObject({ messages: flood.published, gaps: [] });
    }
    const scrape = await api.scrape();
    expect(scrape.sum('dropped_total', { reason: 'drop-oldest' })).toBe(account.missed);
    expect(scrape.sum('evictions_total')).toBe(0);
  }, 60_000);

  test('a stalled member that does not read again is evicted, and leaves nothing behind', async () => {
    const flood = await start(name, { stallAfterMs: 1000 });
    const { api, stalled, healthy } = flood;
    for (let evicted = 0; evicted === 0; ) {
      await flood.publish();
      evicted = (await api.scrape()).sum('evictions_total', { reason: 'slow_consumer' });
    }
    expect(await api.member(stalled.id)).toBeNull();
    const label = { transport: name, reason: 'slow_consumer' };
    const scrape = await api.until((each) => each.sum('connections_closed_total', label) === 1);
    expect(scrape.sum('queue_messages')).toBe(0);
    expect(scrape.sum('queue_bytes')).toBeLessThanOrEqual(SLOTS);
    for (const peer of healthy) {
      expect(peer.account).toMatchObject({ messages: flood.published, gaps: [] });
    }
    stalled.resume();
    // It returns too late to be told: its connection was reset, or its session is forgotten.
    expect([CLOSE.slow_consumer.code, 1006]).toContain(await stalled.closed);
  }, 60_000);
});

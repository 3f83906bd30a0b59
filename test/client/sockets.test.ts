/**
 * The client and a real server over real sockets: the same property as in `property.test.ts`, and
 * positions, history and tokens as far as the server's `features` allow. `CLIENT_SOCKET_SCHEDULES=500`
 * runs 500 schedules.
 */
import { once } from 'node:events';
import { createServer, connect as dial, type Socket as Tcp } from 'node:net';
import fc from 'fast-check';
import SockJS from 'sockjs-client';
import { expect, it, onTestFinished, vi } from 'vitest';
import { WebSocket } from 'ws';
import { healing } from '../../client/src/backfill.js';
import { type Client, connect, type Options, type Socket } from '../../client/src/index.js';
import { withSockJS } from '../../client/src/sockjs.js';
import type { CloseReason } from '../../src/errors.js';
import { startTestServer, type TestServer } from '../../src/testing.js';
import { SECRET } from '../support/tokens.js';
import { Witness } from './witness.js';

const SCHEDULES = Number(process.env['CLIENT_SOCKET_SCHEDULES'] ?? 12);
const WAIT = { timeout: 30_000, interval: 5 };

const open = (url: string): Socket => new WebSocket(url);
const openSockJS = (url: string): Socket => new SockJS(url);
const QUICK: Options = {
  WebSocket: open,
  healing,
  lifecycle: false,
  backoff: { baseMs: 20, capMs: 100 },
};

async function start(options: Parameters<typeof startTestServer>[0] = {}): Promise<TestServer> {
  const server = await startTestServer(options);
  onTestFinished(() => server.close());
  return server;
}

function client(url: string, options: Options = {}): Client {
  const made = connect(url, { ...QUICK, ...options });
  onTestFinished(() => made.close());
  return made;
}

/** A proxy between client and server that the test can make cut all connections or pass nothing on. */
async function proxy(port: number) {
  const open = new Set<Tcp>();
  let isHole = false;
  const server = createServer((near) => {
    const far = dial(port, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(from);
      from.on('data', (bytes) => {
        if (!isHole) to.write(bytes);
      });
      from.on('error', () => {});
      from.on('close', () => {
        open.delete(from);
        to.destroy();
      });
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => {
    for (const socket of open) socket.destroy();
  };
  onTestFinished(() => {
    cut();
    server.close();
  });
  const { port: own } = server.address() as { port: number };
  return {
    url: `ws://127.0.0.1:${own}/ws`,
    cut,
    hole(is: boolean) {
      isHole = is;
    },
  };
}

it('two clients exchange messages, and each recognises its own', async () => {
  const server = await start();
  const [one, two] = [client(server.url), client(server.url)];
  const heard: unknown[] = [];
  for (const each of [one, two]) {
    const room = each.room('chat');
    room.on('message', ({ data, own }) => heard.push([each === one ? 'one' : 'two', data, own]));
    await room.join();
  }
  expect(await one.room('chat').publish('hello')).toEqual({ seq: 1 });
  await vi.waitFor(() => expect(heard).toHaveLength(2), WAIT);
  expect(heard).toContainEqual(['one', 'hello', true]);
  expect(heard).toContainEqual(['two', 'hello', false]);
  expect(await one.ping()).toBeGreaterThanOrEqual(0);
});

it('a message that is too large is rejected locally, and the connection stays open', async () => {
  const server = await start({ maxMessageBytes: 1000 });
  const made = client(server.url);
  const room = made.room('chat');
  await room.join();
  const { member } = made;
  const ends: unknown[] = [];
  for (let length = 850; length < 1010; length += 1) {
    ends.push(
      await room.publish('x'.repeat(length)).then(
        () => 'sent',
        ({ code }) => code,
      ),
    );
  }
  expect(made.member).toBe(member);
  const sent = ends.lastIndexOf('sent') + 1;
  expect(new Set(ends.slice(0, sent))).toEqual(new Set(['sent']));
  expect(new Set(ends.slice(sent))).toEqual(new Set(['message_too_big']));
  expect(sent).toBeGreaterThan(10);
});

it('uses SockJS where WebSockets are blocked', async () => {
  const server = await start();
  const made = client(server.url, {
    WebSocket: withSockJS(openSockJS, (url) => open(url.replace(/\/ws$/, '/nothing'))),
  });
  const room = made.room('chat');
  const heard: unknown[] = [];
  room.on('message', ({ data }) => heard.push(data));
  await room.join();
  expect(server.members().map(({ transport }) => transport)).not.toContain('websocket');
  await room.publish('by SockJS');
  await vi.waitFor(() => expect(heard).toEqual(['by SockJS']), WAIT);
});

it('a lost network is detected by a probe, and the loss is an exact gap or nothing', async () => {
  // No heartbeat detects it.
  const server = await start({ heartbeatMs: 86_400_000 });
  const between = await proxy(Number(new URL(server.url).port));
  let offline = () => {};
  const made = client(between.url, {
    pongTimeoutMs: 200,
    lifecycle: {
      watch(on) {
        offline = () => on('offline');
        return () => {};
      },
    },
  });
  const room = made.room('a');
  const witness = new Witness(room, () => true);
  await room.join();
  await server.publish('a', 1);
  await vi.waitFor(() => expect(witness.last).toBe(1), WAIT);
  between.hole(true);
  offline();
  for (const data of [2, 3]) await server.publish('a', data);
  await vi.waitFor(() => expect(made.state).toBe('waiting'), WAIT);
  between.hole(false);
  await vi.waitFor(() => expect(room.state).toBe('joined'), WAIT);
  await server.publish('a', 4);
  await vi.waitFor(() => expect(witness.last).toBe(4), WAIT);
  expect(witness.faults).toEqual([]);
  expect(witness.messages + witness.missing).toBe(4);
});

it('nothing published while connections fail is published twice', async () => {
  const server = await start();
  const between = await proxy(Number(new URL(server.url).port));
  const made = client(between.url);
  const room = made.room('a');
  const watching = client(server.url).room('a');
  const heard: unknown[] = [];
  watching.on('message', ({ data }) => heard.push(data));
  await Promise.all([room.join(), watching.join()]);
  const answers: Promise<unknown>[] = [];
  for (let i = 0; i < 60; i += 1) {
    answers.push(room.publish(i).catch(({ code }) => code));
    if (i % 10 === 5) between.cut();
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
  const ends = await Promise.all(answers);
  await server.publish('a', 'end');
  await vi.waitFor(() => expect(heard.at(-1)).toBe('end'), WAIT);
  expect(new Set(heard).size).toBe(heard.length);
  // Confirmed messages exist; rejected ones have a code that says that they may exist.
  ends.forEach((end, i) => {
    if (typeof end === 'object') expect(heard).toContain(i);
    else expect(end).toBe('connection_lost');
  });
});

it.each(['WebSocket', 'SockJS'])(
  'a gap is filled from the history while live messages continue, over %s',
  async (transport) => {
    const server = await start({ historyMessages: 1000, queueMessages: 16, recoverAfterMs: 200 });
    const WebSocket = transport === 'SockJS' ? () => openSockJS(server.sockjsUrl) : open;
    const made = client(server.url, { WebSocket });
    const room = made.room('a');
    const seen: number[] = [];
    const gaps: unknown[] = [];
    room.on('message', ({ seq }) => seen.push(seq));
    room.on('gap', (gap) => gaps.push(gap));
    await room.join();
    expect(made.features).toContain('history');
    const resume = server.stall(made.member as string);
    for (let n = 0; n < 60; n += 1) {
      await server.publish('a', `${n} ${'x'.repeat(2000)}`);
      await new Promise(setImmediate);
    }
    resume();
    for (let n = 0; n < 20; n += 1) {
      await server.publish('a', n);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await vi.waitFor(() => expect(seen.length).toBeGreaterThanOrEqual(80), WAIT);
    expect(seen).toEqual(Array.from({ length: 80 }, (_, i) => i + 1));
    expect(gaps).toEqual([]);
  },
);

/** Close reasons of the server from which a client reconnects within a second. */
const REASONS = [
  ...['slow_consumer', 'control_overflow', 'heartbeat_missed', 'internal_error'],
  ...['token_expired', 'not_authenticated'],
] as CloseReason[];

const action = fc.record({
  do: fc.constantFrom(
    'publish',
    'publish',
    'publish',
    'cut',
    'stall',
    'resume',
    'leave',
    'join',
    'rejoin',
    'wait',
    'evict',
    'restart',
  ),
  n: fc.integer({ min: 1, max: 20 }),
});

it(`received + gaps = published between join and leave, over ${SCHEDULES} schedules`, async () => {
  const sum = { messages: 0, missing: 0, resets: 0 };
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(0, 8, 1000),
      fc.array(action, { minLength: 5, maxLength: 25 }),
      async (keeps, actions) => {
        const config = {
          queueMessages: 16,
          publishRate: 0,
          joinRate: 0,
          historyMessages: keeps,
          tokenSecret: [SECRET],
          tokenAudience: ['us'],
        };
        let server = await startTestServer(config);
        const port = Number(new URL(server.url).port);
        const between = await proxy(port);
        const getToken = () => server.token({ user: '42', rooms: { a: ['join', 'history'] } });
        const made = connect(between.url, { ...QUICK, getToken });
        made.on('error', () => {});
        const room = made.room('a');
        const published = new Map<string, unknown>();
        const witness = new Witness(room, ({ seq, data }, epoch) => {
          const key = `${epoch}:${seq}`;
          // The member received it before the publisher got its answer.
          return !published.has(key) || published.get(key) === data;
        });
        let count = 0;
        const publish = async () => {
          count += 1;
          const data = `${count} ${'x'.repeat(2000)}`;
          const { epoch, seq } = await server.publish('a', data);
          published.set(`${epoch}:${seq}`, data);
          return { epoch, seq };
        };
        let resume = () => {};
        await room.join();
        for (const { do: what, n } of actions) {
          if (what === 'publish') {
            for (let i = 0; i < n; i += 1) {
              await publish();
              if (i % 4 === 0) await new Promise(setImmediate);
            }
          } else if (what === 'cut') between.cut();
          else if (what === 'stall' && server.members().some(({ id }) => id === made.member)) {
            resume = server.stall(made.member as string);
          } else if (what === 'resume') resume();
          else if (what === 'evict' && made.member !== null) {
            server.kick(made.member, REASONS[n % REASONS.length]);
          } else if (what === 'leave') void room.leave();
          else if (what === 'join') void room.join();
          else if (what === 'rejoin') {
            void room.leave();
            void room.join();
          } else if (what === 'wait') await new Promise((resolve) => setTimeout(resolve, n));
          else if (what === 'restart') {
            await server.close();
            server = await startTestServer({ ...config, port });
          }
        }
        resume();
        await room.join();
        const last = await publish();
        await vi.waitFor(() => expect(room.position).toEqual(last), WAIT);
        expect(witness.faults).toEqual([]);
        expect(witness.last).toBe(last.seq);
        await made.close();
        between.cut();
        await server.close();
        sum.messages += witness.messages;
        sum.missing += witness.missing;
        sum.resets += witness.resets;
      },
    ),
    { numRuns: SCHEDULES },
  );
  if (SCHEDULES >= 100) console.log(sum);
  expect(sum.messages + sum.missing).toBeGreaterThan(SCHEDULES);
}, 1_200_000);

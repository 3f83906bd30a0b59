/** Reads come before decoding, and a message's time is that of its read. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { createServer as createTlsServer } from 'node:tls';
import fc from 'fast-check';
import { expect, onTestFinished, test, vi } from 'vitest';
import { machineMicros } from '../../../src/load/clock.js';
import { arrived, deliverAll, type Receiver } from '../../../src/load/wire/arrivals.js';
import { RawSocket } from '../../../src/load/wire/socket.js';
import { certificate } from '../../support/certificate.js';

interface Received {
  readonly text: string;
  readonly now: number;
}

function listener(): Receiver & { readonly all: Received[] } {
  const all: Received[] = [];
  return {
    all,
    receive: (buf, start, end, now) => all.push({ text: buf.toString('latin1', start, end), now }),
  };
}

const textsOf = ({ all }: { all: Received[] }): string[] => all.map(({ text }) => text);

test('kept bytes are decoded once a turn of the event loop has read nothing more', async () => {
  const receiver = listener();
  arrived(receiver, Buffer.from('one'), 3, 1);
  await turn();
  arrived(receiver, Buffer.from('two'), 3, 2);
  await turn();
  expect(receiver.all).toEqual([]);
  await turn();
  expect(receiver.all).toEqual([
    { text: 'one', now: 1 },
    { text: 'two', now: 2 },
  ]);
});

test('a large read is decoded at once, after the kept ones', () => {
  const receiver = listener();
  const much = 'x'.repeat(5000);
  arrived(receiver, Buffer.from('one'), 3, 1);
  arrived(receiver, Buffer.from(much), much.length, 2);
  expect(textsOf(receiver)).toEqual(['one', much]);
});

test('the buffer is bounded in reads and in bytes', () => {
  const receiver = listener();
  for (let i = 0; i < 2048; i++) arrived(receiver, Buffer.from('x'), 1, i);
  expect(receiver.all).toHaveLength(0);
  arrived(receiver, Buffer.from('y'), 1, 2048);
  expect(receiver.all).toHaveLength(2048);
  deliverAll();
  const most = Buffer.alloc(4096, 'z');
  for (let i = 0; i < 64; i++) arrived(receiver, most, most.length, i);
  expect(receiver.all).toHaveLength(2049);
  arrived(receiver, most, 1, 64);
  expect(receiver.all).toHaveLength(2049 + 64);
  deliverAll();
  expect(receiver.all).toHaveLength(2049 + 65);
});

test('each connection gets all its bytes, in order and with their times', async () => {
  const step = fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({ of: fc.nat(3), length: fc.integer({ min: 1, max: 6000 }) }),
    },
    { weight: 1, arbitrary: fc.constant('turn' as const) },
    { weight: 1, arbitrary: fc.constant('all' as const) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 200 }), async (steps) => {
      const receivers = [listener(), listener(), listener(), listener()];
      const expected: Received[][] = [[], [], [], []];
      for (const [i, each] of steps.entries()) {
        if (each === 'turn') await turn();
        else if (each === 'all') deliverAll();
        else {
          const text = String.fromCharCode(97 + (i % 26)).repeat(each.length);
          expected[each.of]!.push({ text, now: i });
          arrived(receivers[each.of]!, Buffer.from(text), each.length, i);
        }
      }
      deliverAll();
      expect(receivers.map(({ all }) => all)).toEqual(expected);
    }),
    { numRuns: 50 },
  );
});

/** A TLS server whose certificate is accepted. */
function tlsServer(onPeer: (socket: Socket) => void) {
  vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
  onTestFinished(() => void vi.unstubAllEnvs());
  const { tlsCert, tlsKey } = certificate('127.0.0.1');
  return createTlsServer({ cert: readFileSync(tlsCert), key: readFileSync(tlsKey) }, onPeer);
}

/** A server on loopback, and a number of connections to it. */
async function connected(
  count: number,
  hear: (which: number, now: number) => void,
  { tls = false } = {},
) {
  const peers: Socket[] = [];
  // Without a delay: bytes after the tickets of TLS would wait for an acknowledgement.
  const onPeer = (socket: Socket) => void peers.push(socket.setNoDelay().on('error', () => {}));
  const server = tls ? tlsServer(onPeer) : createServer(onPeer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const endpoint = {
    host: '127.0.0.1',
    port,
    tls,
    path: '/',
    headers: {},
    readSize: 65_536,
  };
  const sockets = await Promise.all(
    Array.from({ length: count }, async (_, which) => {
      let socket!: RawSocket;
      await new Promise<void>((connected) => {
        socket = new RawSocket(endpoint, {
          connected,
          bytes: (_buf, _start, _end, now) => hear(which, now),
          closed() {},
        });
      });
      return socket;
    }),
  );
  while (peers.length < count) await turn();
  const close = (): void => {
    for (const socket of sockets) socket.reset();
    server.close();
  };
  return { peers, sockets, close };
}

test.each([false, true])(
  'the time of a message lies between its arrival and the decoding of any message of its turn, TLS: %s',
  async (tls) => {
    const times: number[] = [];
    let began = 0;
    const hear = (_which: number, now: number): void => {
      times.push(now);
      began ||= machineMicros();
      const until = performance.now() + 20;
      while (performance.now() < until);
    };
    const { peers, close } = await connected(2, hear, { tls });
    const sent = machineMicros();
    for (const peer of peers) peer.write('x');
    while (times.length < 2) await turn();
    close();
    for (const time of times) {
      expect(time).toBeGreaterThanOrEqual(sent);
      expect(time).toBeLessThanOrEqual(began);
    }
  },
);

test('a reset connection gets no more bytes, not even those read before', async () => {
  const heard: number[] = [];
  let reset = (): void => {};
  const { peers, sockets, close } = await connected(2, (which) => {
    heard.push(which);
    reset();
  });
  reset = () => {
    for (const socket of sockets) socket.reset();
  };
  for (const peer of peers) peer.write('x');
  while (heard.length === 0) await turn();
  // It was read in the same turn, and would have been decoded in it as well.
  deliverAll();
  expect(heard).toHaveLength(1);
  close();
});

test('bytes read before the end are decoded before the end', async () => {
  const server = createServer((socket) => socket.end('last words')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const happened: string[] = [];
  await new Promise<void>((resolve) => {
    new RawSocket(
      { host: '127.0.0.1', port, tls: false, path: '/', headers: {}, readSize: 65_536 },
      {
        connected() {},
        bytes: (buf, start, end) => happened.push(buf.toString('latin1', start, end)),
        closed(reason) {
          happened.push(reason);
          resolve();
        },
      },
    );
  });
  expect(happened).toEqual(['last words', 'end']);
  server.close();
});

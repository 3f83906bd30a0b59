/** That reading goes before looking at what was read, and that a message's time is that of its reading. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { createServer as createTlsServer } from 'node:tls';
import fc from 'fast-check';
import { expect, onTestFinished, test, vi } from 'vitest';
import { machineMicros } from '../../../src/load/clock.js';
import { arrived, type Hearer, hearAll } from '../../../src/load/wire/arrivals.js';
import { RawSocket } from '../../../src/load/wire/socket.js';
import { certificate } from '../../support/certificate.js';

interface Heard {
  readonly text: string;
  readonly now: number;
}

function listener(): Hearer & { readonly all: Heard[] } {
  const all: Heard[] = [];
  return {
    all,
    heard: (buf, start, end, now) => all.push({ text: buf.toString('latin1', start, end), now }),
  };
}

const textsOf = ({ all }: { all: Heard[] }): string[] => all.map(({ text }) => text);

test('what was read is heard once a turn of the loop has brought nothing more', async () => {
  const hearer = listener();
  arrived(hearer, Buffer.from('one'), 3, 1);
  await turn();
  arrived(hearer, Buffer.from('two'), 3, 2);
  await turn();
  expect(hearer.all).toEqual([]);
  await turn();
  expect(hearer.all).toEqual([
    { text: 'one', now: 1 },
    { text: 'two', now: 2 },
  ]);
});

test('much at once is heard at once, behind what is kept', () => {
  const hearer = listener();
  const much = 'x'.repeat(5000);
  arrived(hearer, Buffer.from('one'), 3, 1);
  arrived(hearer, Buffer.from(much), much.length, 2);
  expect(textsOf(hearer)).toEqual(['one', much]);
});

test('no more is kept than fits, in reads and in bytes', () => {
  const hearer = listener();
  for (let i = 0; i < 2048; i++) arrived(hearer, Buffer.from('x'), 1, i);
  expect(hearer.all).toHaveLength(0);
  arrived(hearer, Buffer.from('y'), 1, 2048);
  expect(hearer.all).toHaveLength(2048);
  hearAll();
  const most = Buffer.alloc(4096, 'z');
  for (let i = 0; i < 64; i++) arrived(hearer, most, most.length, i);
  expect(hearer.all).toHaveLength(2049);
  arrived(hearer, most, 1, 64);
  expect(hearer.all).toHaveLength(2049 + 64);
  hearAll();
  expect(hearer.all).toHaveLength(2049 + 65);
});

test('everybody hears all that was read for them, in its order and with its times', async () => {
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
      const hearers = [listener(), listener(), listener(), listener()];
      const expected: Heard[][] = [[], [], [], []];
      for (const [i, each] of steps.entries()) {
        if (each === 'turn') await turn();
        else if (each === 'all') hearAll();
        else {
          const text = String.fromCharCode(97 + (i % 26)).repeat(each.length);
          expected[each.of]!.push({ text, now: i });
          arrived(hearers[each.of]!, Buffer.from(text), each.length, i);
        }
      }
      hearAll();
      expect(hearers.map(({ all }) => all)).toEqual(expected);
    }),
    { numRuns: 50 },
  );
});

/** A server of TLS whose certificate is taken for good. */
function tlsServer(onPeer: (socket: Socket) => void) {
  vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
  onTestFinished(() => void vi.unstubAllEnvs());
  const { tlsCert, tlsKey } = certificate('127.0.0.1');
  return createTlsServer({ cert: readFileSync(tlsCert), key: readFileSync(tlsKey) }, onPeer);
}

/** A server on loopback, and as many connections to it. */
async function connected(
  count: number,
  hear: (which: number, now: number) => void,
  { tls = false } = {},
) {
  const peers: Socket[] = [];
  const onPeer = (socket: Socket) => void peers.push(socket.on('error', () => {}));
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
  'the time of a message lies between its arrival and what is done about any message of its turn, TLS: %s',
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

test('one that is reset hears no more, also not of what was read before', async () => {
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
  // It was read in the same turn, and would have been heard in the same as well.
  hearAll();
  expect(heard).toHaveLength(1);
  close();
});

test('what was read before the end is heard before the end', async () => {
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

/** Members behind a proxy that sends the PROXY protocol, and clients that send it without permission. */
import { once } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { serve } from '../src/serve.js';
import { certificate } from './support/certificate.js';
import { upgrade } from './support/raw-websocket.js';

const WAIT = { timeout: 20_000, interval: 5 };
const HEADER = 'PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n';
const BINARY = Buffer.concat([
  Buffer.from('0d0a0d0a000d0a515549540a21210024', 'hex'),
  Buffer.from('20010db8000000000000000000000009', 'hex'),
  Buffer.from('20010db8000000000000000000000002', 'hex'),
  Buffer.from([0xdc, 0x04, 0x01, 0xbb]),
]);

async function start(options: Parameters<typeof serve>[0] = {}) {
  const lines: object[] = [];
  const log = {
    info: () => {},
    warn: (fields: object) => void lines.push(fields),
    error: () => {},
  };
  const served = await serve({
    port: 0,
    proxyProtocol: true,
    trustProxy: ['127.0.0.1'],
    log,
    lameDuckMs: 0,
    drainMs: 0,
    ...options,
  });
  onTestFinished(async () => void (await served.close()));
  const connected: string[] = [];
  served.roomcast.on('connected', ({ address }) => connected.push(address));
  const port = Number(/:(\d+)$/.exec(served.url)?.[1]);
  const dial = async (localAddress = '127.0.0.1'): Promise<Socket> => {
    const socket = connect({ port, host: '127.0.0.1', localAddress });
    socket.on('error', () => {});
    onTestFinished(() => void socket.destroy());
    await once(socket, 'connect');
    return socket;
  };
  return { served, lines, connected, dial, port };
}

/** Ends when the server resets the connection, which the reader sees as an error. */
const ended = (socket: Socket) => new Promise((resolve) => socket.once('close', resolve));

const answerOf = async (socket: Socket) => {
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  return chunk.toString('latin1');
};

describe('a connection of a trusted proxy', () => {
  test.each([
    ['version 1', Buffer.from(HEADER), '192.0.2.7'],
    ['version 2', BINARY, '2001:db8::9'],
  ])(
    'has the address in its header of %s, sent in one piece with the request or byte by byte',
    async (_, header, address) => {
      const { connected, dial } = await start();
      const whole = await dial();
      whole.write(Buffer.concat([header, Buffer.from(upgrade('/ws'))]));
      expect(await answerOf(whole)).toContain('101');
      const slow = await dial();
      slow.setNoDelay(true);
      for (const byte of header) {
        slow.write(Buffer.from([byte]));
        await new Promise(setImmediate);
      }
      slow.write(upgrade('/ws'));
      expect(await answerOf(slow)).toContain('101');
      expect(connected).toEqual([address, address]);
    },
  );

  test('is closed without a header, logged and counted', async () => {
    const { served, lines, dial } = await start();
    const socket = await dial();
    socket.write('GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n');
    await ended(socket);
    expect(lines).toContainEqual({ reason: 'proxy', address: '127.0.0.1' });
    expect(await served.roomcast.metrics()).toContain(
      'roomcast_sockets_refused_total{reason="proxy"} 1',
    );
  });

  test('is closed if its header does not arrive in time', async () => {
    const { dial } = await start({ firstFrameMs: 200 });
    const socket = await dial();
    socket.write('PROXY TCP4');
    await ended(socket);
  });

  test('stays open if its header arrived in time, while the server was blocked (V13)', async () => {
    const firstFrameMs = 1000;
    const { dial } = await start({ firstFrameMs });
    const socket = await dial();
    // Accepted after it.
    const other = await dial();
    other.write(`${HEADER}GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n`);
    expect(await answerOf(other)).toContain('200 OK');
    socket.write(HEADER);
    for (const end = performance.now() + 1.1 * firstFrameMs; performance.now() < end; );
    socket.write('GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(await answerOf(socket)).toContain('200 OK');
  });

  test('does not delay the close of the server while its header is awaited', async () => {
    const { served, dial } = await start({ firstFrameMs: 3_600_000 });
    const silent = await dial();
    const behind = await dial();
    behind.write(HEADER + upgrade('/ws'));
    expect(await answerOf(behind)).toContain('101');
    const over = ended(silent);
    await served.close();
    await over;
  });

  test('that the proxy opened for itself keeps the address of the proxy', async () => {
    const { dial } = await start();
    const socket = await dial();
    socket.write(Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex'));
    socket.write('GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(await answerOf(socket)).toContain('200 OK');
  });

  test('counts for the address in its header', async () => {
    const { lines, dial } = await start({ maxConnectionsPerAddress: 1 });
    const open = async () => {
      const socket = await dial();
      socket.write(HEADER);
      socket.write(upgrade('/ws'));
      return answerOf(socket);
    };
    await open();
    await open();
    await vi.waitFor(
      () => expect(lines).toContainEqual(expect.objectContaining({ address: '192.0.2.7' })),
      WAIT,
    );
  });

  test('has no access to the API, since its address is not local', async () => {
    const { dial } = await start();
    const ask = async (header: string) => {
      const socket = await dial();
      socket.write(`${header}GET /v1/rooms HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      return (await answerOf(socket)).slice(9, 12);
    };
    expect(await ask(HEADER)).toBe('403');
    expect(await ask('PROXY UNKNOWN\r\n')).toBe('403');
  });

  test('may use TLS behind the header', async () => {
    const { tlsCert, tlsKey } = certificate();
    const { connected, dial } = await start({ tlsCert, tlsKey });
    const socket = await dial();
    socket.write(HEADER);
    const secure = connectTls({ socket, rejectUnauthorized: false });
    secure.on('error', () => {});
    await once(secure, 'secureConnect');
    secure.write(upgrade('/ws'));
    expect(await answerOf(secure)).toContain('101');
    expect(connected).toEqual(['192.0.2.7']);
  });
});

test('TLS connections over one unix socket each have the address in their own header', async () => {
  const { tlsCert, tlsKey } = certificate();
  const unixSocket = join(await mkdtemp(join(tmpdir(), 'roomcast-')), 'a.sock');
  const { connected } = await start({ tlsCert, tlsKey, unixSocket, trustProxy: [] });
  const sockets: Socket[] = [];
  for (const address of ['192.0.2.7', '192.0.2.8']) {
    const socket = connect(unixSocket);
    onTestFinished(() => void socket.destroy());
    await once(socket, 'connect');
    socket.write(HEADER.replace('192.0.2.7', address));
    sockets.push(socket);
  }
  // Both headers are processed before either client starts TLS.
  for (let turns = 0; turns < 20; turns += 1) await new Promise(setImmediate);
  for (const socket of sockets) {
    const secure = connectTls({ socket, rejectUnauthorized: false });
    secure.on('error', () => {});
    await once(secure, 'secureConnect');
    secure.write(upgrade('/ws'));
    expect(await answerOf(secure)).toContain('101');
  }
  expect(connected).toEqual(['192.0.2.7', '192.0.2.8']);
});

test('a connection from any other address keeps it, whatever header it sends', async () => {
  const { connected, dial } = await start({ trustProxy: ['127.0.0.1'] });
  const honest = await dial('127.0.0.2');
  honest.write(upgrade('/ws'));
  expect(await answerOf(honest)).toContain('101');
  const liar = await dial('127.0.0.2');
  liar.write(HEADER);
  liar.write(upgrade('/ws'));
  expect(await answerOf(liar)).toContain('400 Bad Request');
  expect(connected).toEqual(['127.0.0.2']);
});

test('a server that would trust no proxy does not start', async () => {
  await expect(serve({ proxyProtocol: true })).rejects.toMatchObject({
    code: 'unfit_options',
    option: 'trustProxy',
  });
});

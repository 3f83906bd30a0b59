import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createHttps } from 'node:https';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { meet } from '../../src/load/contact.js';
import { resolvePlan } from '../../src/load/plan.js';
import type { TargetSpec } from '../../src/load/targets/index.js';
import { startBroadcastServer } from '../support/broadcast-server.js';
import { certificate } from '../support/certificate.js';
import { targetSpec } from '../support/load-fakes.js';
import { startPeer } from '../support/peers/rooms.js';

async function listening(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => sockets.add(socket));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A TLS server with a self-signed certificate. */
function selfSigned(): Promise<string> {
  const { tlsCert: cert, tlsKey: key } = certificate('127.0.0.1');
  return listening(createHttps({ key: readFileSync(key), cert: readFileSync(cert) }));
}

const says = (text: string) => listening(createServer((socket) => socket.write(text)));

/** A WebSocket server that sends this greeting. */
const greets = async (text: string): Promise<string> => {
  const { port } = await startPeer((client) => client.send(text));
  return `127.0.0.1:${port}`;
};

const plain = async (): Promise<string> => {
  const server = await startBroadcastServer('loop');
  onTestFinished(() => server.close());
  return `127.0.0.1:${server.port}`;
};

const ROOMCAST: Partial<TargetSpec> = { name: 'roomcast' };

type Case = readonly [
  what: string,
  scheme: 'ws' | 'wss',
  start: () => Promise<string>,
  target: Partial<TargetSpec>,
  message: string,
];

const CASES: readonly Case[] = [
  [
    'nobody',
    'ws',
    async () => '127.0.0.1:1',
    {},
    'ECONNREFUSED: nothing listens there; start the server, or correct host and port',
  ],
  [
    'a silent server',
    'ws',
    () => says(''),
    {},
    'waited 5 s for the connection: something listens there and does not answer',
  ],
  ['a server of SSH', 'ws', () => says('SSH-2.0\r\n'), {}, 'no HTTP: it speaks no HTTP there'],
  [
    'a website',
    'ws',
    () => says('HTTP/1.1 404 Not Found\r\n\r\n'),
    {},
    'refused the upgrade: 404 Not Found: no WebSocket is served at this path',
  ],
  [
    'a server that requires credentials',
    'ws',
    () => says('HTTP/1.1 401 Unauthorized\r\n\r\n'),
    {},
    'refused the upgrade: 401 Unauthorized: it requires credentials; send them with --header',
  ],
  ['a mail server', 'ws', () => says('220 mail\r\n\r\n'), {}, 'refused the upgrade: no HTTP'],
  [
    'an untrusted certificate',
    'wss',
    selfSigned,
    {},
    'DEPTH_ZERO_SELF_SIGNED_CERT: its certificate is not trusted here; name its CA in NODE_EXTRA_CA_CERTS',
  ],
  ['a server without TLS', 'wss', plain, {}, 'it does not speak TLS there; use ws:// or http://'],
  [
    'a server with TLS',
    'ws',
    selfSigned,
    {},
    'end: it ended the connection; where it speaks TLS, use wss:// or https://',
  ],
  [
    'text where a roomcast was expected',
    'ws',
    () => greets('hello'),
    ROOMCAST,
    'sent a frame that is not JSON: "hello"',
  ],
  ['JSON that is none of its', 'ws', () => greets('null'), ROOMCAST, 'not understood: '],
  [
    'a WebSocket server instead of SockJS',
    'ws',
    () => greets('a{'),
    { ...ROOMCAST, transport: 'sockjs-websocket' },
    'sent a frame that is not SockJS: "a{"',
  ],
  [
    'text where NATS was expected',
    'ws',
    () => greets("-ERR 'Authorization Violation'\r\n"),
    { name: 'nats' },
    "refused: 'Authorization Violation'",
  ],
];

test.each(CASES)(
  '%s is unreachable, over %s, in one line',
  async (_, scheme, start, more, message) => {
    const url = `${scheme}://${await start()}`;
    const target = targetSpec('ws', url, more);
    const error: Error = await meet(resolvePlan({ members: '1' }, target, 1, 'abcd')).then(
      () => new Error('reached'),
      (reason) => reason,
    );
    expect(error).toMatchObject({ code: 'unreachable' });
    expect(error.message).toMatch(new RegExp(`^cannot reach ${target.name} at 127.0.0.1:\\d+: `));
    expect(error.message).toContain(message);
    expect(error.message).not.toContain('\n');
  },
);

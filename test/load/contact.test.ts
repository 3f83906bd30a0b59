/** What is no server of the kind asked for is told in one line, before anything is measured. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttps } from 'node:https';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { Contact } from '../../src/load/contact.js';
import { resolvePlan } from '../../src/load/plan.js';
import type { TargetSpec } from '../../src/load/targets/index.js';
import { startBroadcastServer } from '../support/broadcast-server.js';
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

/** A TLS server whose certificate nobody has signed but itself. */
function selfSigned(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'contact-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const made = ['-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=127.0.0.1'];
  execFileSync('openssl', ['req', '-x509', ...made, '-keyout', key, '-out', cert], {
    stdio: 'pipe',
  });
  return listening(createHttps({ key: readFileSync(key), cert: readFileSync(cert) }));
}

const says = (text: string) => listening(createServer((socket) => socket.write(text)));

/** A WebSocket server that greets with this. */
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
  ['nobody', 'ws', async () => '127.0.0.1:1', {}, 'ECONNREFUSED'],
  ['a server that says nothing', 'ws', () => says(''), {}, 'waited 5 s for the connection'],
  ['a mail server', 'ws', () => says('220 mail\r\n\r\n'), {}, 'refused the upgrade: no HTTP'],
  [
    'a certificate that nobody trusts',
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
    'sent what is not JSON: "hello"',
  ],
  ['JSON that is none of its', 'ws', () => greets('null'), ROOMCAST, 'not understood: '],
  [
    'a WebSocket server where SockJS was expected',
    'ws',
    () => greets('a{'),
    { ...ROOMCAST, transport: 'sockjs-websocket' },
    'sent what is not SockJS: "a{"',
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
    const target: TargetSpec = {
      name: 'ws',
      url,
      transport: 'websocket',
      headers: {},
      templates: {},
      ...more,
    };
    const contact = await Contact.prepare(resolvePlan({ members: '1' }, target, 1, 'abcd'));
    const error: Error = await contact.meet().then(
      () => new Error('reached'),
      (reason) => reason,
    );
    expect(error).toMatchObject({ code: 'unreachable' });
    expect(error.message).toMatch(new RegExp(`^cannot reach ${target.name} at 127.0.0.1:\\d+: `));
    expect(error.message).toContain(message);
    expect(error.message).not.toContain('\n');
  },
);

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Server as SocketioServer } from 'socket.io';
import { expect, onTestFinished, test } from 'vitest';
import { Stamps } from '../../../src/load/stamp.js';
import { openTarget, TRANSPORTS } from '../../../src/load/targets/index.js';
import { noFault, type TargetServer, targetContract } from '../../contract/target.js';
import { startBroadcastServer } from '../../support/broadcast-server.js';
import { deafSink, targetSpec } from '../../support/load-fakes.js';
import { startNatsServer } from '../../support/nats-server.js';
import { serve } from '../../support/server.js';

for (const transport of TRANSPORTS) {
  targetContract(`roomcast over ${transport}`, async (): Promise<TargetServer> => {
    const server = await serve();
    return {
      spec: targetSpec('roomcast', server.url, { transport }),
      async kick() {
        await server.close();
      },
    };
  });
}

targetContract('a ws loop', async () => {
  const server = await startBroadcastServer('loop');
  onTestFinished(() => server.close());
  return {
    spec: targetSpec('ws', server.url),
    kick() {
      for (const client of server.connections) client.close(1001);
    },
  };
});

targetContract('Socket.IO', async () => {
  const http = createServer();
  const io = new SocketioServer(http);
  io.on('connection', (socket) => {
    socket.on('join', (room: string) => void socket.join(room));
    socket.on('leave', (room: string) => void socket.leave(room));
    socket.on('publish', (room: string, data: string) =>
      io.to(room).emit('message', { room, data }),
    );
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => io.close());
  return {
    spec: targetSpec('socketio', `http://127.0.0.1:${(http.address() as AddressInfo).port}`),
    kick: () => io.disconnectSockets(true),
  };
});

for (const frameSize of [7, 1 << 20]) {
  targetContract(`NATS in frames of ${frameSize} bytes`, async () => {
    const server = await startNatsServer(frameSize);
    onTestFinished(() => server.close());
    return { spec: targetSpec('nats', server.url), kick: () => server.kick() };
  });
}

test('templates determine what is sent', async () => {
  const received: string[] = [];
  const server = await startBroadcastServer('loop', 0, (text) => {
    received.push(text);
    return text;
  });
  onTestFinished(() => server.close());
  const stamps = new Stamps('abcd');
  const templates = { join: 'SUB {room}', leave: 'UNSUB {room}', publish: '{room}|{data}|{room}' };
  const target = await openTarget(targetSpec('ws', server.url, { templates }), stamps, noFault);
  const payload = stamps.payload(40, 1, 2, 3, 4);
  await new Promise<void>((heard) => {
    const link = target.dial(
      {
        ...deafSink,
        open() {
          link.join('a');
          expect(link.leave('a')).toBe(true);
          link.publish('a', payload, false);
        },
        message: () => heard(),
      },
      { readSize: 65_536 },
    );
    onTestFinished(() => link.reset());
  });
  expect(received).toEqual(['SUB a', 'UNSUB a', `a|${payload.toString()}|a`]);
});

test.each([
  [targetSpec('ws', 'localhost:80'), '<url> is "localhost:80"'],
  [targetSpec('ws', 'ftp://localhost'), 'expected a ws:, wss:, http: or https: URL'],
  [targetSpec('nats', 'ws://h', { transport: 'eventsource' }), 'expected websocket with nats'],
])('an invalid target is refused: %j', async (wrong, message) => {
  await expect(openTarget(wrong, new Stamps('abcd'), noFault)).rejects.toThrow(message);
});

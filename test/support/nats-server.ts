/**
 * The part of a NATS server that the load generator uses, over WebSocket: INFO, CONNECT, PING, SUB,
 * UNSUB, PUB, MSG. It splits its output into frames of a few bytes, as a real one may split anywhere.
 */
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';

export async function startNatsServer(frameSize: number): Promise<{
  url: string;
  kick(): void;
  close(): Promise<void>;
}> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  const subscriptions = new Map<WebSocket, Map<string, string>>();

  const send = (client: WebSocket, text: string): void => {
    for (let at = 0; at < text.length; at += frameSize) {
      client.send(Buffer.from(text.slice(at, at + frameSize)));
    }
  };
  const publish = (subject: string, payload: string): void => {
    for (const [client, sids] of subscriptions) {
      for (const [sid, of] of sids) {
        if (of === subject)
          send(client, `MSG ${subject} ${sid} ${payload.length}\r\n${payload}\r\n`);
      }
    }
  };
  server.on('connection', (client) => {
    const sids = new Map<string, string>();
    subscriptions.set(client, sids);
    let rest = '';
    send(client, 'INFO {"server_id":"test","max_payload":1048576}\r\n');
    client.on('close', () => subscriptions.delete(client));
    client.on('message', (data: Buffer) => {
      rest += data.toString('latin1');
      for (let end = rest.indexOf('\r\n'); end >= 0; end = rest.indexOf('\r\n')) {
        const [verb, first = '', second = ''] = rest.slice(0, end).split(' ');
        let next = end + 2;
        if (verb === 'PUB') {
          if (rest.length < next + Number(second) + 2) return;
          publish(first, rest.slice(next, next + Number(second)));
          next += Number(second) + 2;
        } else if (verb === 'SUB') sids.set(second, first);
        else if (verb === 'UNSUB') sids.delete(first);
        else if (verb === 'PING') send(client, 'PONG\r\n');
        rest = rest.slice(next);
      }
    });
  });
  await new Promise<void>((resolve) => server.once('listening', resolve));
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    kick() {
      for (const client of server.clients) {
        send(client, "-ERR 'Slow Consumer'\r\n");
        client.close();
      }
    },
    async close() {
      for (const client of server.clients) client.terminate();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/**
 * Small broadcast servers on `ws` to test the load generator: every text message goes to every
 * connection. `loop` is the usual naive implementation; `coalesced` joins the messages of one turn of
 * the event loop into one write per connection; `awaiting` has the defect the generator must find: it
 * waits for each send before the next, so one member that does not read blocks all. `echo` returns a
 * message to its sender only.
 */
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';

export type Fanout = 'loop' | 'coalesced' | 'awaiting' | 'echo';

export interface BroadcastServer {
  readonly url: string;
  readonly port: number;
  readonly connections: Set<WebSocket>;
  /** Ends a connection with a TCP reset. */
  reset(connection: WebSocket): void;
  close(): Promise<void>;
}

/** @param transform changes the text to broadcast, or drops it by returning undefined */
export async function startBroadcastServer(
  fanout: Fanout,
  port = 0,
  transform: (text: string) => string | undefined = (text) => text,
  host = '127.0.0.1',
): Promise<BroadcastServer> {
  const http = createServer();
  const wss = new WebSocketServer({ server: http, perMessageDeflate: false });
  const sockets = new Map<WebSocket, Socket>();
  let pending: Buffer[] = [];
  let queue: Promise<void> = Promise.resolve();

  const flush = (): void => {
    const batch = Buffer.concat(pending);
    pending = [];
    for (const socket of sockets.values()) socket.write(batch);
  };
  const send: Record<Fanout, (data: Buffer, from: WebSocket) => void> = {
    echo: (data, from) => from.send(data, { binary: false }),
    loop: (data) => {
      for (const client of wss.clients) client.send(data, { binary: false });
    },
    coalesced: (data) => {
      if (pending.push(frameOf(data)) === 1) setImmediate(flush);
    },
    awaiting: (data) => {
      queue = queue.then(async () => {
        for (const client of wss.clients) {
          if (client.readyState !== WebSocket.OPEN) continue;
          await new Promise<void>((sent) => client.send(data, { binary: false }, () => sent()));
        }
      });
    },
  };
  wss.on('connection', (client, request) => {
    sockets.set(client, request.socket);
    client
      .on('message', (data: Buffer) => {
        const text = transform(data.toString());
        if (text !== undefined) send[fanout](Buffer.from(text), client);
      })
      .on('close', () => sockets.delete(client))
      .on('error', () => {});
  });
  await new Promise<void>((resolve) => http.listen(port, host, resolve));
  const bound = (http.address() as AddressInfo).port;
  return {
    url: `ws://${host}:${bound}`,
    port: bound,
    connections: wss.clients,
    reset(connection) {
      sockets.get(connection)?.resetAndDestroy();
    },
    async close() {
      for (const socket of sockets.values()) socket.destroy();
      wss.close();
      await new Promise<void>((resolve) => http.close(() => resolve()));
    },
  };
}

/** A final text frame from the server, of less than 64 KiB. */
function frameOf(data: Buffer): Buffer {
  const head = data.length < 126 ? [0x81, data.length] : [0x81, 126, data.length >> 8, data.length];
  return Buffer.concat([Buffer.from(head), data]);
}

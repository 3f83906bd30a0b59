/** Shared by the stand-ins of other servers: a WebSocket server, and the members of each room. */
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { type ServerOptions, type WebSocket, WebSocketServer } from 'ws';

export class Rooms {
  readonly #members = new Map<string, Set<WebSocket>>();

  enter(room: string, client: WebSocket): void {
    const members = this.#members.get(room) ?? new Set();
    members.add(client);
    this.#members.set(room, members);
    client.once('close', () => members.delete(client));
  }

  leave(room: string, client: WebSocket): void {
    this.#members.get(room)?.delete(client);
  }

  has(room: string, client: WebSocket): boolean {
    return this.#members.get(room)?.has(client) ?? false;
  }

  send(room: string, text: string, except?: WebSocket): void {
    for (const client of this.#members.get(room) ?? []) if (client !== except) client.send(text);
  }
}

export interface Peer {
  /** `ws:`, without a path. */
  readonly url: string;
  readonly port: number;
  readonly server: WebSocketServer;
  kick(): void;
}

/** Starts a WebSocket server that ends with the test. */
export async function startPeer(
  onConnection: (client: WebSocket, request: IncomingMessage) => void,
  options: ServerOptions = {},
): Promise<Peer> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, ...options });
  server.on('connection', onConnection);
  await new Promise<void>((resolve) => server.once('listening', resolve));
  onTestFinished(async () => {
    for (const client of server.clients) client.terminate();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
  const { port } = server.address() as AddressInfo;
  const kick = (): void => {
    for (const client of server.clients) client.close(1012, 'restart');
  };
  return { url: `ws://127.0.0.1:${port}`, port, server, kick };
}

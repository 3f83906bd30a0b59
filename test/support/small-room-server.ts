/**
 * A small room server that implements the part of roomcast's protocol that the load generator uses:
 * rooms, numbers, positions, history, confirmations, a bound per member with announced gaps. It takes
 * members' pongs as acknowledgements, so that it detects a slow one long before the kernel's buffers
 * are full. It is correct; a fault is one step replaced by a wrong one (`Steps`), so that a test can
 * name the fault that the generator finds.
 */
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';

/** A member with more unacknowledged bytes is slow; above the bound it is sent nothing more. */
const SLOW = 32 * 1024;
const BOUND = 128 * 1024;
const PING_MS = 20;

export interface Client {
  readonly ws: WebSocket;
  readonly socket: Socket;
  /** Order of connecting, from 0; the first is the generator's first contact. */
  readonly index: number;
  /** Its rooms, and the number of each at the time of the join. */
  readonly rooms: Map<Room, number>;
  /** By room: the numbers it was not sent and not told of yet. */
  readonly missed: Map<Room, { from: number; to: number }>;
  /** Bytes sent to it, and bytes it is known to have read. */
  sent: number;
  acknowledged: number;
}

export interface Room {
  readonly name: string;
  /** Order in which rooms were first joined. */
  readonly index: number;
  readonly members: Set<Client>;
  /** Every message so far. */
  readonly kept: Message[];
  seq: number;
}

export interface Message {
  readonly seq: number;
  readonly data: string;
  readonly from: Client;
  /** The room to put into the frame instead of the real one. */
  readonly room?: string;
}

/** The server's steps; each can be overridden. */
export interface Steps {
  /** A member requests a join; the correct step is `next()`. */
  join(client: Client, room: Room, next: () => void): void;
  /** A message has arrived; the correct step is `next()`: number it, confirm it, deliver it. */
  publish(client: Client, room: Room, data: string, next: () => void): void;
  /** The number that confirms a publish; null confirms nothing. */
  confirm(room: Room, seq: number): number | null;
  /** A join with a position: which messages to send; null to start anew. */
  resume(client: Client, room: Room, missed: Message[]): Message[] | null;
  /** A history request: which messages to send, and which ranges to report as not kept. */
  history(
    client: Client,
    room: Room,
    asked: Message[],
    answer: (messages: readonly Message[], missing?: readonly [number, number][]) => void,
  ): void;
  /** Sends one message to one member; the correct step is `send(message)`. */
  deliver(client: Client, room: Room, message: Message, send: (message: Message) => void): void;
}

export interface SmallRoomServer {
  readonly url: string;
  readonly clients: Set<Client>;
  /** Value of its metric; it has no metrics while this is null. */
  evictions: number | null;
  isSlow(client: Client): boolean;
  /** True if any member is slow. */
  anySlow(): boolean;
  gap(client: Client, room: Room, from: number, to: number): void;
  /** Runs `act` at an interval until the server is closed. */
  every(ms: number, act: () => void): void;
  close(): Promise<void>;
}

export async function startSmallRoomServer(
  change: (server: SmallRoomServer) => Partial<Steps> = () => ({}),
): Promise<SmallRoomServer> {
  const http = createServer((_, response) => {
    const { evictions } = server;
    response.writeHead(evictions === null ? 404 : 200);
    response.end(evictions === null ? '' : `roomcast_evictions_total ${evictions}\n`);
  });
  const wss = new WebSocketServer({ server: http, perMessageDeflate: false });
  const rooms = new Map<string, Room>();
  const clients = new Set<Client>();
  let connected = 0;

  const tell = (client: Client, event: object): void => client.ws.send(JSON.stringify(event));
  const announce = (client: Client): void => {
    if (client.sent - client.acknowledged > BOUND) return;
    for (const [room, { from, to }] of client.missed) server.gap(client, room, from, to);
    client.missed.clear();
  };
  const send = (
    client: Client,
    room: Room,
    { seq, data, room: said = room.name }: Message,
  ): void => {
    // Messages in transit when it left, or before it returned, do not count as its own.
    if (seq <= (client.rooms.get(room) ?? seq)) return;
    if (client.sent - client.acknowledged > BOUND) {
      client.missed.set(room, { from: client.missed.get(room)?.from ?? seq, to: seq });
      return;
    }
    announce(client);
    client.sent += data.length;
    client.ws.send(
      `{"type":"message","room":"${said}","seq":${seq},"from":null,"at":0,"data":"${data}"}`,
    );
  };
  const roomNamed = (name: string): Room => {
    const known = rooms.get(name);
    if (known) return known;
    const room: Room = { name, index: rooms.size, members: new Set(), kept: [], seq: 0 };
    rooms.set(name, room);
    return room;
  };

  const timers: NodeJS.Timeout[] = [];
  const server: SmallRoomServer = {
    get url() {
      return `ws://127.0.0.1:${(http.address() as AddressInfo).port}/ws`;
    },
    clients,
    evictions: null,
    isSlow: ({ sent, acknowledged }) => sent - acknowledged > SLOW,
    anySlow: () => [...clients].some(server.isSlow),
    gap(client, room, from, to) {
      const count = to - from + 1;
      tell(client, { type: 'gap', room: room.name, from, to, count, reason: 'overflow' });
    },
    every: (ms, act) => void timers.push(setInterval(act, ms)),
    async close() {
      for (const timer of timers) clearInterval(timer);
      for (const { socket } of clients) socket.destroy();
      wss.close();
      http.closeAllConnections();
      await new Promise<void>((resolve) => http.close(() => resolve()));
    },
  };
  server.every(PING_MS, () => {
    for (const { ws, sent } of clients) if (ws.readyState === ws.OPEN) ws.ping(String(sent));
  });
  const steps: Steps = {
    join: (_client, _room, next) => next(),
    publish: (_client, _room, _data, next) => next(),
    confirm: (_room, seq) => seq,
    resume: (_client, _room, missed) => missed,
    history: (_client, _room, asked, answer) => answer(asked),
    deliver: (_client, _room, message, deliver) => deliver(message),
    ...change(server),
  };

  wss.on('connection', (ws, request) => {
    const client: Client = {
      ws,
      socket: request.socket,
      index: connected++,
      rooms: new Map(),
      missed: new Map(),
      sent: 0,
      acknowledged: 0,
    };
    clients.add(client);
    tell(client, { type: 'welcome', version: 1, member: String(client.index) });
    ws.on('error', () => {});
    ws.on('pong', (sent: Buffer) => {
      client.acknowledged = Number(sent.toString());
      if (client.missed.size > 0) announce(client);
    });
    ws.on('close', () => {
      clients.delete(client);
      for (const room of client.rooms.keys()) room.members.delete(client);
    });
    ws.on('message', (bytes: Buffer) => {
      const { type, id, room: name, data, since, from, to } = JSON.parse(bytes.toString());
      const room = roomNamed(name);
      if (type === 'join') {
        steps.join(client, room, () => {
          const asked = since === undefined ? null : room.kept.slice(since.seq);
          const missed = asked && steps.resume(client, room, asked);
          client.rooms.set(room, missed ? since.seq : room.seq);
          room.members.add(client);
          const joined = { type: 'joined', id, room: name, seq: room.seq, epoch: 'e', members: 1 };
          const result = missed ? 'complete' : 'epoch_changed';
          tell(client, asked ? { ...joined, recover: { result } } : joined);
          for (const message of missed ?? []) send(client, room, message);
        });
      } else if (type === 'leave') {
        room.members.delete(client);
        client.rooms.delete(room);
        client.missed.delete(room);
        tell(client, { type: 'left', id, room: name });
      } else if (type === 'history') {
        steps.history(client, room, room.kept.slice(from - 1, to), (given, missing = []) => {
          const messages = given.map((message) => ({ seq: message.seq, data: message.data }));
          tell(client, { type: 'past', id, room: name, epoch: 'e', messages });
          const count = given.length;
          tell(client, { type: 'history', id, room: name, epoch: 'e', from, to, count, missing });
        });
      } else if (type === 'publish') {
        steps.publish(client, room, data, () => {
          const seq = ++room.seq;
          const message = { seq, data, from: client };
          room.kept.push(message);
          const confirmed = steps.confirm(room, seq);
          if (id !== undefined && confirmed !== null) {
            tell(client, { type: 'published', id, room: name, seq: confirmed });
          }
          for (const member of room.members) {
            steps.deliver(member, room, message, (sent) => send(member, room, sent));
          }
        });
      }
    });
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  return server;
}

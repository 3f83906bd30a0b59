/**
 * An in-memory server of protocol v1 with all optional features, controlled by the test: it drops,
 * stalls, evicts, restarts or stays silent. For fake timers.
 */
import type { Socket } from '../../client/src/types.js';
import type { Core, Feature, Frame, Position } from '../../client/src/wire.js';

interface RoomLog {
  epoch: string;
  seq: number;
  readonly log: Core[];
  readonly uids: Map<string, number>;
}

interface Options {
  features?: Feature[];
  auth?: 'required' | 'optional' | 'off';
  /** One-way latency. At least 1, since fake timers do not keep the order of timers without a delay. */
  latencyMs?: number;
  limits?: Record<string, number>;
  heartbeatMs?: number;
  /** History size of a room, in messages. */
  keeps?: number;
  /** Queue size of a stalled connection, in messages. */
  queue?: number;
  version?: number;
}

type Command = Record<string, unknown> & { type: string; id?: number; room: string };

export class ScriptedSocket implements Socket {
  onmessage: Socket['onmessage'] = null;
  onclose: Socket['onclose'] = null;
  onerror: Socket['onerror'] = null;
  bufferedAmount = 0;
  readonly sent: Command[] = [];
  readonly url: string;
  member = '';
  user: string | undefined;
  /** Highest number sent, by joined room. */
  readonly rooms = new Map<string, number>();
  isStalled = false;
  /** Set to make it read and answer nothing, without closing. */
  isDead = false;
  /** The close code, from either side. */
  closedWith: number | undefined;
  waiting: { room: string; message: Core }[] = [];
  readonly #server: ScriptedServer;

  constructor(server: ScriptedServer, url: string) {
    this.#server = server;
    this.url = url;
  }

  send(text: string): void {
    if (this.closedWith !== undefined) return;
    const command = JSON.parse(text) as Command;
    this.sent.push(command);
    setTimeout(() => {
      if (!this.isDead && this.closedWith === undefined) this.#server.handle(this, command);
    }, this.#server.latencyMs);
  }

  close(code = 1005): void {
    this.closedWith ??= code;
    this.#server.gone(this);
  }

  /** Sends a frame to the client. */
  say(frame: Frame | Record<string, unknown>): void {
    this.raw(JSON.stringify(frame));
  }

  raw(text: string): void {
    if (this.isDead) return;
    setTimeout(() => {
      if (!this.isDead) this.onmessage?.({ data: text } as never);
    }, this.#server.latencyMs);
  }

  /** Ends the connection from the network or the server. */
  drop(code = 1006, reason = ''): void {
    if (this.closedWith !== undefined) return;
    this.#server.gone(this);
    setTimeout(() => {
      if (this.closedWith !== undefined) return;
      this.closedWith = code;
      if (!this.isDead) this.onclose?.({ code, reason } as never);
    }, this.#server.latencyMs);
  }

  /** Closes like a server: sends `closing`, then closes. */
  evict(code: number, retryAfterMs?: number): void {
    this.say({ type: 'closing', code, reason: 'as told', retryAfterMs });
    this.drop(code);
  }
}

export class ScriptedServer {
  readonly latencyMs: number;
  readonly sockets: ScriptedSocket[] = [];
  readonly opened: { at: number; url: string }[] = [];
  readonly rooms = new Map<string, RoomLog>();
  readonly options: Required<Options>;
  /** Whether connections can be opened. */
  isUp = true;
  /** First frame to send instead of a welcome. */
  greeting: string | undefined;
  /** Handlers that replace the server's own answer, by command type. */
  readonly answers = new Map<string, (socket: ScriptedSocket, command: Command) => void>();
  tokens = new Set<string>();
  #members = 0;
  #epochs = 0;

  constructor(options: Options = {}) {
    this.options = {
      features: ['since', 'uid', 'history', 'auth'],
      auth: 'off',
      latencyMs: 1,
      limits: { maxMessageBytes: 65_536, publishRate: 0, joinRate: 0 },
      heartbeatMs: 25_000,
      keeps: 0,
      queue: 5,
      version: 1,
      ...options,
    };
    this.latencyMs = Math.max(1, this.options.latencyMs);
  }

  /** The latest connection. */
  get socket(): ScriptedSocket {
    return this.sockets.at(-1) as ScriptedSocket;
  }

  /** Passed as the option `WebSocket` of a client. */
  readonly open = (url: string): ScriptedSocket => {
    const socket = new ScriptedSocket(this, url);
    this.opened.push({ at: Date.now(), url });
    this.sockets.push(socket);
    if (!this.isUp) socket.drop();
    else if (this.greeting !== undefined) socket.raw(this.greeting);
    else {
      const { version, heartbeatMs, limits, features, auth } = this.options;
      this.#members += 1;
      socket.member = `m${this.#members}`;
      const { member } = socket;
      socket.say({ type: 'welcome', version, member, heartbeatMs, limits, features, auth });
    }
    return socket;
  };

  room(name: string): RoomLog {
    let room = this.rooms.get(name);
    if (!room) {
      this.#epochs += 1;
      room = { epoch: `e${this.#epochs}`, seq: 0, log: [], uids: new Map() };
      this.rooms.set(name, room);
    }
    return room;
  }

  publish(name: string, data: unknown, from: string | null = null): number {
    const room = this.room(name);
    room.seq += 1;
    const message: Core = { seq: room.seq, from, at: 1_700_000_000_000, data };
    room.log.push(message);
    if (room.log.length > this.options.keeps) room.log.shift();
    for (const socket of this.sockets) {
      if (socket.closedWith !== undefined || !socket.rooms.has(name)) continue;
      socket.waiting.push({ room: name, message });
      if (socket.isStalled) {
        if (socket.waiting.length > this.options.queue) socket.waiting.shift();
      } else this.#flush(socket);
    }
    return room.seq;
  }

  stall(socket = this.socket): void {
    socket.isStalled = true;
  }

  resume(socket = this.socket): void {
    socket.isStalled = false;
    this.#flush(socket);
  }

  /** Forgets all state. */
  restart(code = 1006): void {
    this.rooms.clear();
    for (const socket of this.sockets) socket.drop(code);
  }

  /** Starts a new epoch of a room while members are in it. */
  renumber(name: string): void {
    const was = this.room(name);
    this.rooms.delete(name);
    const now = this.room(name);
    now.seq = 3;
    for (const socket of this.sockets) {
      if (!socket.rooms.has(name)) continue;
      socket.waiting = [];
      socket.rooms.set(name, now.seq);
      const { epoch, seq } = was;
      socket.say({
        type: 'reset',
        room: name,
        epoch: now.epoch,
        seq: now.seq,
        was: { epoch, seq },
      });
    }
  }

  gone(socket: ScriptedSocket): void {
    socket.rooms.clear();
    socket.waiting = [];
  }

  handle(socket: ScriptedSocket, command: Command): void {
    const answer = this.answers.get(command.type);
    if (answer) answer(socket, command);
    else this.carryOut(socket, command);
  }

  refuse(socket: ScriptedSocket, { id }: Command, code: string): void {
    socket.say({ type: 'error', id, code, message: 'as told' });
  }

  carryOut(socket: ScriptedSocket, command: Command): void {
    const { id, type, room: name } = command;
    if (type === 'ping') socket.say({ type: 'pong', id });
    else if (type === 'auth') this.#auth(socket, command);
    else if (type === 'join') this.#join(socket, command);
    else if (type === 'leave') {
      socket.rooms.delete(name);
      socket.waiting = socket.waiting.filter(({ room }) => room !== name);
      socket.say({ type: 'left', id, room: name });
    } else if (type === 'publish') this.#published(socket, command);
    else if (type === 'history') this.#history(socket, command);
    else this.refuse(socket, command, 'bad_command');
  }

  #auth(socket: ScriptedSocket, command: Command): void {
    const { id, token } = command;
    if (!this.tokens.has(token as string)) {
      this.refuse(socket, command, 'token_invalid');
      if (socket.user === undefined) socket.evict(4001);
      return;
    }
    socket.user = String(token);
    const times = { expiresInMs: 600_000, refreshInMs: 480_000 };
    socket.say({ type: 'authenticated', id, user: socket.user, ...times });
  }

  #join(socket: ScriptedSocket, command: Command): void {
    const { id, room: name, since } = command as Command & { since?: Position };
    if (this.options.auth === 'required' && socket.user === undefined) {
      this.refuse(socket, command, 'unauthorised');
      return;
    }
    if (socket.rooms.has(name)) {
      this.refuse(socket, command, 'already_joined');
      return;
    }
    const room = this.room(name);
    const { epoch, seq, log } = room;
    const joined = { type: 'joined', id, room: name, seq, epoch, members: 1 };
    socket.rooms.set(name, seq);
    if (!since || !this.options.features.includes('since')) {
      socket.say(joined);
      return;
    }
    if (since.epoch !== epoch || since.seq > seq) {
      const result = since.epoch === epoch ? 'ahead' : 'epoch_changed';
      socket.say({ ...joined, recover: { result } });
      return;
    }
    const kept = log.filter((message) => message.seq > since.seq);
    const isWhole = kept.length === seq - since.seq;
    const range = seq > since.seq ? { from: since.seq + 1, to: seq } : {};
    socket.say({ ...joined, recover: { result: isWhole ? 'complete' : 'partial', ...range } });
    if (!isWhole) {
      const [from, to] = [since.seq + 1, (kept[0]?.seq ?? seq + 1) - 1];
      socket.say({ type: 'gap', room: name, from, to, count: to - from + 1, reason: 'expired' });
    }
    for (const message of kept) socket.say({ type: 'message', room: name, ...message });
  }

  #published(socket: ScriptedSocket, command: Command): void {
    const { id, room: name, data, uid } = command as Command & { uid?: string };
    if (!socket.rooms.has(name)) {
      this.refuse(socket, command, 'not_joined');
      return;
    }
    const room = this.room(name);
    const known = uid === undefined ? undefined : room.uids.get(uid);
    if (known !== undefined && this.options.features.includes('uid')) {
      socket.say({ type: 'published', id, room: name, seq: known });
      return;
    }
    const seq = this.publish(name, data, socket.member);
    if (uid !== undefined) room.uids.set(uid, seq);
    socket.say({ type: 'published', id, room: name, seq });
  }

  #history(socket: ScriptedSocket, command: Command): void {
    const { id, room: name, from, to } = command as Command & { from: number; to: number };
    if (!this.options.features.includes('history')) {
      this.refuse(socket, command, 'bad_command');
      return;
    }
    const { epoch, log } = this.room(name);
    const messages = log.filter(({ seq }) => seq >= from && seq <= to);
    for (let at = 0; at < messages.length; at += 2) {
      socket.say({ type: 'past', id, room: name, epoch, messages: messages.slice(at, at + 2) });
    }
    const first = messages[0]?.seq ?? to + 1;
    const missing = first > from ? [[from, first - 1] as const] : [];
    const count = messages.length;
    socket.say({ type: 'history', id, room: name, epoch, from, to, count, missing });
  }

  #flush(socket: ScriptedSocket): void {
    const gapTo = (room: string, to: number) => {
      const from = (socket.rooms.get(room) ?? 0) + 1;
      if (to < from) return;
      socket.say({ type: 'gap', room, from, to, count: to - from + 1, reason: 'overflow' });
      socket.rooms.set(room, to);
    };
    for (const { room, message } of socket.waiting.splice(0)) {
      gapTo(room, message.seq - 1);
      socket.say({ type: 'message', room, ...message });
      socket.rooms.set(room, message.seq);
    }
    for (const room of socket.rooms.keys()) gapTo(room, this.room(room).seq);
  }
}

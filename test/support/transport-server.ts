/** A server with every transport and nothing behind them: it records what a transport reports. */
import { createServer, IncomingMessage, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { EndReason, RefusalCode } from '../../src/errors.js';
import { LoopClock } from '../../src/loop-clock.js';
import { Bodies } from '../../src/transport/bodies.js';
import { IntakeMemory } from '../../src/transport/intake-memory.js';
import { KernelQueues } from '../../src/transport/kernel-queue.js';

import { type SockjsOptions, SockjsServer } from '../../src/transport/sockjs.js';
import { sockjsDialect } from '../../src/transport/sockjs-websocket.js';
import { onlyWebSockets, upgradable } from '../../src/transport/target.js';
import type { Accept, Fault, Transport, TransportSink } from '../../src/transport/transport.js';
import { type Input, plainDialect } from '../../src/transport/websocket.js';
import { WebSocketAcceptor } from '../../src/transport/websocket-acceptor.js';
import { Turns } from '../../src/turns.js';
import { Signal } from './signal.js';

/** A session at the server, with everything its transport has reported so far. */
export class ServerSession implements TransportSink {
  /** `completed`, `ready`, `received`, `binary`, `roundTrip`, `faulted <reason>`, `ended <reason>`. */
  readonly events: string[] = [];
  readonly stallAfterMs = 30_000;
  readonly texts: string[] = [];
  /** The reported length of each text. */
  readonly bytes: number[] = [];
  readonly #changed = new Signal();

  constructor(readonly transport: Transport) {}

  count(event: string): number {
    return this.events.filter((each) => each === event).length;
  }

  until(condition: () => boolean): Promise<void> {
    return this.#changed.until(condition);
  }

  /** Resolves with the last event once the session is over. */
  async end(): Promise<string> {
    await this.until(() => this.events.some((event) => event.startsWith('ended')));
    return this.events.at(-1) as string;
  }

  /** Texts as one batch of this transport. */
  batch(...texts: string[]): Buffer {
    const { framing } = this.transport;
    const frames = texts.map((text) => framing.encoding.encode(text));
    return framing.join(
      frames,
      frames.reduce((sum, { length }) => sum + length, 0),
    );
  }

  /** Writes one batch as soon as the transport accepts it, and waits until it is complete. */
  async send(...texts: string[]): Promise<void> {
    await this.until(() => this.transport.writable);
    const before = this.count('completed');
    if (this.transport.write(this.batch(...texts), texts.length)) return;
    await this.until(() => this.count('completed') > before);
  }

  received(text: string, bytes: number): void {
    this.texts.push(text);
    this.bytes.push(bytes);
    this.#record('received');
  }

  receivedBinary(): void {
    this.#record('binary');
  }

  faulted(reason: Fault): void {
    this.#record(`faulted ${reason}`);
    this.transport.close(reason, Buffer.alloc(0), 1000);
  }

  left(): void {
    this.#record('left');
  }

  completed(): void {
    this.#record('completed');
  }

  ready(): void {
    this.#record('ready');
  }

  roundTrip(): void {
    this.#record('roundTrip');
  }

  ended(reason: EndReason): void {
    this.#record(`ended ${reason}`);
  }

  #record(event: string): void {
    this.events.push(event);
    this.#changed.fire();
  }
}

export interface TransportServer {
  readonly http: Server;
  readonly port: number;
  readonly sockjs: SockjsServer;
  /** Clock for judging its peers. */
  readonly clock: LoopClock;
  /** Every session so far, in the order they were opened. */
  readonly sessions: readonly ServerSession[];
  /** Open connections. */
  readonly sockets: ReadonlySet<Socket>;
  /** Codes of refused SockJS requests. */
  readonly refused: readonly RefusalCode[];
  /** Resolves with session number `index` once it has opened. */
  session(index?: number): Promise<ServerSession>;
  /** Resolves once no connection is open. */
  idle(): Promise<void>;
  close(): Promise<void>;
}

/** WebSocket at `/ws`, SockJS at `/sockjs`. */
export async function startTransports(
  options: Partial<SockjsOptions & Pick<Input, 'turns' | 'memory'>> = {},
  /** Replaces the recording sessions. */
  service?: Accept,
): Promise<TransportServer> {
  const sessions: ServerSession[] = [];
  const sockets = new Set<Socket>();
  const refused: RefusalCode[] = [];
  const changed = new Signal();
  const watch = { clock: new LoopClock(), kernel: new KernelQueues(() => 1000) };
  const accept: Accept = (transport) => {
    if (service !== undefined) return service(transport);
    const session = new ServerSession(transport);
    sessions.push(session);
    changed.fire();
    return session;
  };
  const sockjs = new SockjsServer({
    prefix: '/sockjs',
    origins: [],
    maxBodyBytes: 128 * 1024,
    maxMessageBytes: 64 * 1024,
    bodies: new Bodies({ stallMs: 30_000, networkOf: (req) => req.socket.remoteAddress ?? '' }),
    heartbeatMs: 25_000,
    address: (req) => req.socket.remoteAddress ?? '',
    refused: (code) => refused.push(code),
    accept,
    inTurn: (_req, step) => {
      while (step());
    },
    watch,
    ...options,
  });
  const frames = {
    turns: options.turns ?? new Turns(),
    memory: options.memory ?? new IntakeMemory(),
    maxFrameBytes: 128 * 1024,
    heartbeatMs: 0,
    watch,
    refused: (code: RefusalCode) => refused.push(code),
  };
  const plain = new WebSocketAcceptor(plainDialect, frames);
  const wrapped = new WebSocketAcceptor(sockjsDialect, frames);
  const http = createServer(
    { IncomingMessage: upgradable(IncomingMessage, onlyWebSockets) },
    (req, res) => {
      if (!sockjs.handle(req, res)) res.writeHead(404).end();
    },
  );
  http.on('upgrade', (req, socket, head) => {
    const acceptor = req.url === '/ws' || req.url === '/sockjs/websocket' ? plain : wrapped;
    acceptor.upgrade(req, socket, head, req.socket.remoteAddress ?? '', accept);
  });
  http.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => {
      sockets.delete(socket);
      changed.fire();
    });
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  return {
    http,
    port: (http.address() as AddressInfo).port,
    sockjs,
    clock: watch.clock,
    sessions,
    sockets,
    refused,
    async session(index = 0) {
      await changed.until(() => sessions.length > index);
      return sessions[index] as ServerSession;
    },
    idle: () => changed.until(() => sockets.size === 0),
    async close() {
      sockjs.close();
      plain.close();
      wrapped.close();
      watch.kernel.close();
      watch.clock.close();
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}

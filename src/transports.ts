/**
 * All transports of a roomcast and the router in front of them (`entrance.ts`): which transport gets a
 * request or an upgrade, and how all of them are closed.
 *
 * Not here: which requests reach roomcast (`attachment.ts`), sessions (`session/`).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { Entrance, SOCKJS } from './entrance.js';
import type { RefusalCode } from './errors.js';
import type { Config } from './options/config.js';
import type { InTurn } from './requests.js';
import type { Bodies } from './transport/bodies.js';
import { IntakeMemory } from './transport/intake-memory.js';
import type { Watch } from './transport/progress.js';
import { SockjsServer } from './transport/sockjs.js';
import { MAX_ESCAPE } from './transport/sockjs-body.js';
import { sockjsDialect } from './transport/sockjs-websocket.js';
import type { Accept } from './transport/transport.js';
import { plainDialect } from './transport/websocket.js';
import { WebSocketAcceptor } from './transport/websocket-acceptor.js';
import type { Turns } from './turns.js';

export interface TransportsOptions {
  readonly config: Config;
  readonly turns: Turns;
  readonly watch: Watch;
  readonly bodies: Bodies;
  readonly inTurn: InTurn;
  readonly accept: Accept;
  /** Client address of a request. */
  address(request: IncomingMessage): string;
  refused(code: RefusalCode): void;
  /** Called for each upgrade before it is executed: the socket now belongs to a member. */
  claim(request: IncomingMessage): void;
  /** Called for each response that stays open. */
  streaming(request: IncomingMessage, response: ServerResponse): void;
  /** Forwards a SockJS request that another worker owns; returns whether it did. */
  readonly forward?:
    | ((request: IncomingMessage, response: ServerResponse, address: string) => boolean)
    | undefined;
  /** Answers every request that is for no transport. */
  api(request: IncomingMessage, response: ServerResponse): void;
}

export interface Transports {
  readonly entrance: Entrance;
  /** Ends the remaining sessions and accepts no new ones. */
  close(): void;
}

export function openTransports(options: TransportsOptions): Transports {
  const { config, turns, watch, bodies, inTurn, accept, address, refused, claim } = options;
  const { heartbeatMs, maxMessageBytes } = config;
  const frames = { turns, memory: new IntakeMemory(), heartbeatMs, watch, refused };
  const plain = new WebSocketAcceptor(plainDialect, { ...frames, maxFrameBytes: maxMessageBytes });
  const wrapped = new WebSocketAcceptor(sockjsDialect, {
    ...frames,
    // SockJS may carry a message with every character escaped.
    maxFrameBytes: MAX_ESCAPE * maxMessageBytes + 4,
  });
  const sockjs = new SockjsServer({
    prefix: SOCKJS,
    baseUrl: config.sockjsBaseUrl,
    origins: config.origin,
    maxBodyBytes: config.maxBodyBytes,
    maxMessageBytes,
    bodies,
    heartbeatMs,
    address,
    accept,
    inTurn,
    streaming: options.streaming,
    watch,
    refused,
  });
  const upgradeWith =
    (acceptor: WebSocketAcceptor) => (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      claim(request);
      const { headers, url = '' } = request;
      const peer = address(request);
      const handshake = { headers, url, address: peer };
      acceptor.upgrade(request, socket, head, peer, (transport) => accept(transport, handshake));
    };
  const isPassedOn = (request: IncomingMessage, response: ServerResponse) => {
    if (!options.forward?.(request, response, address(request))) return false;
    options.streaming(request, response);
    return true;
  };
  const entrance = new Entrance({
    origins: config.origin,
    prefix: config.pathPrefix,
    refused,
    plain: upgradeWith(plain),
    wrapped: upgradeWith(wrapped),
    sockjs: (request, response) =>
      isPassedOn(request, response) || sockjs.handle(request, response),
    api: options.api,
  });
  return {
    entrance,
    close() {
      plain.close();
      wrapped.close();
      sockjs.close();
    },
  };
}

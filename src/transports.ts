/**
 * Every transport of a roomcast, and the entrance in front of them: what of a request or an upgrade
 * goes where, and what ends with all of them.
 *
 * Not here: which requests come here (`attachment.ts`), sessions (`session/`).
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
  /** Of the peer that a request is from. */
  address(request: IncomingMessage): string;
  refused(code: RefusalCode): void;
  /** Told of each upgrade before it is carried out: the socket is a member's. */
  claim(request: IncomingMessage): void;
  /** Told of each response that stays open. */
  streaming(request: IncomingMessage, response: ServerResponse): void;
  /** Passes on a request of SockJS that is another worker's, and says whether it is one. */
  readonly forward?:
    | ((request: IncomingMessage, response: ServerResponse, address: string) => boolean)
    | undefined;
  /** Answers what is no transport's. */
  api(request: IncomingMessage, response: ServerResponse): void;
}

export interface Transports {
  readonly entrance: Entrance;
  /** Ends what sessions there still are; nothing is accepted any more. */
  close(): void;
}

export function openTransports(options: TransportsOptions): Transports {
  const { config, turns, watch, bodies, inTurn, accept, address, refused, claim } = options;
  const { heartbeatMs, maxMessageBytes } = config;
  const frames = { turns, memory: new IntakeMemory(), heartbeatMs, watch, refused };
  const plain = new WebSocketAcceptor(plainDialect, { ...frames, maxFrameBytes: maxMessageBytes });
  const wrapped = new WebSocketAcceptor(sockjsDialect, {
    ...frames,
    // A message in it may be written in escapes.
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

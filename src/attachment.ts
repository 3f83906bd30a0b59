/**
 * Serving rooms on an HTTP server that is somebody else's: what is ours of its requests and upgrades is
 * taken before its own listeners see it, also those that are added later. Everything else is theirs as
 * if we were not there.
 *
 * V3: the parser of the server stops where a connection has too many requests of ours unanswered
 * (`requests.ts`). Not bounded here are sockets that have not asked for anything of ours, and how long
 * a head may take to arrive: that is for the server's own `maxConnections`, `headersTimeout` and
 * `requestTimeout`.
 *
 * Not here: what is answered (`entrance.ts`), a server of our own (`serve.ts`).
 */

import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { Refusal } from './errors.js';
import { isFull } from './requests.js';
import { isWebSocketUpgrade, type RequestClass, upgradable } from './transport/target.js';

/** Takes what is ours. */
export interface Taker {
  isOurs(request: IncomingMessage): boolean;
  request(request: IncomingMessage, response: ServerResponse): void;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

type Emit = (this: HttpServer, event: string | symbol, ...values: unknown[]) => boolean;

/** A server of Node, with the class that its parser makes requests of. */
type Server = HttpServer & { [key: symbol]: RequestClass };

const attachments = new WeakMap<HttpServer, Attachment>();

/** Returns what detaches it. @throws Refusal `bad_command` for what is no server of `node:http` or `node:https` */
export function attach(server: HttpServer, taker: Taker): () => void {
  const attachment = attachments.get(server) ?? new Attachment(server);
  attachments.set(server, attachment);
  attachment.takers.add(taker);
  return () => {
    attachment.takers.delete(taker);
    if (attachment.takers.size > 0 || attachments.get(server) !== attachment) return;
    attachments.delete(server);
    attachment.end();
  };
}

/** All that is attached to one server. */
class Attachment {
  readonly takers = new Set<Taker>();
  /** Undoes what the constructor did. */
  readonly end: () => void;

  constructor(http: HttpServer) {
    const server = http as Server;
    const key = requestKeyOf(server);
    const Request = server[key] as RequestClass;
    const emit = server.emit as Emit;
    const isOwn = Object.hasOwn(server, 'emit');
    // Node has an upgrade answered like any request unless somebody listens for upgrades. That we do
    // must not change it for what is not ours.
    const listener = () => {};
    const othersListen = () => server.listenerCount('upgrade') > 1;
    const isUpgrade = (request: IncomingMessage, isOffered: boolean) =>
      (isOffered && (this.takers.size === 0 || othersListen())) ||
      (isWebSocketUpgrade(request) && this.#of(request) !== undefined);
    const OwnRequest = upgradable(Request, { isUpgrade, isLast: isFull });
    const take = this.#take.bind(this);
    const ownEmit: Emit = function (event, ...values) {
      return take(event, values) || emit.call(this, event, ...values);
    };
    server.on('upgrade', listener);
    server[key] = OwnRequest;
    server.emit = ownEmit as HttpServer['emit'];
    this.end = () => {
      server.off('upgrade', listener);
      // Who came later has ours in hand: then it stays, and does nothing.
      if (server[key] === OwnRequest) server[key] = Request;
      if (server.emit !== ownEmit) return;
      if (isOwn) server.emit = emit as HttpServer['emit'];
      else Reflect.deleteProperty(server, 'emit');
    };
  }

  #of(request: IncomingMessage): Taker | undefined {
    for (const taker of this.takers) if (taker.isOurs(request)) return taker;
    return undefined;
  }

  /** Whether the event was of ours. */
  #take(event: string | symbol, values: unknown[]): boolean {
    if (event === 'request' || event === 'checkContinue') {
      const [request, response] = values as [IncomingMessage, ServerResponse];
      const taker = this.#of(request);
      if (taker === undefined) return false;
      if (event === 'checkContinue') response.writeContinue();
      taker.request(request, response);
      return true;
    }
    if (event !== 'upgrade') return false;
    const [request, socket, head] = values as [IncomingMessage, Duplex, Buffer];
    // One that is too many may be for any path: the others that wait on its connection are ours.
    const [any] = isFull(request.socket) ? this.takers : [];
    const taker = this.#of(request) ?? any;
    taker?.upgrade(request, socket, head);
    return taker !== undefined;
  }
}

/** Where Node keeps that class: it has no other way to say for each request whether it is an upgrade. */
function requestKeyOf(server: HttpServer): symbol {
  const key = Object.getOwnPropertySymbols(server ?? {}).find(
    ({ description }) => description === 'IncomingMessage',
  );
  if (key !== undefined && typeof server.emit === 'function') return key;
  throw new Refusal(
    'bad_command',
    'attach takes a server of node:http or node:https; give the requests and upgrades of any other to handle and handleUpgrade',
  );
}

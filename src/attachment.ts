/**
 * Serves rooms on an HTTP server of the app. It intercepts the requests and upgrades for roomcast before
 * the server's own listeners see them, including listeners added later. All others reach the app
 * unchanged.
 *
 * V3: the server's parser stops when a connection has too many unanswered requests for roomcast
 * (`requests.ts`). Not bounded here: sockets that have not sent such a request, and the time a request
 * head may take. The server's own `maxConnections`, `headersTimeout` and `requestTimeout` bound those.
 *
 * Not here: the answers (`entrance.ts`), a server of our own (`serve.ts`).
 */

import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { Refusal } from './errors.js';
import { isFull } from './requests.js';
import { isWebSocketUpgrade, type RequestClass, upgradable } from './transport/target.js';

/** Handles the requests and upgrades of one roomcast. */
export interface Taker {
  isOurs(request: IncomingMessage): boolean;
  request(request: IncomingMessage, response: ServerResponse): void;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

type Emit = (this: HttpServer, event: string | symbol, ...values: unknown[]) => boolean;

/** A server of Node, with its `IncomingMessage` class under a symbol key. */
type Server = HttpServer & { [key: symbol]: RequestClass };

const attachments = new WeakMap<HttpServer, Attachment>();

/** Returns a function that detaches it. @throws Refusal `bad_command` if `server` is of another kind */
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

/** All roomcasts attached to one server. */
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
    // Node answers an upgrade like any request unless the server has an `upgrade` listener. Our
    // listener must not change that for the app's requests.
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
      // If something else has wrapped ours since, ours stays installed and does nothing.
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

  /** Handles the event if it is for an attached roomcast; returns whether it was. */
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
    // A request over the limit may be for any path: the unanswered ones on its connection are ours.
    const [any] = isFull(request.socket) ? this.takers : [];
    const taker = this.#of(request) ?? any;
    taker?.upgrade(request, socket, head);
    return taker !== undefined;
  }
}

/** The symbol key of that class: Node has no other hook to decide per request whether it is an upgrade. */
function requestKeyOf(server: HttpServer): symbol {
  const key = Object.getOwnPropertySymbols(server ?? {}).find(
    ({ description }) => description === 'IncomingMessage',
  );
  if (key !== undefined && typeof server.emit === 'function') return key;
  throw new Refusal(
    'bad_command',
    'attach takes a server of node:http or node:https; for other servers, pass requests to handle and upgrades to handleUpgrade',
  );
}

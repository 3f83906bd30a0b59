/**
 * Every connection of the listening server, from the moment it is accepted: how many there may be,
 * and which has to go when a new one has no place.
 *
 * V3: a socket that is not a member's is counted for its address. When all places are taken, the
 * address with the most such sockets gives up the one that has been quiet for longest, so that one
 * address cannot keep the others out. V12: what the system refuses to accept is survived, counted and
 * logged, and makes room for the next in the same way.
 *
 * Not here: how long a socket may take to send a request (the HTTP server's own time limits), how
 * many members there may be (`session/sessions.ts`).
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { BlockList, Socket } from 'node:net';
import type { CloseLog } from './close-log.js';
import type { Observer, SocketRefusal } from './room/observer.js';
import { directAddressOf, isTrusted, networkOf } from './transport/address.js';
import { resetSocket } from './transport/reset-socket.js';
import { takeTurnsAtEnd } from './transport/socket-ends.js';
import { underTls } from './transport/under-tls.js';

/**
 * Sockets that one address may have beside its members where `maxConnectionsPerAddress` is set: a
 * browser opens six at a time, and who comes over the limit has to be told so on a socket.
 */
const SPARE_PER_ADDRESS = 16;

export interface SocketsOptions {
  /** Sockets in all; `Infinity`: as many as come. */
  readonly limit: number;
  /** Members that one address may have; 0: any number. */
  readonly maxConnectionsPerAddress: number;
  /** Their sockets are those of many; no limit of one address is for them. */
  readonly trustedProxies: BlockList;
  readonly observer: Pick<Observer, 'socketRefused'>;
  readonly closeLog: Pick<CloseLog, 'refusedSocket'>;
}

export class Sockets {
  readonly #options: SocketsOptions;
  readonly #all = new Set<Socket>();
  /** Those that belong to no member, by network. */
  readonly #waiting = new Shares();
  readonly #networks = new WeakMap<Socket, string>();
  /** Of all sockets: one each, and what `once` makes around it, would be held by every member. */
  readonly #closed: (this: Socket) => void;

  constructor(options: SocketsOptions) {
    this.#options = options;
    const sockets = this;
    this.#closed = function () {
      sockets.#forget(this);
    };
  }

  /** Takes over the sockets of `http` from now on. */
  watch(http: Server): void {
    http.on('connection', (socket: Socket) => this.#accepted(socket));
    http.on('request', ({ socket }) => this.#spoke(socket));
    // Once it listens, an error is of one connection, for which there was no descriptor. The next one
    // finds that of a socket that is nobody's.
    http.once('listening', () =>
      http.on('error', () => {
        this.#refused('machine', null);
        this.#end(this.#waiting.largest(), 'machine');
      }),
    );
  }

  /** All that are open. */
  get open(): Iterable<Socket> {
    return this.#all;
  }

  /** It is open, and a proxy has yet to say from whom it is. */
  opened(socket: Socket): void {
    this.#all.add(socket);
    socket.on('close', this.#closed);
  }

  /** Ends such a socket: the proxy has not said it. */
  refuse(socket: Socket): void {
    this.#refused('proxy', directAddressOf(socket));
    resetSocket(socket);
  }

  /** From now on the socket is a member's. */
  claim(socket: Socket): void {
    const accepted = acceptedOf(socket);
    this.#waiting.remove(this.#networkOf(accepted), accepted);
  }

  /** Until this response is over its socket is that of a session or a viewer, who are counted. */
  claimFor(request: IncomingMessage, response: ServerResponse): void {
    const socket = acceptedOf(request.socket);
    this.claim(socket);
    response.once('close', () => {
      if (this.#all.has(socket)) this.#waiting.add(this.#networkOf(socket), socket);
    });
  }

  #accepted(socket: Socket): void {
    const { limit, maxConnectionsPerAddress, trustedProxies } = this.#options;
    if (!this.#all.has(socket)) this.opened(socket);
    takeTurnsAtEnd(socket);
    const address = directAddressOf(socket);
    const network = networkOf(address);
    this.#networks.set(socket, network);
    const own = this.#waiting.add(network, socket);
    if (this.#all.size > limit) {
      this.#end(this.#waiting.largest(), 'full');
    } else if (
      maxConnectionsPerAddress > 0 &&
      own.size > maxConnectionsPerAddress + SPARE_PER_ADDRESS &&
      !isTrusted(address, trustedProxies)
    ) {
      this.#end(own, 'address');
    }
  }

  /** Of its address, a socket that has just sent a request is the last to go. */
  #spoke(requested: Socket): void {
    const socket = acceptedOf(requested);
    const network = this.#networkOf(socket);
    if (this.#waiting.remove(network, socket)) this.#waiting.add(network, socket);
  }

  /** Ends the socket of these that has been quiet for longest. */
  #end(sockets: ReadonlySet<Socket>, reason: SocketRefusal): void {
    const [quietest] = sockets;
    if (quietest === undefined) return;
    this.#refused(reason, directAddressOf(quietest));
    // At once: what is told of its end comes too late for the next that is accepted.
    this.#forget(quietest);
    resetSocket(quietest);
  }

  #forget(socket: Socket): void {
    this.#all.delete(socket);
    this.#waiting.remove(this.#networkOf(socket), socket);
  }

  #networkOf(socket: Socket): string {
    return this.#networks.get(socket) ?? '';
  }

  /** `address`: of the socket, where there is one. */
  #refused(reason: SocketRefusal, address: string | null): void {
    this.#options.observer.socketRefused(reason);
    this.#options.closeLog.refusedSocket(reason, address);
  }
}

/** Requests come on the socket of TLS, where there is one. */
const acceptedOf = (socket: Socket): Socket => underTls(socket) ?? socket;

/** Sockets by who they are from; which has the most is known at any time. */
class Shares {
  readonly #of = new Map<string, Set<Socket>>();
  /** Sets with `i` sockets, at index `i`. */
  readonly #bySize: Set<Set<Socket>>[] = [];

  /** Puts it last; returns all of the same owner. */
  add(owner: string, socket: Socket): ReadonlySet<Socket> {
    let own = this.#of.get(owner);
    if (own === undefined) {
      own = new Set();
      this.#of.set(owner, own);
    }
    this.#change(own, () => own.add(socket));
    return own;
  }

  /** Whether it was there. */
  remove(owner: string, socket: Socket): boolean {
    const own = this.#of.get(owner);
    if (own === undefined || !own.has(socket)) return false;
    this.#change(own, () => own.delete(socket));
    if (own.size === 0) this.#of.delete(owner);
    return true;
  }

  /** Those of the owner with the most; the first is the one that was added first. */
  largest(): ReadonlySet<Socket> {
    for (let last = this.#bySize.at(-1); last !== undefined; last = this.#bySize.at(-1)) {
      const [own] = last;
      if (own !== undefined) return own;
      this.#bySize.pop();
    }
    return new Set();
  }

  #change(own: Set<Socket>, change: () => void): void {
    this.#bySize[own.size]?.delete(own);
    change();
    if (own.size === 0) return;
    for (let i = this.#bySize.length; i <= own.size; i += 1) this.#bySize.push(new Set());
    this.#bySize[own.size]?.add(own);
  }
}

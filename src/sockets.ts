/**
 * Tracks every connection of the listening server from the moment it is accepted, limits their number,
 * and decides which one to close when a new one exceeds the limit.
 *
 * V3: a socket without a member counts against its address. At the limit, the server closes the
 * longest-idle such socket of the address that has most of them, so that one address cannot keep the
 * others out. V12: when the system cannot accept a connection, the server survives it, counts and logs
 * it, and frees a descriptor in the same way.
 *
 * Not here: the time a socket may take to send a request (the HTTP server's own limits), the limit of
 * members (`session/sessions.ts`).
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
 * Sockets an address may have beyond its members where `maxConnectionsPerAddress` is set: a browser
 * opens six at a time, and a client over the limit needs a socket to be told so.
 */
const SPARE_PER_ADDRESS = 16;

export interface SocketsOptions {
  /** Maximum of all sockets; `Infinity`: no limit. */
  readonly limit: number;
  /** Maximum members per address; 0: no limit. */
  readonly maxConnectionsPerAddress: number;
  /** Proxies carry the sockets of many clients, so the limit per address does not apply to them. */
  readonly trustedProxies: BlockList;
  readonly observer: Pick<Observer, 'socketRefused'>;
  readonly closeLog: Pick<CloseLog, 'refusedSocket'>;
}

export class Sockets {
  readonly #options: SocketsOptions;
  readonly #all = new Set<Socket>();
  /** Sockets without a member, by network. */
  readonly #waiting = new Shares();
  readonly #networks = new WeakMap<Socket, string>();
  /** One listener for all sockets: a closure and a `once` wrapper for each would cost memory per member. */
  readonly #closed: (this: Socket) => void;

  constructor(options: SocketsOptions) {
    this.#options = options;
    const sockets = this;
    this.#closed = function () {
      sockets.#forget(this);
    };
  }

  /** Starts tracking the sockets of `http`. */
  watch(http: Server): void {
    http.on('connection', (socket: Socket) => this.#accepted(socket));
    http.on('request', ({ socket }) => this.#spoke(socket));
    // Once listening, an `error` event means that one connection could not be accepted for lack of a
    // descriptor. Closing a socket without a member frees one for the next connection.
    http.once('listening', () =>
      http.on('error', () => {
        this.#refused('machine', null);
        this.#end(this.#waiting.largest(), 'machine');
      }),
    );
  }

  /** All open sockets. */
  get open(): Iterable<Socket> {
    return this.#all;
  }

  /** Tracks a socket whose proxy has not sent the client's address yet. */
  opened(socket: Socket): void {
    this.#all.add(socket);
    socket.on('close', this.#closed);
  }

  /** Closes such a socket: its proxy did not send the address. */
  refuse(socket: Socket): void {
    this.#refused('proxy', directAddressOf(socket));
    resetSocket(socket);
  }

  /** Marks the socket as owned by a member. */
  claim(socket: Socket): void {
    const accepted = acceptedOf(socket);
    this.#waiting.remove(this.#networkOf(accepted), accepted);
  }

  /** Until the response closes, its socket belongs to a session or a viewer, which have their own limits. */
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

  /** The socket has sent a request: moves it to the end of its address's list, so it is closed last. */
  #spoke(requested: Socket): void {
    const socket = acceptedOf(requested);
    this.#waiting.moveToEnd(this.#networkOf(socket), socket);
  }

  /** Closes the longest-idle of these sockets. */
  #end(sockets: ReadonlySet<Socket>, reason: SocketRefusal): void {
    const [quietest] = sockets;
    if (quietest === undefined) return;
    this.#refused(reason, directAddressOf(quietest));
    // Immediately: the 'close' event comes too late for the next connection to be accepted.
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

  /** `address`: that of the socket; null if there is no socket. */
  #refused(reason: SocketRefusal, address: string | null): void {
    this.#options.observer.socketRefused(reason);
    this.#options.closeLog.refusedSocket(reason, address);
  }
}

/** The accepted socket below a TLS socket; the socket itself without TLS. */
const acceptedOf = (socket: Socket): Socket => underTls(socket) ?? socket;

/** Sockets grouped by owner; finds the owner with the most sockets in O(1). */
class Shares {
  readonly #of = new Map<string, Set<Socket>>();
  /** Sets with `i` sockets, at index `i`. */
  readonly #bySize: Set<Set<Socket>>[] = [];

  /** Adds the socket at the end; returns all sockets of the owner. */
  add(owner: string, socket: Socket): ReadonlySet<Socket> {
    let own = this.#of.get(owner);
    if (own === undefined) {
      own = new Set();
      this.#of.set(owner, own);
    }
    this.#change(own, () => own.add(socket));
    return own;
  }

  /** Moves the socket to the end, if it is present. */
  moveToEnd(owner: string, socket: Socket): void {
    const own = this.#of.get(owner);
    if (own?.delete(socket)) own.add(socket);
  }

  /** Removes the socket; returns whether it was present. */
  remove(owner: string, socket: Socket): boolean {
    const own = this.#of.get(owner);
    if (own === undefined || !own.has(socket)) return false;
    this.#change(own, () => own.delete(socket));
    if (own.size === 0) this.#of.delete(owner);
    return true;
  }

  /** Sockets of the owner that has the most, oldest first. */
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

/**
 * Connections that the primary has accepted and that no worker was handed yet. `node:cluster` accepts all
 * that come, and where every worker stands still it keeps them without a bound. Here they have one (V3):
 * one more is closed at once, so that its peer comes again.
 *
 * They cannot be left to the system: Node has no way to stop accepting but to close the socket. The bound
 * is what may be connected at all, so that nobody is turned away who comes back with all others at once.
 *
 * `node:cluster` makes a server of Node for each socket, takes its handle, and lets nobody have either. So
 * this is where servers are made: `createServer` of the module, as it finds it.
 *
 * Not here: a connection that a worker was handed (`handover.ts`).
 */
import net, { type Server } from 'node:net';
import { placesFor } from '../descriptors.js';
import { FailureLog, type Log, silent } from '../log.js';
import type { Config } from '../options/config.js';

/** A handle of Node. */
export interface Connection {
  close(): void;
}

/** One that listens. */
interface Listening {
  onconnection(error: number, connection?: Connection): void;
}

export class Backlog {
  #most = 0;
  readonly #closed: FailureLog;
  /** Those that wait at the same socket. It and they end together. */
  readonly #waiting = new WeakMap<Connection, Set<Connection>>();
  readonly #createServer = net.createServer;

  /** Of sockets that are opened from now on. */
  constructor(config: Config, log: Log) {
    this.#closed = new FailureLog(log);
    this.follow(config);
    net.createServer = (...given: unknown[]) => {
      const server = Reflect.apply(this.#createServer, net, given) as Server;
      // Before `node:cluster` takes it.
      server.once('listening', () => {
        const { _handle } = server as unknown as { readonly _handle: Listening };
        process.nextTick(() => this.#bound(_handle));
      });
      return server;
    };
  }

  follow(config: Config): void {
    this.#most = placesFor(config, silent).sockets;
  }

  /** A worker is handed it. */
  handedOver(connection: Connection): void {
    this.#waiting.get(connection)?.delete(connection);
  }

  close(): void {
    net.createServer = this.#createServer;
  }

  #bound(handle: Listening): void {
    const accept = handle.onconnection;
    const waiting = new Set<Connection>();
    handle.onconnection = (error, connection) => {
      if (connection !== undefined && !this.#take(waiting, connection)) return;
      accept.call(handle, error, connection);
    };
  }

  #take(waiting: Set<Connection>, connection: Connection): boolean {
    if (waiting.size >= this.#most) {
      connection.close();
      this.#closed.add({ waiting: waiting.size }, 'no worker takes connections: more are closed');
      return false;
    }
    waiting.add(connection);
    this.#waiting.set(connection, waiting);
    return true;
  }
}

/**
 * Limits the connections that the primary has accepted and not yet handed to a worker. `node:cluster`
 * accepts every connection, and keeps them without a bound while all workers are stalled. Here they
 * have one (V3): connections beyond it are closed at once, so that clients reconnect.
 *
 * They cannot be left in the kernel's queue: the only way for Node to stop accepting is to close the
 * socket. The bound is the total number of connections allowed, so that a reconnect of all clients at
 * once fits.
 *
 * `node:cluster` creates a Node server per socket, takes its handle, and exposes neither. So this hooks
 * the place where servers are created: `net.createServer`, as `node:cluster` calls it.
 *
 * Not here: connections already handed to a worker (`handover.ts`).
 */
import net, { type Server } from 'node:net';
import { placesFor } from '../descriptors.js';
import { FailureLog, type Log, silent } from '../log.js';
import type { Config } from '../options/config.js';

/** A connection handle of Node. */
export interface Connection {
  close(): void;
}

/** A listening handle of Node. */
interface Listening {
  onconnection(error: number, connection?: Connection): void;
}

export class Backlog {
  #most = 0;
  readonly #closed: FailureLog;
  /**
   * For each waiting connection, the set of those that wait at the same socket. They end together with
   * it.
   */
  readonly #waiting = new WeakMap<Connection, Set<Connection>>();
  readonly #createServer = net.createServer;

  /** Applies to sockets opened from now on. */
  constructor(config: Config, log: Log) {
    this.#closed = new FailureLog(log);
    this.follow(config);
    net.createServer = (...given: unknown[]) => {
      const server = Reflect.apply(this.#createServer, net, given) as Server;
      // Runs before `node:cluster` takes the handle.
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

  /** The connection is being handed to a worker. */
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
      this.#closed.add(
        { waiting: waiting.size },
        'no worker takes connections: new ones are closed',
      );
      return false;
    }
    waiting.add(connection);
    this.#waiting.set(connection, waiting);
    return true;
  }
}

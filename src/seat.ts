/**
 * The seat: the interface of one worker to the cluster of workers, used by each part that needs the other
 * workers. A single process has no seat and loads no cluster code.
 *
 * Not here: the other workers and the links to them (`cluster/`).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Broker } from './broker/broker.js';
import type { Peers } from './http/peers.js';
import type { Gauges } from './metrics/gauges.js';
import type { Gather } from './metrics/registry.js';

export interface Seat {
  readonly slot: number;
  readonly slots: number;
  /** Wraps the broker of this worker into one that spans all workers. */
  around(inner: Broker): Broker;
  /** Adjusts this worker's gauges so that sums over all workers are right. */
  gauges(own: Gauges): Gauges;
  /**
   * Called at a shutdown once this worker has drained. Resolves when all workers that shut down with it
   * have drained too, since they may still send requests here; at the latest after `timeoutMs`.
   */
  drained(timeoutMs: number): Promise<void>;
  /** Queries the other workers for the HTTP API. */
  readonly peers: Peers;
  /** Collects the metrics of the other workers. */
  readonly gather: Gather;
  /** Client address of a request forwarded by another worker; null for any other request. */
  addressOf(request: IncomingMessage): string | null;
  /**
   * Forwards a request for a SockJS session to the worker that owns it; returns false if that is this
   * worker. `address` is the client's.
   */
  forward(request: IncomingMessage, response: ServerResponse, address: string): boolean;
}

/**
 * What a roomcast has that is one of several workers: a way into each part that has to know of the others.
 * Where there is one process, there is none, and nothing of this is loaded.
 *
 * Not here: who the others are and how they are reached (`cluster/`).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Broker } from './broker/broker.js';
import type { Peers } from './http/peers.js';
import type { Gauges } from './metrics/gauges.js';
import type { Gather } from './metrics/registry.js';

export interface Seat {
  readonly slot: number;
  readonly slots: number;
  /** The broker of all workers, around that of this one. */
  around(inner: Broker): Broker;
  /** What this worker knows of itself, so that sums over all are right. */
  gauges(own: Gauges): Gauges;
  /**
   * At a shutdown: this one has drained. Resolves when all that end with it have too, since their peers
   * may still ask here, and by `timeoutMs`.
   */
  drained(timeoutMs: number): Promise<void>;
  /** Asks the others for the HTTP API. */
  readonly peers: Peers;
  /** Asks the others for their numbers. */
  readonly gather: Gather;
  /** Of the peer behind a request that another worker passes on; null for any other request. */
  addressOf(request: IncomingMessage): string | null;
  /**
   * Passes a request for a session of SockJS on to the worker that has it; false where that is this one.
   * `address` is of the peer.
   */
  forward(request: IncomingMessage, response: ServerResponse, address: string): boolean;
}

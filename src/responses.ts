/**
 * The open responses of a roomcast, on all its servers. V7: a shutdown waits for those that will be
 * finished, and resets the connections of all others.
 */
import type { ServerResponse } from 'node:http';
import { sleep } from './sleep.js';
import { resetSocket } from './transport/reset-socket.js';

/** Milliseconds between a shutdown's checks whether all requests are answered. */
const CHECK_MS = 10;

export class Responses {
  /** Responses that will be finished. */
  readonly #answering = new Set<ServerResponse>();
  /** Responses of sessions and viewers, which stay open. */
  readonly #streams = new Set<ServerResponse>();

  add(response: ServerResponse): void {
    this.#answering.add(response);
    response.on('close', () => {
      this.#answering.delete(response);
      this.#streams.delete(response);
    });
  }

  /** Marks an added response as one that stays open. */
  stream(response: ServerResponse): void {
    if (this.#answering.delete(response)) this.#streams.add(response);
  }

  /** Resolves once all are answered, or when `left` (the milliseconds until the deadline) reaches 0. */
  async answered(left: () => number): Promise<void> {
    while (this.#answering.size > 0 && left() > 0) {
      await sleep(CHECK_MS);
    }
  }

  /** Resets the connections of the remaining responses. */
  reset(): void {
    for (const { socket } of [...this.#answering, ...this.#streams]) {
      if (socket !== null) resetSocket(socket);
    }
  }
}

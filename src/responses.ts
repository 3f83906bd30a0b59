/**
 * The responses that a roomcast has under way, on whatever server their requests came. V7: a shutdown
 * waits for those that will be answered, and ends every other with its connection.
 */
import type { ServerResponse } from 'node:http';
import { sleep } from './sleep.js';
import { resetSocket } from './transport/reset-socket.js';

/** How often a shutdown looks whether all requests are answered, in milliseconds. */
const CHECK_MS = 10;

export class Responses {
  /** Of requests that will be answered and be over. */
  readonly #answering = new Set<ServerResponse>();
  /** Of sessions and viewers, which stay open. */
  readonly #streams = new Set<ServerResponse>();

  add(response: ServerResponse): void {
    this.#answering.add(response);
    response.once('close', () => {
      this.#answering.delete(response);
      this.#streams.delete(response);
    });
  }

  /** A response that was added and turns out to stay open. */
  stream(response: ServerResponse): void {
    if (this.#answering.delete(response)) this.#streams.add(response);
  }

  /** Resolves once all are answered; `left`: milliseconds until nobody waits for that any more. */
  async answered(left: () => number): Promise<void> {
    while (this.#answering.size > 0 && left() > 0) {
      await sleep(CHECK_MS);
    }
  }

  /** Ends the connections of those that are left. */
  reset(): void {
    for (const { socket } of [...this.#answering, ...this.#streams]) {
      if (socket !== null) resetSocket(socket);
    }
  }
}

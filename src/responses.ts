/**
 * The open responses of a roomcast, on all its servers. V7: a shutdown waits for those that will be
 * finished, and resets the connections of all others.
 */
import type { ServerResponse } from 'node:http';
import { Line, type Queued } from './line.js';
import { sleep } from './sleep.js';
import { resetSocket } from './transport/reset-socket.js';

/** Milliseconds between a shutdown's checks whether all requests are answered. */
const CHECK_MS = 10;

/** Key of the record of a response. */
const OPEN = Symbol('open');

class Open implements Queued<Open> {
  line: unknown = null;
  before: Open | null = null;
  after: Open | null = null;

  constructor(readonly response: ServerResponse) {}
}

interface Added extends ServerResponse {
  [OPEN]?: Open;
}

export class Responses {
  /** Responses that will be finished. */
  readonly #answering = new Line<Open>();
  /** Responses of sessions and viewers, which stay open. */
  readonly #streams = new Line<Open>();

  /** Returns false if another roomcast of the process has it: the first one answers. */
  add(response: Added): boolean {
    if (response[OPEN] !== undefined) return false;
    const open = new Open(response);
    response[OPEN] = open;
    this.#answering.add(open);
    response.on('close', () => {
      this.#answering.delete(open);
      this.#streams.delete(open);
    });
    return true;
  }

  /** Marks an added response as one that stays open. */
  stream(response: Added): void {
    const open = response[OPEN];
    if (open !== undefined && this.#answering.delete(open)) this.#streams.add(open);
  }

  /** Resolves once all are answered, or when `left` (the milliseconds until the deadline) reaches 0. */
  async answered(left: () => number): Promise<void> {
    while (this.#answering.size > 0 && left() > 0) {
      await sleep(CHECK_MS);
    }
  }

  /** Resets the connections of the remaining responses. */
  reset(): void {
    for (const line of [this.#answering, this.#streams]) {
      for (let open = line.first; open !== null; open = line.first) {
        line.delete(open);
        const { socket } = open.response;
        if (socket !== null) resetSocket(socket);
      }
    }
  }
}

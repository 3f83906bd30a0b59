/** How the HTTP API asks the other workers: the same request to each, with a deadline. */
import type { IncomingMessage } from 'node:http';

export interface Question {
  readonly method: string;
  /** Path and query, without the prefix. */
  readonly url: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * Asks every worker that listens, also one that is being replaced or that waits for a slot, since the
   * request concerns their members too.
   */
  readonly isEverywhere?: true;
  /**
   * Whether to ask a worker again, a while after this answer or after none (null). A worker that has
   * ended is not asked again: its replacement asks the others for the current state.
   */
  insists?(answer: Answer | null): boolean;
}

export interface Answer {
  readonly slot: number;
  readonly status: number;
  readonly body: unknown;
}

/** The answers, and the workers that did not answer in time. */
export interface Answers {
  readonly answers: readonly Answer[];
  /** Slots without an answer, including slots that no worker has now. */
  readonly missing: readonly number[];
}

export interface Peers {
  /** Slot of this worker. */
  readonly slot: number;
  /** Number of workers, including this one. */
  readonly count: number;
  /** Resolves without waiting for workers that are asked again. Never rejects. */
  ask(question: Question): Promise<Answers>;
  /** Resolves once no worker is to be asked again, with the last answer of each. Never rejects. */
  askUntilDone(question: Question): Promise<readonly Answer[]>;
  /** Whether another worker sent this request; it wants the answer of this worker alone. */
  isPeer(request: IncomingMessage): boolean;
  /**
   * Number of rooms with members that this worker owns. Summed over the workers, each room counts once.
   */
  ownedRooms(): number;
}

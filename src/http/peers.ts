/** The other workers, as the HTTP API asks them: the same question to each, with a deadline. */
import type { IncomingMessage } from 'node:http';

export interface Question {
  readonly method: string;
  /** Path and query, below the prefix. */
  readonly url: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * Whoever listens is asked, also a worker that leaves its slot to another or waits for one: what it is
   * about holds for their members too.
   */
  readonly isEverywhere?: true;
  /**
   * Whether a worker is asked again, a while after this answer of it, or after none. It is not when it
   * has ended: one that comes anew asks the others what there is.
   */
  insists?(answer: Answer | null): boolean;
}

export interface Answer {
  readonly slot: number;
  readonly status: number;
  readonly body: unknown;
}

/** What became of a question: who has not answered in time is named. */
export interface Answers {
  readonly answers: readonly Answer[];
  /** Slots, also those that nobody has now. */
  readonly missing: readonly number[];
}

export interface Peers {
  /** Of this worker. */
  readonly slot: number;
  /** With this one. */
  readonly count: number;
  /** Does not wait for those who are asked again. Never rejects. */
  ask(question: Question): Promise<Answers>;
  /** Resolves when nobody is left who is asked again, with the last answer of each. Never rejects. */
  askUntilDone(question: Question): Promise<readonly Answer[]>;
  /** Whether it is another worker that asks, which wants the answer of this one alone. */
  isPeer(request: IncomingMessage): boolean;
  /** Rooms that anybody is in, of those that this worker orders: together, each is counted once. */
  ownedRooms(): number;
}

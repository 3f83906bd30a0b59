/** The other workers, as the HTTP API asks them: the same question to each, with a deadline. */
import type { IncomingMessage } from 'node:http';

export interface Question {
  readonly method: string;
  /** Path and query, below the prefix. */
  readonly url: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Who does not answer in time is asked again later, until it does or another has its place. */
  readonly isInsistent?: boolean;
}

export interface Answer {
  readonly slot: number;
  readonly status: number;
  readonly body: unknown;
}

/** What became of a question: who has not answered in time is named. */
export interface Answers {
  readonly answers: readonly Answer[];
  /** Slots. */
  readonly missing: readonly number[];
}

export interface Peers {
  /** Of this worker. */
  readonly slot: number;
  /** With this one. */
  readonly count: number;
  /** Never rejects. */
  ask(question: Question): Promise<Answers>;
  /** Whether it is another worker that asks, which wants the answer of this one alone. */
  isPeer(request: IncomingMessage): boolean;
  /** Rooms that anybody is in, of those that this worker orders: together, each is counted once. */
  ownedRooms(): number;
}

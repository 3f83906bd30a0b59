/**
 * The messages between a coordinator and an agent. Both send `hello` first, in every version; the
 * other messages are only exchanged between equal versions.
 */
import type { Answer, Order } from '../port.js';
import type { Machine } from '../report/report.js';

/** A different version is refused; plans and reports may change with any release. */
interface Hello {
  readonly version: string;
}

export type ToAgent =
  | { readonly hello: Hello }
  /** Answered by `pong` with the time of the agent's clock; also shows that both ends are alive. */
  | { readonly ping: number }
  /** An order to a worker; `create` starts the worker. */
  | { readonly worker: number; readonly order: Order }
  /** Ends the worker. */
  | { readonly worker: number; readonly end: true };

export type FromAgent =
  | { readonly hello: Hello & { readonly machine: Machine; readonly busy: boolean } }
  | { readonly pong: number; readonly at: number }
  | { readonly worker: number; readonly answer: Answer }
  | { readonly worker: number; readonly lost: string };

/** An end that receives nothing for this long considers the other end gone. */
export const SILENCE_MAX_MS = 10_000;
export const PING_EVERY_MS = 1000;

/**
 * What a coordinator and an agent say to each other. The first message of both is `hello`, in every
 * version; the rest is only spoken between equal versions.
 */
import type { Answer, Order } from '../port.js';
import type { Machine } from '../report/report.js';

/** Refused when it differs; the shape of plans and reports may change with any release. */
interface Hello {
  readonly version: string;
}

export type ToAgent =
  | { readonly hello: Hello }
  /** Answered by `pong` with the time of the agent's clock; also what tells that both are there. */
  | { readonly ping: number }
  /** An order to a worker, which its `create` makes. */
  | { readonly worker: number; readonly order: Order }
  /** The worker is no longer wanted. */
  | { readonly worker: number; readonly end: true };

export type FromAgent =
  | { readonly hello: Hello & { readonly machine: Machine; readonly busy: boolean } }
  | { readonly pong: number; readonly at: number }
  | { readonly worker: number; readonly answer: Answer }
  | { readonly worker: number; readonly lost: string };

/** Who hears nothing for this long takes the other end for gone. */
export const SILENCE_MAX_MS = 10_000;
export const PING_EVERY_MS = 1000;

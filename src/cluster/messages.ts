/**
 * Messages between the primary and its workers, over Node's channel: the lifecycle of workers and their
 * metrics. Room messages do not pass here (`broker/mesh/`).
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Gathered } from '../metrics/workers.js';
import type { Config } from '../options/config.js';
import type { CloseReport } from '../roomcast.js';

/** Incarnation of the worker in each slot. Every worker process has a new incarnation. */
export type Table = readonly (number | null)[];

export interface Start {
  /** The worker's own options, with its share of the limits. */
  readonly config: Config;
  readonly slot: number;
  readonly slots: number;
  readonly incarnation: number;
  /** A private folder for the sockets between workers. */
  readonly folder: string;
  readonly table: Table;
  /** A service manager passed the listening socket. */
  readonly isActivated: boolean;
}

/** Counters and gauges of one worker, packed by `metrics/packed.ts`. */
export type Packed = Float64Array;

export type ToWorker =
  | { readonly type: 'start'; readonly start: Start }
  | { readonly type: 'table'; readonly table: Table }
  /** Open the public port. */
  | { readonly type: 'serve' }
  /** Stop accepting connections; existing ones go on. */
  | { readonly type: 'stop' }
  | { readonly type: 'close' }
  /** All workers that shut down together have drained. */
  | { readonly type: 'end' }
  | { readonly type: 'ping' }
  | { readonly type: 'locks' }
  /** Report the current metrics. */
  | { readonly type: 'leave' }
  | { readonly type: 'gathered'; readonly id: number; readonly gathered: Gathered };

export type ToPrimary =
  /** The process listens to messages; earlier ones were lost. */
  | { readonly type: 'here' }
  /** Accepts links from other workers: can serve the rooms of its slot. */
  | { readonly type: 'meshed' }
  /** Ready to open the public port. */
  | { readonly type: 'ready' }
  | { readonly type: 'serving'; readonly url: string; readonly internalUrl: string }
  | { readonly type: 'stopped' }
  | { readonly type: 'drained' }
  | { readonly type: 'closed'; readonly report: CloseReport }
  /** The worker cannot start. */
  | { readonly type: 'failed'; readonly failure: Failure }
  | { readonly type: 'pong' }
  | { readonly type: 'left'; readonly values: Packed }
  | { readonly type: 'gather'; readonly id: number; readonly values: Packed };

/** An error in transferable form. */
export interface Failure {
  readonly kind: 'config' | 'listen' | 'other';
  readonly message: string;
  readonly code?: string | undefined;
  readonly option?: string | undefined;
  readonly stack?: string | undefined;
}

/** Path of a worker's socket for room links (`m`) or for HTTP requests (`h`) of other workers. */
export const pathOf = (folder: string, what: 'm' | 'h', slot: number, incarnation: number) =>
  join(folder, `${what}${slot}.${incarnation}`);

/** The sockets for requests in the folder; those of killed workers may be among them. */
export function listenersIn(folder: string): { slot: number; path: string }[] {
  // The primary removes the folder at the end.
  const names = existsSync(folder) ? readdirSync(folder) : [];
  return names.flatMap((name) => {
    const slot = /^h(\d+)\.\d+$/.exec(name)?.[1];
    return slot === undefined ? [] : { slot: Number(slot), path: join(folder, name) };
  });
}

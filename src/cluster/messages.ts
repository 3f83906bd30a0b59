/**
 * What the primary and its workers say to each other, on the channel that Node gives them: the life of
 * a worker and a few numbers. No message of a room is among it (`broker/mesh/`).
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Gathered } from '../metrics/workers.js';
import type { Config } from '../options/config.js';
import type { CloseReport } from '../roomcast.js';

/** The worker that has a slot now; each has another incarnation. */
export type Table = readonly (number | null)[];

export interface Start {
  /** Its own: bounds are divided. */
  readonly config: Config;
  readonly slot: number;
  readonly slots: number;
  readonly incarnation: number;
  /** A private folder, for the sockets between workers. */
  readonly folder: string;
  readonly table: Table;
  /** A service manager has handed over the socket. */
  readonly isActivated: boolean;
}

/** Counters and gauges of one worker, as `metrics/packed.ts` has them. */
export type Packed = Float64Array;

export type ToWorker =
  | { readonly type: 'start'; readonly start: Start }
  | { readonly type: 'table'; readonly table: Table }
  /** Open the public port. */
  | { readonly type: 'serve' }
  /** Accept nothing more; all else goes on. */
  | { readonly type: 'stop' }
  | { readonly type: 'close' }
  /** All that end with it have drained. */
  | { readonly type: 'end' }
  | { readonly type: 'ping' }
  | { readonly type: 'locks' }
  /** Leave your numbers here. */
  | { readonly type: 'leave' }
  | { readonly type: 'gathered'; readonly id: number; readonly gathered: Gathered };

export type ToPrimary =
  /** It listens: what was said before is lost. */
  | { readonly type: 'here' }
  /** Rooms of its slot can be had from it. */
  | { readonly type: 'meshed' }
  /** All it has to do is to open the public port. */
  | { readonly type: 'ready' }
  | { readonly type: 'serving'; readonly url: string; readonly internalUrl: string }
  | { readonly type: 'stopped' }
  | { readonly type: 'drained' }
  | { readonly type: 'closed'; readonly report: CloseReport }
  /** It cannot start. */
  | { readonly type: 'failed'; readonly failure: Failure }
  | { readonly type: 'pong' }
  | { readonly type: 'left'; readonly values: Packed }
  | { readonly type: 'gather'; readonly id: number; readonly values: Packed };

/** An error as it crosses to another process. */
export interface Failure {
  readonly kind: 'config' | 'listen' | 'other';
  readonly message: string;
  readonly code?: string | undefined;
  readonly option?: string | undefined;
  readonly stack?: string | undefined;
}

/** Where a worker listens for rooms (`m`) and for requests (`h`) of the others. */
export const pathOf = (folder: string, what: 'm' | 'h', slot: number, incarnation: number) =>
  join(folder, `${what}${slot}.${incarnation}`);

/** Who listens for requests in that folder, and where; a worker that was killed may be among them. */
export function listenersIn(folder: string): { slot: number; path: string }[] {
  // At the end the primary removes it.
  const names = existsSync(folder) ? readdirSync(folder) : [];
  return names.flatMap((name) => {
    const slot = /^h(\d+)\.\d+$/.exec(name)?.[1];
    return slot === undefined ? [] : { slot: Number(slot), path: join(folder, name) };
  });
}

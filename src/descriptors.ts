/**
 * Computes how many sockets this server may have. V12: a process out of descriptors cannot
 * accept, read a file or open a log, so the connection limit stays below the descriptor limit from the start.
 *
 * Not here: handling of descriptor exhaustion (`sockets.ts`, `metrics/process.ts`).
 */

import type { Log } from './log.js';
import { maxFds, openFds } from './metrics/process.js';
import type { Config } from './options/config.js';

/** Sockets allowed in addition to those of members: the HTTP API, peers that have not sent anything. */
const SPARE_SOCKETS = 256;
/** Descriptors reserved for everything other than peers' sockets: files, brokers, the log. */
const RESERVED = 64;

/** Limits of sockets and members. */
export interface Places {
  readonly sockets: number;
  /** 0: no limit. */
  readonly members: number;
}

/**
 * The limits for `maxConnections`, lowered to the available descriptors if necessary; a warning is logged
 * then. `descriptors` is the soft limit of the process, NaN if unknown.
 */
export function placesFor(
  { maxConnections }: Pick<Config, 'maxConnections'>,
  log: Pick<Log, 'warn'>,
  descriptors = maxFds(),
  open = openFds(),
): Places {
  const asked = maxConnections || Number.POSITIVE_INFINITY;
  const possible = Math.max(1, descriptors - (open || 0) - RESERVED);
  // Also true if `possible` is NaN.
  if (!(possible < asked + SPARE_SOCKETS)) {
    return { sockets: asked + SPARE_SOCKETS, members: maxConnections };
  }
  const members = Math.max(1, possible - Math.min(SPARE_SOCKETS, Math.ceil(possible / 4)));
  // Without `maxConnections` nobody asked for more than is possible: no warning.
  if (members < maxConnections) {
    log.warn(
      { maxConnections, descriptors, possible: members },
      `there are file descriptors for ${members} connections only, not for ${maxConnections}: raise the limit of open files (ulimit -n, LimitNOFILE) or set --max-connections ${members}`,
    );
  }
  return { sockets: possible, members: Math.min(asked, members) };
}

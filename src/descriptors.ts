/**
 * How many sockets the system lets this server have. V12: a process out of descriptors cannot
 * accept, read a file or open a log, so the limit of connections stays below theirs from the start.
 *
 * Not here: what happens when they run out all the same (`sockets.ts`, `metrics/process.ts`).
 */

import type { Log } from './log.js';
import { maxFds, openFds } from './metrics/process.js';
import type { Config } from './options/config.js';

/** Sockets that may be open beside those of members: the HTTP API, peers that have not spoken. */
const SPARE_SOCKETS = 256;
/** Descriptors left to everything that is no socket of a peer: files, brokers, the log. */
const RESERVED = 64;

/** How many there may be. */
export interface Places {
  readonly sockets: number;
  /** 0: no limit of its own. */
  readonly members: number;
}

/**
 * The places that `maxConnections` asks for, or as many as there are descriptors for; then the log
 * says so. `descriptors` is the soft limit of the process, NaN where nobody can tell.
 */
export function placesFor(
  { maxConnections }: Pick<Config, 'maxConnections'>,
  log: Pick<Log, 'warn'>,
  descriptors = maxFds(),
  open = openFds(),
): Places {
  const asked = maxConnections || Number.POSITIVE_INFINITY;
  const possible = Math.max(1, descriptors - (open || 0) - RESERVED);
  // Also where it is not known.
  if (!(possible < asked + SPARE_SOCKETS)) {
    return { sockets: asked + SPARE_SOCKETS, members: maxConnections };
  }
  const members = Math.max(1, possible - Math.min(SPARE_SOCKETS, Math.ceil(possible / 4)));
  // Without a limit, nobody has asked for more than there are.
  if (members < maxConnections) {
    log.warn(
      { maxConnections, descriptors, possible: members },
      `there are descriptors for ${members} connections, not for ${maxConnections}: raise the limit of open files (ulimit -n, LimitNOFILE) or give --max-connections ${members}`,
    );
  }
  return { sockets: possible, members: Math.min(asked, members) };
}

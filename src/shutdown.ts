/**
 * The steps of a shutdown: announce it, then close rooms, members, requests and the remaining sockets.
 *
 * V7: it settles by its deadline, holds no lock while it waits, and returns what it had to abandon. The
 * caller (`compose.ts`) runs it only once.
 */
import type { HttpApp } from './http/app.js';
import type { Config } from './options/config.js';
import type { Responses } from './responses.js';
import type { Hub } from './room/hub.js';
import type { CloseReport } from './roomcast.js';
import type { Seat } from './seat.js';
import type { Sessions } from './session/sessions.js';
import { sleep } from './sleep.js';
import type { Sockets } from './sockets.js';
import { nowMs } from './time.js';
import { resetSocket } from './transport/reset-socket.js';
import type { Transports } from './transports.js';

/** A server of our own, which serves nothing but the roomcast. */
export interface Host {
  /** Resolves once startup has succeeded (true) or failed (false). */
  readonly isListening: Promise<boolean>;
  /** Stops accepting; resolves when no connection is left. */
  stop(): Promise<void>;
}

export interface Ending {
  readonly config: Pick<Config, 'lameDuckMs' | 'drainMs' | 'shutdownGraceMs'>;
  readonly host: Host | null;
  readonly hub: Hub;
  readonly sessions: Sessions;
  readonly seat: Seat | null;
  readonly responses: Responses;
  readonly transports: Transports;
  readonly sockets: Sockets;
  readonly api: Promise<HttpApp | null>;
  /** Called when no connection is served any more. */
  ends(): void;
  /** Called at the end, when nothing is in progress any more. */
  last(): void;
}

export async function shutDownAll({
  config: { lameDuckMs, drainMs, shutdownGraceMs },
  host,
  hub,
  sessions,
  seat,
  responses,
  transports,
  sockets,
  api,
  ends,
  last,
}: Ending): Promise<CloseReport> {
  const deadline = nowMs() + shutdownGraceMs;
  const left = () => Math.max(0, deadline - nowMs());
  // A server that is about to listen cannot be stopped before it does.
  if (await host?.isListening) {
    await sleep(Math.min(lameDuckMs, Math.max(0, shutdownGraceMs - drainMs) / 2));
  }
  const hubClosed = hub.close(left());
  // SockJS polls are still answered until their members are closed.
  const drained = await sessions.drain(deadline);
  await seat?.drained(left());
  const stopped = host?.stop();
  await responses.answered(left);
  transports.close();
  responses.reset();
  // Connections of the HTTP API, and all others that do not belong to a member.
  for (const socket of sockets.open) resetSocket(socket);
  ends();
  const [waiting, built] = await Promise.all([hubClosed, api, stopped]);
  await built?.close();
  last();
  return { ...drained, waiting };
}

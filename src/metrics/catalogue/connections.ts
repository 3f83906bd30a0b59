/** Metrics of connections and commands: opened, ended, refused. */
import { CLOSE, type EndReason, REFUSAL, type RefusalCode } from '../../errors.js';
import { SOCKET_REFUSALS } from '../../room/observer.js';
import { TRANSPORTS } from '../../transport/transport.js';
import type { Metric } from './metric.js';

export const END_REASONS: readonly EndReason[] = [
  ...(Object.keys(CLOSE) as (keyof typeof CLOSE)[]),
  'client',
  'lost',
];

export const REFUSAL_CODES = Object.keys(REFUSAL) as readonly RefusalCode[];

export const connections = {
  opened: {
    name: 'roomcast_connections_opened_total',
    type: 'counter',
    unit: 'connections',
    labels: { transport: TRANSPORTS },
    help: 'Connections opened.',
  },
  closed: {
    name: 'roomcast_connections_closed_total',
    type: 'counter',
    unit: 'connections',
    labels: { transport: TRANSPORTS, reason: END_REASONS },
    help: 'Connections ended, by close reason of the server; client: closed by the client; lost: broken.',
  },
  evicted: {
    name: 'roomcast_evictions_total',
    type: 'counter',
    unit: 'members',
    labels: { reason: END_REASONS },
    help: 'Members that the server evicted because they were too slow or too fast, or did not answer.',
  },
  refused: {
    name: 'roomcast_refusals_total',
    type: 'counter',
    unit: 'commands',
    labels: { code: REFUSAL_CODES },
    help: 'Commands and HTTP requests refused with a coded error.',
  },
  socketsRefused: {
    name: 'roomcast_sockets_refused_total',
    type: 'counter',
    unit: 'connections',
    labels: { reason: SOCKET_REFUSALS },
    help: 'Connections closed before they belonged to a member: the limit of sockets was reached, their address had its share, the system could not accept (each attempt is counted), or a trusted proxy sent no PROXY header.',
  },
  connectionsMax: {
    name: 'roomcast_connections_max',
    type: 'gauge',
    unit: 'connections',
    labels: {},
    help: 'Maximum number of members: --max-connections, or what the descriptors of the process allow; infinite without a limit.',
  },
  sentBytes: {
    name: 'roomcast_sent_bytes_total',
    type: 'counter',
    unit: 'bytes',
    labels: { transport: TRANSPORTS },
    help: 'Bytes passed to the kernel for members, including framing.',
  },
} as const satisfies Record<string, Metric>;

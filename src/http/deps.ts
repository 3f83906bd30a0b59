/** The parts of the server that the HTTP API uses. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Authenticator } from '../auth/authenticator.js';
import type { SharingNode } from '../broker/sharing-node.js';
import type { CloseReason } from '../errors.js';
import type { Detector } from '../lock/index.js';
import type { Log } from '../log.js';
import type { Metrics } from '../metrics/registry.js';
import type { Config } from '../options/config.js';
import type { CommandLimits } from '../protocol/fields.js';
import type { InTurn } from '../requests.js';
import type { Hub } from '../room/hub.js';
import type { Member } from '../room/member.js';
import type { Observer } from '../room/observer.js';
import type { People } from '../session/people.js';
import type { Bodies } from '../transport/bodies.js';
import type { Peers } from './peers.js';
import type { Sampler } from './sampler.js';

export interface HttpDeps {
  readonly config: Config;
  /** The limits that socket commands are checked against, too. */
  readonly limits: CommandLimits;
  readonly log: Pick<Log, 'error'>;
  readonly hub: Pick<
    Hub,
    'archive' | 'brokerState' | 'isLagging' | 'rooms' | 'members' | 'presence' | 'publish'
  >;
  readonly observer: Pick<Observer, 'refused'>;
  /** The detector of this server's locks. */
  readonly detector: Pick<Detector, 'snapshot'>;
  /** The samples for the live page. */
  readonly sampler: Pick<Sampler, 'series' | 'past' | 'onSample'>;
  readonly metrics: Pick<Metrics, 'contentType' | 'scrape'>;
  /** Runs a task in the turn of the request's connection. */
  readonly inTurn: InTurn;
  /** Version of roomcast. */
  readonly version: string;
  /** Reads request bodies. */
  readonly bodies: Pick<Bodies, 'whole'>;
  /** Called for a response that stays open and that the route bounds itself. */
  streaming(request: IncomingMessage, response: ServerResponse): void;
  readonly auth: Pick<Authenticator, 'isReady' | 'mode'>;
  /** Bytes of history that this process may keep; 0 if the broker keeps it elsewhere. */
  readonly historyLimitBytes: number;
  /** The connected users. */
  readonly people: People;
  /** Ends a member's connection. */
  close(member: Member, reason: CloseReason): void;
  /** The other workers; null without workers. */
  readonly peers: Peers | null;
  /** Lists all nodes that share the broker; null for a broker without such a list. May throw or reject. */
  readonly nodes: (() => Promise<readonly SharingNode[]>) | null;
  /** Whether the request came on the internal port. */
  isInternal(request: IncomingMessage): boolean;
  /** Aborted as soon as a shutdown begins. */
  readonly closing: AbortSignal;
}

/** What the HTTP API needs of the server it belongs to. */
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
  /** The same that commands of sockets are checked against. */
  readonly limits: CommandLimits;
  readonly log: Pick<Log, 'error'>;
  readonly hub: Pick<
    Hub,
    'archive' | 'brokerState' | 'isLagging' | 'rooms' | 'members' | 'presence' | 'publish'
  >;
  readonly observer: Pick<Observer, 'refused'>;
  /** Of the locks of this server. */
  readonly detector: Pick<Detector, 'snapshot'>;
  /** The seconds that the live page shows. */
  readonly sampler: Pick<Sampler, 'series' | 'past' | 'onSample'>;
  readonly metrics: Pick<Metrics, 'contentType' | 'scrape'>;
  /** Does something in the turn of the connection a request came on. */
  readonly inTurn: InTurn;
  /** Of roomcast. */
  readonly version: string;
  /** Reads the bodies of requests. */
  readonly bodies: Pick<Bodies, 'whole'>;
  /** Told of a response that stays open and is bounded where it is given. */
  streaming(request: IncomingMessage, response: ServerResponse): void;
  readonly auth: Pick<Authenticator, 'isReady' | 'mode'>;
  /** Bytes that rooms may keep in this process; 0 where the broker keeps them elsewhere. */
  readonly historyLimitBytes: number;
  /** The users that are connected. */
  readonly people: People;
  /** Ends a member's connection. */
  close(member: Member, reason: CloseReason): void;
  /** Of several workers, the others; null where there is one process. */
  readonly peers: Peers | null;
  /** All that share rooms over the broker; null where that is no matter of it. May throw, or reject. */
  readonly nodes: (() => Promise<readonly SharingNode[]>) | null;
  /** Whether it came on the internal port. */
  isInternal(request: IncomingMessage): boolean;
  /** Aborted at the first moment of a shutdown. */
  readonly closing: AbortSignal;
}

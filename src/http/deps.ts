/** What the HTTP API needs of the server it belongs to. */
import type { IncomingMessage, ServerResponse } from 'node:http';
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
import type { Bodies } from '../transport/bodies.js';
import type { Sampler } from './sampler.js';

export interface HttpDeps {
  readonly config: Config;
  /** The same that commands of sockets are checked against. */
  readonly limits: CommandLimits;
  readonly log: Pick<Log, 'error'>;
  readonly hub: Pick<Hub, 'rooms' | 'members' | 'publish'>;
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
  /** Ends a member's connection. */
  close(member: Member, reason: CloseReason): void;
  /** Whether it came on the internal port. */
  isInternal(request: IncomingMessage): boolean;
  /** True from the first moment of a shutdown. */
  isClosing(): boolean;
}

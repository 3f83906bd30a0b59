/**
 * The public API: `createRoomcast` for an app's own HTTP server, `serve` for a process of its own, and the
 * types for their options, events, errors and extension points.
 */
export type { Auth, Principal, Who } from './auth/auth.js';
export type { RevocationRequest } from './auth/revocations.js';
export type {
  Broker,
  BrokerState,
  LossReason,
  MaybePromise,
  Past,
  Payload,
  Position,
  Publication,
  PublishOptions,
  Range,
} from './broker/broker.js';
export { MemoryBroker } from './broker/memory.js';
export { createRoomcast } from './compose.js';
export {
  CLOSE,
  type CloseReason,
  ConfigError,
  type ConfigErrorCode,
  type ConfigFault,
  REFUSAL,
  Refusal,
  type RefusalCode,
} from './errors.js';
export type {
  ClosedEvent,
  ConnectedEvent,
  GapEvent,
  HealthEvent,
  JoinedEvent,
  LeftEvent,
  Listener,
  Listeners,
  PublishedEvent,
  RoomcastEvents,
} from './events.js';
export type { MemberInfo, RoomInfo } from './info.js';
export type { LockSnapshot } from './lock/index.js';
export type { Log } from './log.js';
export type { AppRegistry } from './metrics/app-registry.js';
export { type Config, defaults, type QueuePolicy } from './options/config.js';
export { loadConfig, type Sources } from './options/sources.js';
export type { RoomcastOptions } from './parts.js';
export type { Event, GapReason, HealthState } from './protocol/events.js';
export type { Action } from './room/identity.js';
export type { CloseReport, Roomcast } from './roomcast.js';
export { type Served, type ServeOptions, serve } from './serve.js';
export type { Cut } from './session/people.js';
export type { Handshake } from './transport/transport.js';

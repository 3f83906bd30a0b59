/**
 * The public API: rooms in a process of one's own, on its own HTTP server or on one of ours, and what
 * they are configured and extended with.
 */
export type {
  Broker,
  MaybePromise,
  Payload,
  Position,
  Publication,
  PublishOptions,
} from './broker/broker.js';
export { MemoryBroker } from './broker/memory.js';
export {
  CLOSE,
  type CloseReason,
  ConfigError,
  type ConfigErrorCode,
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
export { type Config, defaults, type QueuePolicy } from './options/config.js';
export { loadConfig, type Sources } from './options/sources.js';
export type { RoomcastOptions } from './parts.js';
export type { Event, GapReason, HealthState } from './protocol/events.js';
export { type CloseReport, createRoomcast, type Roomcast } from './roomcast.js';
export { type Served, type ServeOptions, serve } from './serve.js';

/** The public API: a server inside a process of one's own, and what it is configured and extended with. */
export type {
  Broker,
  BrokerState,
  MaybePromise,
  Past,
  Payload,
  Position,
  Publication,
  PublishOptions,
  Range,
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
export type { LockSnapshot } from './lock/index.js';
export type { Log } from './log.js';
export { type Config, defaults, type QueuePolicy } from './options/config.js';
export { loadConfig, type Sources } from './options/sources.js';
export type { Event, GapReason, HealthState } from './protocol/events.js';
export { type CloseReport, createServer, type Parts, type Server } from './server.js';

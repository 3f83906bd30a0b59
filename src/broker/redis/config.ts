/** Configuration and events of the Redis broker. */
import type { HistoryPolicy } from '../../options/config.js';
import type { Kept, RedisCounts } from './numbers.js';

export interface RedisConfig {
  /** In the format of the option `redisUrl`. */
  readonly url: string;
  /** Name shared by all nodes of the cluster. */
  readonly clusterName: string;
  /** The log kept of each room at least, so that nodes can catch up after a disconnect. */
  readonly kept: Omit<Kept, 'bytes'>;
  /** History policy for members; no history if absent. */
  history?(room: string): HistoryPolicy;
  readonly idleRoomMs: number;
  readonly tickMs: number;
  readonly positionCheckMs: number;
  /** Most rooms resumed per second after a reconnect. */
  readonly resumeRoomsPerSecond: number;
  /** Connect timeout, and the longest deadline of a publish. */
  readonly timeoutMs: number;
}

/** Events for the log. */
export interface RedisEvents {
  /** `cost`: counts since the start. */
  linked(cost: RedisCounts): void;
  /**
   * The link has ended or could not be opened. `isOurs`: no retry helps before the operator fixes it.
   */
  unlinked(cause: Error, isOurs: boolean): void;
  /** Redis refuses writes with this error; empty: it accepts them again. */
  refuses(error: string): void;
  /** A risky setting of Redis. */
  advice(text: string): void;
}

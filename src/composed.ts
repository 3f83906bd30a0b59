/** The result of `compose.ts`, for the code that serves it. */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Taker } from './attachment.js';
import type { Log } from './log.js';
import type { Recorder } from './metrics/recorder.js';
import type { AllValues } from './metrics/values.js';
import type { Config } from './options/config.js';
import type { Archive } from './room/archive.js';
import type { Member } from './room/member.js';
import type { Roomcast } from './roomcast.js';
import type { People } from './session/people.js';
import type { Host } from './shutdown.js';
import type { Sockets } from './sockets.js';

/** What `serve` and `startTestServer` need of a roomcast beyond its public interface. */
export interface Composed {
  readonly roomcast: Roomcast;
  readonly config: Config;
  readonly log: Log;
  readonly sockets: Sockets;
  /** Sockets accepted on the internal port. */
  readonly internal: WeakSet<Socket>;
  readonly members: ReadonlyMap<string, Member>;
  /** The history of the rooms. */
  readonly archive: Archive;
  readonly isClosing: boolean;
  /** Resolves after the broker's first attempt to connect; rejects with ConfigError if none can succeed. */
  readonly ready: Promise<void>;
  /** Builds the HTTP API and resolves once it can answer. */
  prepare(): Promise<unknown>;
  /**
   * Checks new options and returns a function that applies them to everything created from then on.
   * Existing members keep their queues and rights.
   *
   * @throws ConfigError if an option cannot be applied; nothing has changed then
   */
  prepareReload(next: Config): () => void;
  /** The metric values of this process. */
  read(): AllValues;
  readonly recorder: Recorder;
  readonly people: People;
  /** Must be called before `close`. */
  hostedBy(host: Host): void;
  readonly taker: Taker;
  /** Handles what the HTTP parser of one of our servers rejects. */
  clientError(error: Error, socket: Duplex): void;
}
